//! The lanes of an intake: held under leases, each read by a task of its own.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared_core::{Backoff, TenantId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::lease::{self, Beaten, Owned};
use super::{Core, Taken, pause, unread};
use crate::metrics::METRICS;
use crate::{Envelope, Error, Lane, gauges};

/// The waits of a lane that can't go on, such as while the broker restarts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// The first wait of a lane in which nothing is new; it doubles up to the poll.
const GLANCE: Duration = Duration::from_millis(5);

/// Which lanes are held, for those who retry what is parked.
#[derive(Default)]
pub(super) struct Held(Mutex<Vec<Lane>>);

impl Held {
    fn set(&self, lanes: Vec<Lane>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    pub(super) fn get(&self) -> Vec<Lane> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A lane that is being read.
struct Reading {
    epoch: i64,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// The intake's whole life: beats, and the tasks of its lanes.
pub(super) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut reading: HashMap<Lane, Reading> = HashMap::new();
    let mut held: Vec<Owned> = Vec::new();
    let mut alive = Instant::now();
    while !stop.is_cancelled() {
        let asked = Instant::now();
        match lease::beat(&core.db, &core.config, &core.reader).await {
            Ok(beaten) => {
                alive = asked;
                held = settle(&core, &mut reading, beaten).await;
            }
            Err(error) => {
                tracing::warn!(
                    subscription = core.config.subscription,
                    "the intake could not renew its lanes: {error}"
                );
                // Others take them now: what is under way here is known to them when it is done, and refused if it comes later.
                if alive.elapsed() > core.config.lease {
                    end(&mut reading).await;
                    held.clear();
                }
            }
        }
        core.held.set(held.iter().filter_map(Owned::lane).collect());
        pause(core.config.lease / 3, &stop).await;
    }
    end(&mut reading).await;
    let group = &core.config.subscription;
    for owned in held {
        if let Some(lane) = owned.lane() {
            // Where it can't be handed on, it expires.
            let _ = lease::give(&core.db, group, lane, owned.epoch).await;
        }
    }
    let _ = core.reader.leave(&core.db, group).await;
}

/// Reads the lanes that are owned, up to the share, and no others; none while it is paused. Returns those that it keeps.
async fn settle(core: &Arc<Core>, reading: &mut HashMap<Lane, Reading>, beaten: Beaten) -> Vec<Owned> {
    let Beaten { paused, mut owned, share } = beaten;
    core.paused.store(paused, Ordering::Relaxed);
    owned.sort_by_key(Owned::lane);
    let surplus = owned.split_off(share.min(owned.len()));
    let is_owned = |lane: &Lane, epoch: i64| {
        !paused && owned.iter().any(|owned| owned.lane() == Some(*lane) && owned.epoch == epoch)
    };
    let lost: Vec<Lane> =
        reading.iter().filter(|(lane, of)| !is_owned(lane, of.epoch)).map(|(lane, _)| *lane).collect();
    let ending: Vec<_> = lost.iter().filter_map(|lane| reading.remove(lane)).collect();
    ending.iter().for_each(|reading| reading.stop.cancel());
    // No longer than the next beat can wait: what is under way then is rolled back.
    let ended = join_all(ending.into_iter().map(|reading| reading.task));
    let _ = tokio::time::timeout(core.config.lease / 3, ended).await;
    lost.iter().for_each(|lane| core.reader.says(Some(*lane), None));
    for surplus in surplus {
        if let Some(lane) = surplus.lane() {
            let _ = lease::give(&core.db, &core.config.subscription, lane, surplus.epoch).await;
        }
    }
    for owned in owned.iter().filter(|_| !paused) {
        let Some(lane) = owned.lane() else { continue };
        let is_read = reading.get(&lane).is_some_and(|reading| !reading.task.is_finished());
        if !is_read {
            let (epoch, stop) = (owned.epoch, CancellationToken::new());
            let task = tokio::spawn(read(Arc::clone(core), lane, owned.clone(), stop.clone()));
            reading.insert(lane, Reading { epoch, stop, task: AbortOnDropHandle::new(task) });
        }
    }
    owned
}

/// Ends all of them, each when its transaction is over.
async fn end(reading: &mut HashMap<Lane, Reading>) {
    reading.values().for_each(|reading| reading.stop.cancel());
    for (_, reading) in reading.drain() {
        let _ = reading.task.await;
    }
}

/// Reads a lane until it is another's, or the intake ends.
async fn read(core: Arc<Core>, lane: Lane, owned: Owned, stop: CancellationToken) {
    let (mut mark, mut failures, mut glance) = (owned.mark, 0, GLANCE);
    while !stop.is_cancelled() {
        let wait = match portion(&core, lane, owned.epoch, &mut mark).await {
            Ok(Some(0)) => {
                if failures > 0 {
                    core.reader.says(Some(lane), None);
                    failures = 0;
                }
                glance = (glance * 2).min(core.config.poll);
                glance
            }
            Ok(Some(_)) => {
                core.reader.says(Some(lane), None);
                (failures, glance) = (0, GLANCE);
                continue;
            }
            Ok(None) => {
                METRICS.fenced.add(1, &[]);
                break;
            }
            Err(error) => {
                failures += 1;
                core.reader.says(Some(lane), Some(error.to_string()));
                tracing::warn!(subscription = core.config.subscription, %lane, "the intake pauses: {error}");
                BACKOFF.delay(failures)
            }
        };
        pause(wait, &stop).await;
    }
    core.reader.says(Some(lane), None);
}

/// Reads a portion, runs the consumers, and then writes down how far it has come. Returns how many there were; `None` where the lane
/// is another's.
async fn portion(
    core: &Core,
    lane: Lane,
    epoch: i64,
    mark: &mut Option<String>,
) -> Result<Option<usize>, Error> {
    let read = core.source.read(lane, mark.as_deref(), core.portion()).await?;
    let Some(last) = read.taken.last().map(|taken| taken.mark.clone()) else { return Ok(Some(0)) };
    let (group, count) = (core.config.subscription.as_str(), read.taken.len());
    if read.missed {
        METRICS.missed.add(1, &[]);
        tracing::error!(
            subscription = group,
            %lane,
            "the broker no longer has the last event that was read: some behind it may be missing"
        );
    }
    for (_, events) in by_tenant(group, read.taken) {
        if core.executor.turn(lane, &events).await?.stopped {
            // The rest comes again.
            return Ok(Some(0));
        }
    }
    if !lease::advance(&core.db, group, lane, epoch, (&last, count)).await? {
        return Ok(None);
    }
    METRICS.delivered.add(count as u64, &[]);
    *mark = Some(last);
    Ok(Some(count))
}

/// Each tenant's events in their order. What is no event is passed by: nobody could say whose it is.
fn by_tenant(group: &str, taken: Vec<Taken>) -> Vec<(TenantId, Vec<Envelope>)> {
    let mut tenants: Vec<(TenantId, Vec<Envelope>)> = Vec::new();
    for Taken { mark, event, .. } in taken {
        match event {
            Ok(event) => match tenants.iter_mut().find(|(tenant, _)| *tenant == event.tenant) {
                Some((_, events)) => events.push(event),
                None => tenants.push((event.tenant, vec![event])),
            },
            Err(why) => {
                METRICS.foreign.add(1, &[]);
                tracing::error!(
                    subscription = group,
                    mark,
                    "the broker has something that is no event: {why}"
                );
            }
        }
    }
    tenants
}

/// Runs again what is parked, when it is due.
pub(super) async fn retry(core: Arc<Core>, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        if core.paused.load(Ordering::Relaxed) {
            pause(core.config.poll, &stop).await;
            continue;
        }
        let wait = match core.executor.retry(&core.held.get()).await {
            Ok(retried) => {
                failures = 0;
                retried.next.unwrap_or(core.config.poll).min(core.config.poll)
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    subscription = core.config.subscription,
                    "what is parked can't be run again now: {error}"
                );
                BACKOFF.delay(failures)
            }
        };
        pause(wait, &stop).await;
    }
}

/// Looks now and then at what the broker has for it, for operators and gauges.
pub(super) async fn look(core: Arc<Core>, stop: CancellationToken) {
    let group = &core.config.subscription;
    while !stop.is_cancelled() {
        let looked = async {
            let any = unread::look(&core).await?;
            gauges::record(&core.db, group).await.map(|()| any)
        };
        let wait = match looked.await {
            Ok(true) => gauges::EVERY,
            Ok(false) => core.config.poll,
            Err(error) => {
                tracing::debug!(subscription = group, "how the subscription stands is not known: {error}");
                gauges::EVERY
            }
        };
        pause(wait, &stop).await;
    }
}

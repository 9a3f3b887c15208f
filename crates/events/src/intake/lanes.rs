//! The lanes of an intake: held under leases, each read by a task of its own.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared_core::Backoff;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::lease::{self, Beaten, Owned};
use super::reading::read;
use super::{Core, pause, unread};
use crate::{Lane, gauges};

/// The waits of what can't go on, such as while the database restarts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

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
                held = settle(&core, &mut reading, beaten, &stop).await;
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
async fn settle(
    core: &Arc<Core>,
    reading: &mut HashMap<Lane, Reading>,
    beaten: Beaten,
    stop: &CancellationToken,
) -> Vec<Owned> {
    let Beaten { paused, timeline, mut owned, share } = beaten;
    // Another server may not have what was done last: all of them begin anew from where it has them.
    let is_other = core.executor.timeline.is_other(timeline);
    core.paused.store(paused, Ordering::Relaxed);
    owned.sort_by_key(Owned::lane);
    let surplus = owned.split_off(share.min(owned.len()));
    let is_owned = |lane: &Lane, epoch: i64| {
        !paused && !is_other && owned.iter().any(|owned| owned.lane() == Some(*lane) && owned.epoch == epoch)
    };
    let lost: Vec<Lane> =
        reading.iter().filter(|(lane, of)| !is_owned(lane, of.epoch)).map(|(lane, _)| *lane).collect();
    let ending: Vec<_> = lost.iter().filter_map(|lane| reading.remove(lane)).collect();
    ending.iter().for_each(|reading| reading.stop.cancel());
    // No longer than the next beat can wait: what is under way then is rolled back.
    let ended = join_all(ending.into_iter().map(|reading| reading.task));
    let _ = tokio::time::timeout(core.config.lease / 3, ended).await;
    core.executor.timeline.set(timeline);
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
            let (epoch, stop) = (owned.epoch, stop.child_token());
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

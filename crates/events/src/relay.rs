//! The relay: it shares a subscription's lanes with others, cuts the log into batches, and brings each in the order of its keys to
//! where it goes.

mod ask;
mod breaker;
mod check;
mod coordinator;
mod foreign;
mod lease;
mod machine;
#[cfg(test)]
mod plans;
mod read;
mod reader;
mod send;
pub(crate) mod tick;
mod ticks;
mod upkeep;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shared_db::{Check, Db, Listener, statements};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::executor::{Executor, Slots};
use crate::operate::{Health, of_relay};
use crate::sink::Sink;
use crate::timeline::Timeline;
use crate::{Config, Error, Events, days, gauges, notify};
use send::Outlet;
pub use upkeep::Upkeep;

statements! {
    const REDRIVE: Statement<(String, String), ()> = "
        update shared_events.parked set state = 'retrying', next_at = clock_timestamp(), attempts = 0
         where subscription = $1 and consumer = $2 and state = 'dead'";
}

/// What the relay's own SQL is, for the test that compares it with the schema.
#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const ALL_STATEMENTS: [&[(&str, &dyn Check)]; 7] = [
    STATEMENTS,
    check::STATEMENTS,
    lease::STATEMENTS,
    read::STATEMENTS,
    send::STATEMENTS,
    tick::STATEMENTS,
    ticks::STATEMENTS,
];

/// A running relay: it reads the log for one subscription, and runs the consumers of this program or brings the events to a sink.
///
/// Any number of instances may run: they share the sixteen lanes of the log. [`stop`](Self::stop) ends it in order. Dropping it ends
/// it as well: deliveries under way are rolled back and come again.
pub struct Relay {
    core: Arc<Core>,
    task: AbortOnDropHandle<()>,
}

/// What every part of the relay works with.
pub(crate) struct Core {
    pub(crate) db: Db,
    pub(crate) config: Config,
    target: Target,
    /// Who it is among the relays of the subscription.
    owner: Uuid,
    host: String,
    stop: CancellationToken,
    /// Something of the parked may be due.
    woken: Notify,
    /// Other processes have committed something.
    told: Notify,
    /// Lanes that catch up read with so many connections at once.
    reads: Semaphore,
    /// Portions of consumers' events that are read when it is their tenant's turn, in memory at once.
    loads: Slots,
    /// The server's, when its lanes were read from it.
    timeline: Timeline,
    /// The newest tick that it has seen, as long as it holds lanes: that is kept, unless the database goes back.
    seen: AtomicI64,
    /// The newest that it had seen when the database went back: a sink may get later what was on its way then.
    forgotten: AtomicI64,
    state: Mutex<State>,
}

/// As many as keep a server busy that has a disk to read from, and leave most of a pool's ten to others.
const READS: usize = 4;

/// Portions of events that were not read at first and are in memory at once: all of them together a page, and no fewer than can have a
/// transaction.
fn loads(config: &Config) -> usize {
    (config.page / config.batch).max(config.concurrency) as usize
}

/// Where the events go.
enum Target {
    Consumers(Executor),
    Sink(Outlet),
}

/// What it says of itself with each beat.
#[derive(Clone, Default, serde::Serialize)]
struct State {
    version: &'static str,
    sink: Option<String>,
    lanes: usize,
    in_hand: usize,
    breaker_open: bool,
    /// Of lanes to which somebody else has written, what is to be done.
    foreign: BTreeMap<u8, String>,
    last_error: Option<String>,
}

impl Relay {
    /// Starts delivering to the consumers of this program, in a task of its own.
    ///
    /// # Errors
    /// [`Error::Config`] for settings or consumers that can't work; [`Error::Unsafe`] if reading here could lose or disorder
    /// events: a standby, a sequence that caches, a role that does not see every event, a log that was restored behind its
    /// subscription; [`Error::Database`].
    pub async fn start<S: Send + Sync + 'static>(
        db: Db,
        state: S,
        events: Events<S>,
        config: Config,
    ) -> Result<Self, Error> {
        check::config(&config)?;
        let consumers = events.bind(state)?;
        check::database(&db).await?;
        check::subscription(&db, &config.subscription, "consumers").await?;
        let stop = CancellationToken::new();
        let executor = Executor::new(db.clone(), consumers, &config, stop.clone());
        let listener = listener(&db, &config).await?;
        Ok(Self::spawn(db, config, Target::Consumers(executor), stop, listener))
    }

    /// Starts bringing the events to a sink, in a task of its own: each once and in order, unless [`Config::guarantee`] asks for less. What
    /// the sink has lost comes again, as far back as [`Config::rewind`].
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`Error::Config`] for a sink that can't give [`Config::guarantee`].
    pub async fn to(db: Db, sink: Arc<dyn Sink>, config: Config) -> Result<Self, Error> {
        check::config(&config)?;
        check::sink(&*sink, &config)?;
        check::database(&db).await?;
        check::subscription(&db, &config.subscription, "sink").await?;
        let outlet = Outlet { sink, breaker: Default::default(), foreign: Default::default() };
        let listener = listener(&db, &config).await?;
        Ok(Self::spawn(db, config, Target::Sink(outlet), CancellationToken::new(), listener))
    }

    fn spawn(
        db: Db,
        config: Config,
        target: Target,
        stop: CancellationToken,
        listener: Option<Listener>,
    ) -> Self {
        let loads = Slots::new(loads(&config));
        let timeline = match &target {
            Target::Consumers(executor) => executor.timeline.clone(),
            Target::Sink(_) => Timeline::default(),
        };
        let core = Arc::new(Core {
            db,
            config,
            target,
            owner: Uuid::now_v7(),
            host: host(),
            stop,
            woken: Notify::new(),
            told: Notify::new(),
            reads: Semaphore::new(READS),
            loads,
            timeline,
            seen: AtomicI64::new(0),
            forgotten: AtomicI64::new(0),
            state: Mutex::default(),
        });
        let task = AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(&core), listener)));
        Self { core, task }
    }

    /// Lets the attempts under way finish, each within its time limit, hands the lanes on, and returns when nothing runs any
    /// more. Dropping the future ends it at once, as dropping the relay does.
    pub async fn stop(self) {
        self.core.stop.cancel();
        // It can only have ended by itself: nobody else has the handle to abort it.
        let _ = self.task.await;
    }

    /// Whether the task still runs; for a liveness probe. It ends by `stop` alone, unless there is a bug.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// The lanes of this relay that have not moved for three leases, although they have had work for as long; for a liveness probe. What is
    /// paused is not among them.
    ///
    /// # Errors
    /// [`Error::Database`]: that is for a probe of the database to say, and no reason to restart this process.
    pub async fn health(&self) -> Result<Health, Error> {
        let Core { db, config, owner, .. } = &*self.core;
        of_relay(db, &config.subscription, *owner, config.lease * 3).await
    }

    /// Has a consumer's events that are parked for good tried again: each key's in order. Returns how many keys there are. The
    /// attempts begin at once, here or in whatever relay owns the lane; a key that fails is parked again.
    ///
    /// # Errors
    /// [`Error::UnknownConsumer`] if this program has no consumer of that name, [`Error::Database`].
    pub async fn redrive(&self, consumer: &str) -> Result<u64, Error> {
        let is_known = match &self.core.target {
            Target::Consumers(executor) => executor.has(consumer),
            Target::Sink(outlet) => outlet.sink.name() == consumer,
        };
        if !is_known {
            return Err(Error::UnknownConsumer { consumer: consumer.to_owned() });
        }
        let redriven =
            self.core.db.system().execute(&REDRIVE, (&self.core.config.subscription, consumer)).await?;
        self.core.woken.notify_one();
        Ok(redriven)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("subscription", &self.core.config.subscription).finish_non_exhaustive()
    }
}

impl Core {
    /// The log as its subscription reads it.
    fn log(&self) -> read::Log<'_> {
        read::Log { db: &self.db, subscription: &self.config.subscription }
    }

    /// The newest tick that it has seen; 0, which always is there, if that is not known.
    fn seen(&self) -> i64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// What it says of itself, as JSON.
    fn state(&self) -> String {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        state.version = env!("CARGO_PKG_VERSION");
        if let Target::Sink(outlet) = &self.target {
            state.sink = Some(outlet.sink.name().to_owned());
            if let Some(words) = outlet.breaker.words() {
                (state.breaker_open, state.last_error) = (true, Some(words));
            }
            state.foreign = outlet.foreign.said();
        }
        serde_json::to_string(&state).unwrap_or_else(|_| "null".to_owned())
    }

    fn holds(&self, lanes: usize, in_hand: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.lanes, state.in_hand) = (lanes, in_hand);
    }

    fn says(&self, error: Option<String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).last_error = error;
    }
}

/// What hears of other processes' commits, if it is wanted.
async fn listener(db: &Db, config: &Config) -> Result<Option<Listener>, Error> {
    Ok(if config.notify { Some(notify::listen(db).await?) } else { None })
}

/// Hears of other processes' commits, and tells them of this one's.
async fn notify(core: &Core, listener: Option<Listener>) {
    match listener {
        Some(listener) => drop(tokio::join!(notify::hear(listener, &core.told), notify::tell(&core.db))),
        None => std::future::pending().await,
    }
}

/// The relay's whole life.
async fn run(core: Arc<Core>, listener: Option<Listener>) {
    let (views, view) = watch::channel(None);
    tokio::select! {
        () = coordinator::Coordinator::new(Arc::clone(&core)).run(view) => {}
        () = lease::beat(&core, &views) => {}
        () = notify(&core, listener) => {}
        () = days::keep(&core.db, &core.config) => {}
        () = gauges::keep(&core.db, &core.config.subscription) => {}
    }
}

/// The machine's name, for whoever looks for a relay that holds a lane.
pub(crate) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

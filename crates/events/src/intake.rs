//! Events from a broker, to consumers of this program.

mod group;
#[cfg(feature = "kafka")]
mod kafka;
mod lanes;
mod lease;
#[cfg(feature = "nats")]
mod nats;
mod reading;
#[cfg(feature = "redis")]
mod redis;
mod source;
#[cfg(test)]
mod tests;
mod unread;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use shared_db::{Check, Db};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use validator::Validate;

pub use self::group::{Delivery, Group};
#[cfg(feature = "kafka")]
pub use self::kafka::KafkaGroup;
#[cfg(feature = "nats")]
pub use self::nats::JetStreamGroup;
#[cfg(feature = "redis")]
pub use self::redis::RedisGroup;
pub use self::source::{Read, Source, Taken};
pub use self::unread::{Unread, unread};
use crate::executor::Executor;
use crate::{Config, Error, Events, LANES};

/// What the intake's own SQL is, for the test that compares it with the schema.
#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const STATEMENTS: [&[(&str, &dyn Check)]; 2] = [lease::STATEMENTS, unread::STATEMENTS];

/// A running intake: it reads what another program's relay has brought to a broker, and runs the consumers of this program, as a
/// [`Relay`](crate::Relay) does with its own log: the effect of an event happens once, in the order of its key; what fails is parked, and
/// waits for nobody else.
///
/// How far each lane was read is kept in this program's database and moves when the effects are committed, so nothing is acknowledged
/// that did not happen; the broker keeps nothing about its readers. Any number of instances may run: they share the lanes under
/// leases, and take over from one that is gone.
///
/// [`stop`](Self::stop) ends it in order. Dropping it ends it as well: what is under way is rolled back and comes again.
pub struct Intake {
    subscription: String,
    stop: CancellationToken,
    tasks: Vec<AbortOnDropHandle<()>>,
}

/// What every part of the intake works with.
struct Core {
    db: Db,
    source: Box<dyn Source>,
    executor: Executor,
    /// With the name under which all is kept as that of the subscription.
    config: Config,
    reader: lease::Reader,
    /// The lanes of this intake.
    held: lanes::Held,
    /// An operator has stopped it.
    paused: AtomicBool,
}

impl Core {
    /// Events of a lane in memory at once, so that those of all of them are a page.
    fn portion(&self) -> usize {
        (self.config.page as usize / usize::from(LANES)).max(1)
    }
}

impl Intake {
    /// Starts reading in a task of its own. `config.subscription` names the group of programs that do this together; what is kept of it, and
    /// parked, is under the source's name and this one, such as `redis:events:main`. A new group begins at the oldest event that the
    /// broker has. On another server the same streams need a group of their own.
    ///
    /// # Errors
    /// [`Error::Config`] for settings or consumers that can't work, [`Error::Database`].
    pub async fn start<S: Send + Sync + 'static>(
        db: Db,
        state: S,
        events: Events<S>,
        source: impl Source,
        config: Config,
    ) -> Result<Self, Error> {
        let config = named(source.name(), config)?;
        let stop = CancellationToken::new();
        let executor = Executor::new(db.clone(), events.bind(state)?, &config, stop.clone()).of_others();
        Self::read(db, executor, source, (config, None), stop).await
    }

    /// The same for a broker to which relays bring this database's own log: what the consumers have done is known, and what they could not do
    /// is parked, under `config.subscription` itself, as a [`Relay`](crate::Relay) has it. So a program may change from its log to the
    /// broker and back ([`handover`](crate::handover)), and its effects still happen once. With the events of another log they would not: their
    /// places would be taken for those of this one.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub async fn of_own_log<S: Send + Sync + 'static>(
        db: Db,
        state: S,
        events: Events<S>,
        source: impl Source,
        config: Config,
    ) -> Result<Self, Error> {
        let group = named(source.name(), config.clone())?;
        let stop = CancellationToken::new();
        let executor = Executor::new(db.clone(), events.bind(state)?, &config, stop.clone()).by_broker();
        Self::read(db, executor, source, (group, Some(&config.subscription)), stop).await
    }

    /// How far it has come is kept by `config`, and what the consumers have done by the executor's, which may have another name.
    async fn read(
        db: Db,
        executor: Executor,
        source: impl Source,
        (config, parked_under): (Config, Option<&str>),
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let subscription = config.subscription.clone();
        lease::subscribe(&db, &subscription, "intake", parked_under).await?;
        lease::begin(&db, &subscription).await?;
        let core = Arc::new(Core {
            db,
            source: Box::new(source),
            executor,
            config,
            reader: lease::Reader::new(),
            held: lanes::Held::default(),
            paused: AtomicBool::new(false),
        });
        let reading = tokio::spawn(lanes::run(Arc::clone(&core), stop.clone()));
        let retrying = tokio::spawn(lanes::retry(Arc::clone(&core), stop.clone()));
        let looking = tokio::spawn(lanes::look(core, stop.clone()));
        let tasks = [reading, retrying, looking].map(AbortOnDropHandle::new).into();
        Ok(Self { subscription, stop, tasks })
    }

    /// The same from a group that the broker keeps, which brings events in no order: what a consumer has done of them is known by their
    /// ids, for a week. `config.subscription` is one more word of the name under which it is kept. A message is acknowledged when its effects
    /// are committed, or it is parked.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub async fn grouped<S: Send + Sync + 'static>(
        db: Db,
        state: S,
        events: Events<S>,
        group: impl Group,
        config: Config,
    ) -> Result<Self, Error> {
        let config = named(group.name(), config)?;
        let stop = CancellationToken::new();
        let executor = Executor::new(db.clone(), events.bind(state)?, &config, stop.clone()).of_others();
        let subscription = config.subscription.clone();
        lease::subscribe(&db, &subscription, "group", None).await?;
        let (reader, paused) = (lease::Reader::new(), AtomicBool::new(false));
        let reading = group::Reading { db, group: Box::new(group), executor, config, reader, paused };
        // Whether it is paused is known before it takes anything.
        reading.greet().await?;
        let reading = Arc::new(reading);
        let taking = tokio::spawn(group::run(Arc::clone(&reading), stop.clone()));
        let looking = tokio::spawn(group::look(Arc::clone(&reading), stop.clone()));
        let keeping = tokio::spawn(group::keep(reading, stop.clone()));
        let tasks = [taking, looking, keeping].map(AbortOnDropHandle::new).into();
        Ok(Self { subscription, stop, tasks })
    }

    /// Lets the transactions under way finish, hands the lanes on, and returns when nothing runs any more. Dropping the future ends it
    /// at once, as dropping the intake does.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            // It can only have ended by itself: nobody else has the handle to abort it.
            let _ = task.await;
        }
    }

    /// Whether its tasks still run; for a liveness probe. They end by `stop` alone, unless there is a bug.
    pub fn is_running(&self) -> bool {
        !self.tasks.iter().any(AbortOnDropHandle::is_finished)
    }
}

/// The settings under the name under which all is kept.
pub(crate) fn named(source: String, mut config: Config) -> Result<Config, Error> {
    // The validator's own words quote the values.
    config.validate().map_err(|errors| {
        let fields: Vec<String> = errors.errors().keys().map(ToString::to_string).collect();
        Error::Config(format!("these settings are outside of their range: {}", fields.join(", ")))
    })?;
    config.subscription = format!("{source}:{}", config.subscription);
    match config.subscription.len() {
        ..=63 => Ok(config),
        _ => Err(Error::Config(format!("the name `{}` has more than 63 characters", config.subscription))),
    }
}

/// Waits, or until it is to stop.
async fn pause(wait: Duration, stop: &CancellationToken) {
    let _ = tokio::time::timeout(wait, stop.cancelled()).await;
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

//! The upkeep of the log without a relay.

use shared_db::Db;
use tokio_util::task::AbortOnDropHandle;

use super::{check, tick};
use crate::{Config, Error, days};

/// Keeps the log's days in a program that publishes and runs no [`Relay`](crate::Relay): makes those ahead, seals what was published, and, as long
/// as nobody reads the log, drops the days that are older than [`Config::retention`]. A relay does so itself. Any number of instances may run,
/// also beside relays: one of them works at a time.
///
/// It has no subscription and brings events to nobody. Where the database has a subscription, of whatever program, it takes nothing away, since that
/// one's settings may be longer: its relays drop the days, by theirs. While no relay runs for some minutes, it makes the days ahead in their
/// stead, and names the subscriptions where the log grows older than its own retention. Dropping it ends it.
#[derive(Debug)]
pub struct Upkeep {
    task: AbortOnDropHandle<()>,
}

impl Upkeep {
    /// Starts it, in a task of its own, which looks once a minute. What keeps it from its work, such as a database that is away, or at which a
    /// relay would [not start](crate::Relay::start), is a warning in the log, and it tries again.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that can't work.
    pub fn start(db: Db, config: Config) -> Result<Self, Error> {
        check::config(&config)?;
        Ok(Self { task: AbortOnDropHandle::new(tokio::spawn(async move { keep(&db, &config).await })) })
    }

    /// Breaks it off, and returns when nothing runs any more: what is not committed is rolled back, and done the next time. Dropping the
    /// future ends it as well.
    pub async fn stop(self) {
        self.task.abort();
        // That it was broken off is what it says.
        let _ = self.task.await;
    }

    /// Whether the task still runs; for a liveness probe. It ends by `stop` alone, unless there is a bug.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

async fn keep(db: &Db, config: &Config) {
    loop {
        if let Err(error) = turn(db, config).await {
            tracing::warn!("the log's upkeep is tried again: {error}");
        }
        days::rest(config).await;
    }
}

async fn turn(db: &Db, config: &Config) -> Result<(), Error> {
    check::database(db).await?;
    // A day goes when the last tick is behind it, and nobody else may be making any.
    tick::cut_if_behind(db).await?;
    days::turn_without_relay(db, config).await
}

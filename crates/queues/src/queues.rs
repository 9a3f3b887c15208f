use shared_core::Id;
use shared_db::Db;

use crate::dead::{DeadLetter, Reason};
use crate::postgres::{SIGNAL, Store};
use crate::{Error, JobId};

/// Dead letters that one statement of [`Queues::redrive_all`] brings back: some milliseconds of work.
const REDRIVEN_AT_ONCE: i64 = 500;

/// The queues seen from outside, over all tenants: for operators, readiness and tests.
///
/// ```no_run
/// # async fn look(db: shared_db::Db) -> Result<(), shared_queues::Error> {
/// let queues = shared_queues::Queues::new(&db);
/// for letter in queues.dead_letters(20).await? {
///     println!("{} {} after {} attempts: {}", letter.name, letter.reason, letter.attempts, letter.error);
/// }
/// queues.redrive_all("notes:index").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Queues {
    store: Store,
}

/// How many jobs are in which state, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting for their time: delayed, or to be tried again.
    pub scheduled: u64,
    /// Held by a worker, running or about to.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
}

impl Backlog {
    /// Nothing is left to do. Dead letters don't count: nobody works on them.
    pub fn is_settled(&self) -> bool {
        self.ready + self.scheduled + self.running == 0
    }
}

impl Queues {
    /// The queues in this database.
    pub fn new(db: &Db) -> Self {
        Self { store: Store { db: db.clone() } }
    }

    /// Counts all jobs. It walks over the ids of those that wait: fine for a test or a probe every some seconds.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        let (ready, scheduled, running, dead) = self.store.backlog().await?;
        Ok(Backlog {
            ready: ready.unsigned_abs(),
            scheduled: scheduled.unsigned_abs(),
            running: running.unsigned_abs(),
            dead: dead.unsigned_abs(),
        })
    }

    /// The latest dead letters, at most this many.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn dead_letters(&self, most: u32) -> Result<Vec<DeadLetter>, Error> {
        let letters = self.store.dead(most).await?.into_iter().map(|row| DeadLetter {
            job_id: Id::from_uuid(row.job_id),
            name: row.name,
            queue: row.queue,
            tenant: row.tenant_id,
            attempts: row.attempts.unsigned_abs(),
            crashes: row.crashes.unsigned_abs(),
            reason: Reason::from_str(&row.reason),
            error: row.error,
            died_at: row.died_at,
        });
        Ok(letters.collect())
    }

    /// Makes a dead job ready again, with all its attempts before it and no crash on its account. Returns whether it
    /// was dead.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn redrive(&self, job: JobId) -> Result<bool, Error> {
        let revived = self.store.redrive(&[job.as_uuid()]).await?;
        self.store.db.signal(SIGNAL).notify_one();
        Ok(revived > 0)
    }

    /// Does that to all dead jobs of a name, the oldest first, and returns how many they were. Dropping the future
    /// leaves the rest dead.
    ///
    /// # Errors
    /// [`Error::Database`]; those before it are ready.
    pub async fn redrive_all(&self, name: &str) -> Result<u64, Error> {
        // Counted before: a job that dies again meanwhile is not taken twice.
        let mut left = self.store.backlog().await?.3.unsigned_abs();
        let mut revived = 0;
        while left > 0 {
            let some = self.store.dead_of_name(name, REDRIVEN_AT_ONCE).await?;
            if some.is_empty() {
                break;
            }
            revived += self.store.redrive(&some).await?;
            left = left.saturating_sub(some.len() as u64);
            self.store.db.signal(SIGNAL).notify_one();
        }
        Ok(revived)
    }
}

use shared_core::InTenant;
use shared_db::{AtCommit, TenantTx};

use crate::backend::Entry;
use crate::outbox::Way;
use crate::postgres::{Outbox, Told, Written, enqueue_unique};
use crate::{Enqueued, Error, Job, NewJob};

/// Jobs that one transaction may enqueue: 10,000. They are held in memory and written by one statement; that many take
/// some tens of milliseconds.
pub const MAX_JOBS_PER_TRANSACTION: usize = 10_000;

/// `tx.enqueue(job)`: the job is there if, and only if, the transaction commits.
///
/// Nothing is sent before the commit, and then all jobs together, in the round trip of the COMMIT. A job with a rule of
/// [uniqueness](crate::Unique) is written at once, since only the database knows the answer; among the
/// transaction's jobs it is older than those without.
///
/// The job is written into the database of the transaction, for which the program makes [`Queues::postgres`](crate::Queues::postgres), also
/// where its jobs are worked on by others. With queues in Redis or in memory alone no worker would find it there, so that is an error.
///
/// Where the database's queues are [elsewhere by an outbox](crate::Queues::with_outbox), such as in Redis, the jobs of a transaction go there
/// after its commit. Then every answer is [`Enqueued::Inserted`], and rules of uniqueness are applied on arrival.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use shared_db::TenantTx;
/// use shared_queues::{Enqueue, Error, Job};
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "notes:index")]
/// struct IndexNote { note: u64 }
///
/// async fn create(tx: &mut TenantTx) -> Result<(), Error> {
///     tx.enqueue(IndexNote { note: 7 }).await?;
///     Ok(())
/// }
/// ```
///
/// A database alone enqueues nothing; there is always a tenant and a transaction:
/// ```compile_fail,E0599
/// # use serde::{Deserialize, Serialize};
/// # use shared_db::Db;
/// # use shared_queues::{Enqueue, Error, Job};
/// # use validator::Validate;
/// # #[derive(Serialize, Deserialize, Validate, Job)]
/// # #[job(name = "notes:index")]
/// # struct IndexNote { note: u64 }
/// async fn create(db: &mut Db) -> Result<(), Error> {
///     db.enqueue(IndexNote { note: 7 }).await?;
///     Ok(())
/// }
/// ```
pub trait Enqueue: sealed::Sealed {
    /// Enqueues a job of this tenant, caused by what the transaction does: its context and the running trace go along.
    ///
    /// Two transactions that enqueue the same job wait for each other: until its end, each holds the keys of uniqueness that it has used. Two
    /// that use several keys in different orders, in several calls, may lose to each other, as with rows that they update;
    /// [`Tenant::retrying`](shared_db::Tenant::retrying) runs such a transaction again. [`enqueue_all`](Self::enqueue_all) takes the keys of
    /// its jobs in one order.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PayloadTooLarge`], [`Error::Unwritable`], [`Error::Unfit`], [`Error::TooManyJobs`] and
    /// [`Error::Duplicate`]; [`Error::NoQueues`] where the program has no queues in this database, found without asking it; the transaction is
    /// unharmed. [`Error::Database`] where a unique job could not be written.
    fn enqueue<J: Job>(
        &mut self,
        job: impl Into<NewJob<J>> + Send,
    ) -> impl Future<Output = Result<Enqueued, Error>> + Send;

    /// Enqueues many. One answer for each, in their order; a job that is to be [rejected](crate::Unique::reject) as a duplicate answers
    /// [`Enqueued::Existing`] here, and does not keep the others out. Jobs in front of one with an error are enqueued.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), but for duplicates.
    fn enqueue_all<J: Job, I>(
        &mut self,
        jobs: I,
    ) -> impl Future<Output = Result<Vec<Enqueued>, Error>> + Send
    where
        I: IntoIterator + Send,
        I::IntoIter: Send,
        I::Item: Into<NewJob<J>> + Send;
}

impl Enqueue for TenantTx {
    async fn enqueue<J: Job>(&mut self, job: impl Into<NewJob<J>> + Send) -> Result<Enqueued, Error> {
        let job = job.into();
        let rejects = job.rejects_duplicates();
        let entry = job.entry(self.context())?;
        if let Way::Away(away) = &*Way::of(self, J::NAME)? {
            return away.send(self, J::NAME, entry).await;
        }
        if entry.unique.is_none() {
            return collect::<J>(self, entry);
        }
        let answers = write_unique::<J>(self, vec![entry]).await?;
        let [answer] = answers[..] else {
            return Err(Error::Refused {
                attempted: "enqueueing",
                problem: "the database did not answer for the job",
            });
        };
        answer.or_rejected(J::NAME, rejects)
    }

    async fn enqueue_all<J: Job, I>(&mut self, jobs: I) -> Result<Vec<Enqueued>, Error>
    where
        I: IntoIterator + Send,
        I::IntoIter: Send,
        I::Item: Into<NewJob<J>> + Send,
    {
        // Of those with a rule of uniqueness the answer comes later.
        let (mut answers, mut unique) = (Vec::new(), Vec::new());
        let way = Way::of(self, J::NAME)?;
        let mut failed = None;
        for job in jobs {
            let one = match job.into().entry(self.context()) {
                Err(error) => Err(error),
                Ok(entry) => match &*way {
                    Way::Away(away) => away.send(self, J::NAME, entry).await.map(Some),
                    Way::Here if entry.unique.is_some() => {
                        unique.push(entry);
                        Ok(None)
                    }
                    Way::Here => collect::<J>(self, entry).map(Some),
                },
            };
            match one {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let mut written = write_unique::<J>(self, unique).await?.into_iter();
        match failed {
            Some(error) => Err(error),
            None => Ok(answers.into_iter().filter_map(|answer| answer.or_else(|| written.next())).collect()),
        }
    }
}

/// Keeps the job for the COMMIT.
fn collect<J: Job>(tx: &mut TenantTx, entry: Entry) -> Result<Enqueued, Error> {
    let outbox = tx.at_commit::<Outbox>();
    if outbox.mark() >= MAX_JOBS_PER_TRANSACTION {
        return Err(Error::TooManyJobs { job: J::NAME, limit: MAX_JOBS_PER_TRANSACTION });
    }
    let (job, queue) = (entry.job, entry.queue.clone());
    outbox.push(entry);
    Told::add(tx, &queue);
    Ok(Enqueued::Inserted(job))
}

/// Writes jobs now, and counts those that are new when they are committed.
async fn write_unique<J: Job>(tx: &mut TenantTx, entries: Vec<Entry>) -> Result<Vec<Enqueued>, Error> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let answers = enqueue_unique(tx, &entries).await?;
    let new = answers.iter().filter(|answer| answer.is_inserted()).count();
    tx.at_commit::<Written>().add(J::NAME, new);
    entries.iter().for_each(|entry| Told::add(tx, &entry.queue));
    Ok(answers)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for shared_db::TenantTx {}
}

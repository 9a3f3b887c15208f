use shared_core::{Context, InTenant};

use crate::backend::Entry;
use crate::meters::METERS;
use crate::{Enqueued, Error, Job, NewJob, Queues};

/// Jobs that are written together: a step takes some tens of milliseconds at most, and some megabytes if payloads are large.
const SLICE: usize = 1000;

/// Enqueues jobs of one tenant. Made by [`Queues::tenant`].
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use shared_core::InTenant;
/// use shared_queues::{Error, Job, Queues};
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "notes:index")]
/// struct IndexNote { note: u64 }
///
/// async fn reindex(queues: &Queues, proof: &impl InTenant) -> Result<(), Error> {
///     queues.tenant(proof).enqueue_all((1..=10_000).map(|note| IndexNote { note })).await?;
///     Ok(())
/// }
/// ```
///
/// What enqueues jobs beside other writes of a tenant's transaction is [`Enqueue`](crate::Enqueue): there a job exists if, and only
/// if, the transaction commits. This here is for jobs by themselves, on every backend.
///
/// A tenant's id is no proof:
/// ```compile_fail,E0277
/// # use shared_core::TenantId;
/// # use shared_queues::Queues;
/// fn producer(queues: &Queues, tenant: TenantId) { queues.tenant(&tenant); }
/// ```
#[derive(Clone, Debug)]
pub struct Producer {
    queues: Queues,
    context: Context,
}

impl Queues {
    /// Enqueues for the tenant that this proves. The proof's context goes along with each job.
    pub fn tenant(&self, proof: &impl InTenant) -> Producer {
        Producer { queues: self.clone(), context: proof.context().clone() }
    }
}

impl Producer {
    /// Enqueues a job, caused by the running trace. On Postgres callers that enqueue at once share a round trip and a commit; each has its
    /// own answer.
    ///
    /// Dropping the future leaves open whether the job is there; never a part of one.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PayloadTooLarge`], [`Error::Unwritable`] and [`Error::Unfit`] before anything is sent;
    /// [`Error::Duplicate`] where that was [asked for](crate::Unique::reject); and [`Error::Database`], after which the job may be
    /// there: a key of [uniqueness](crate::Unique) makes it safe to try again.
    pub async fn enqueue<J: Job>(&self, job: impl Into<NewJob<J>>) -> Result<Enqueued, Error> {
        let job = job.into();
        let rejects = job.rejects_duplicates();
        let entry = job.entry(&self.context)?;
        let answers = self.write::<J>(vec![entry]).await?;
        let [answer] = answers[..] else {
            return Err(Error::Refused {
                attempted: "enqueueing",
                problem: "the backend did not answer for the job",
            });
        };
        answer.or_rejected(J::NAME, rejects)
    }

    /// Enqueues any number of jobs, a thousand at a time. One answer for each, in their order; a job that is to be
    /// [rejected](crate::Unique::reject) as a duplicate answers [`Enqueued::Existing`] here, and does not keep the others out.
    ///
    /// The jobs are taken from the iterator as they are needed. A thousand are there together or not at all, on Redis 250; after an error
    /// some of these parts may be there.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), but for duplicates.
    pub async fn enqueue_all<J: Job, I>(&self, jobs: I) -> Result<Vec<Enqueued>, Error>
    where
        I: IntoIterator,
        I::Item: Into<NewJob<J>>,
    {
        let mut jobs = jobs.into_iter();
        let mut answers = Vec::new();
        loop {
            let slice: Vec<_> = jobs
                .by_ref()
                .take(SLICE)
                .map(|job| job.into().entry(&self.context))
                .collect::<Result<_, _>>()?;
            if slice.is_empty() {
                return Ok(answers);
            }
            answers.extend(self.write::<J>(slice).await?);
        }
    }

    async fn write<J: Job>(&self, entries: Vec<Entry>) -> Result<Vec<Enqueued>, Error> {
        let answers = self.queues.backend.enqueue(entries).await?;
        answers.iter().filter(|answer| answer.is_inserted()).for_each(|_| METERS.enqueued(J::NAME));
        Ok(answers)
    }
}

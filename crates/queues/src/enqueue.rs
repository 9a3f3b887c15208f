use std::time::Duration;

use shared_core::{InTenant, trace};
use shared_db::{AtCommit, TenantTx};

use crate::postgres::{NewJob, Outbox};
use crate::{Error, Job, JobId, assert_job_name, payload};

/// Jobs that one transaction may enqueue: 10,000. They are held in memory and written by one statement; that many take
/// some tens of milliseconds.
pub const MAX_JOBS_PER_TRANSACTION: usize = 10_000;

/// `tx.enqueue(job)`: the job is there if, and only if, the transaction commits.
///
/// Nothing is sent before the commit, and then all jobs together, in the round trip of the COMMIT.
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
    /// # Errors
    /// [`Error::Invalid`], [`Error::PayloadTooLarge`], [`Error::Unwritable`] and [`Error::TooManyJobs`]; the transaction
    /// is unharmed.
    fn enqueue<J: Job>(&mut self, job: J) -> impl Future<Output = Result<JobId, Error>> + Send {
        self.enqueue_in(Duration::ZERO, job)
    }

    /// The same, to be started no sooner than `delay` after the commit, by the server's clock.
    fn enqueue_in<J: Job>(
        &mut self,
        delay: Duration,
        job: J,
    ) -> impl Future<Output = Result<JobId, Error>> + Send;
}

impl Enqueue for TenantTx {
    async fn enqueue_in<J: Job>(&mut self, delay: Duration, job: J) -> Result<JobId, Error> {
        const { assert_job_name(J::NAME) };
        let payload = payload::write(&job)?;
        let job_id = JobId::new();
        let span = tracing::info_span!(
            "queues.enqueue",
            otel.name = concat_name("send", J::NAME),
            otel.kind = "producer",
            messaging.system = "shared_queues",
            messaging.operation.type = "send",
            messaging.destination.name = J::OPTIONS.queue,
            messaging.message.id = %job_id,
        );
        let caused_by = span.in_scope(trace::current).or(self.context().traceparent());
        let context = self.context().clone().with_traceparent(caused_by);
        let context =
            serde_json::to_string(&context).map_err(|source| Error::Unwritable { job: J::NAME, source })?;
        let outbox = self.at_commit::<Outbox>();
        if outbox.mark() >= MAX_JOBS_PER_TRANSACTION {
            return Err(Error::TooManyJobs { job: J::NAME, limit: MAX_JOBS_PER_TRANSACTION });
        }
        outbox.push(NewJob {
            job_id: job_id.as_uuid(),
            queue: J::OPTIONS.queue,
            name: J::NAME,
            version: J::OPTIONS.version,
            payload,
            context,
            delay,
        });
        Ok(job_id)
    }
}

/// `send notes:index`, the name of a span.
pub(crate) fn concat_name(verb: &str, job: &str) -> String {
    format!("{verb} {job}")
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for shared_db::TenantTx {}
}

use std::fmt;
use std::sync::Arc;

use shared_core::{Context, InTenant};
use shared_db::{Db, Tenant, TenantTx};
use tokio_util::sync::CancellationToken;

use crate::JobId;
use crate::postgres::{Completion, Fence};

/// What a handler knows of the job besides its payload. It proves the tenant whose transaction enqueued the job.
///
/// Clones share everything.
#[derive(Clone)]
pub struct JobContext {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    context: Context,
    job_id: JobId,
    attempt: u32,
    fence: Fence,
    cancelled: CancellationToken,
}

impl JobContext {
    pub(crate) fn new(
        db: Db,
        context: Context,
        job_id: JobId,
        attempt: u32,
        fence: Fence,
        cancelled: CancellationToken,
    ) -> Self {
        Self { inner: Arc::new(Inner { db, context, job_id, attempt, fence, cancelled }) }
    }

    /// The door to the tenant's rows.
    pub fn tenant(&self) -> Tenant {
        self.inner.db.tenant(self)
    }

    /// Runs `work` in a transaction of the tenant, and commits it **together with the completion of the job**: the effect
    /// happens exactly once. If the worker has lost the job meanwhile, nothing is committed.
    ///
    /// It belongs to the end of a handler: once it returned `Ok` the job is complete, whatever the handler returns. A
    /// second call fails.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use shared_core::{Failure, Id};
    /// # use shared_db::{Statement, statements};
    /// # use shared_queues::{Job, JobContext};
    /// # use validator::Validate;
    /// # #[derive(Serialize, Deserialize, Validate, Job)]
    /// # #[job(name = "notes:count")]
    /// # struct CountNote { day: i32 }
    /// statements! {
    ///     const COUNT: Statement<(i32,), ()> = "
    ///         update notes.day set created = created + 1 where tenant_id = $tenant and day = $1";
    /// }
    /// async fn count_note(job: CountNote, cx: JobContext) -> Result<(), Failure> {
    ///     cx.tx(async |tx| -> Result<_, Failure> { Ok(tx.execute(&COUNT, (job.day,)).await?) }).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of `work`, after a rollback; those of the commit, as [`shared_db::Tenant::tx`] has them; and
    /// [`shared_db::Error::Statement`] with the code `SQ001` if the job is no longer this worker's.
    pub async fn tx<T, E: From<shared_db::Error>>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = self.tenant().begin().await?;
        match work(&mut tx).await {
            Ok(done) => {
                tx.at_commit::<Completion>().0 = Some(self.inner.fence);
                tx.commit().await?;
                Ok(done)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    /// The job.
    pub fn job_id(&self) -> JobId {
        self.inner.job_id
    }

    /// Which attempt this is, from 1. Attempts that ended with the death of a worker are not counted.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// A key that is the same for all attempts of this job and for no other job: for calls to services that take one.
    pub fn idempotency_key(&self) -> String {
        self.inner.job_id.to_string()
    }

    /// Waits until the attempt should come to an end: its worker is about to stop, has lost the job, or the attempt is over
    /// and this is a task that outlived it. A handler may take no notice; one that runs for minutes can save where it
    /// is and return early with [`Failure::retry_in`](shared_core::Failure::retry_in).
    pub async fn cancelled(&self) {
        self.inner.cancelled.cancelled().await;
    }

    /// Whether [`cancelled`](Self::cancelled) would return at once.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.is_cancelled()
    }
}

impl InTenant for JobContext {
    fn context(&self) -> &Context {
        &self.inner.context
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("job_id", &self.inner.job_id)
            .field("attempt", &self.inner.attempt)
            .field("tenant", &self.inner.context.tenant())
            .finish_non_exhaustive()
    }
}

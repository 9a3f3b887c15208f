use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_core::{Context, InTenant};
use shared_db::{Tenant, TenantTx};

use crate::backend::Fence;
use crate::effect::{self, Mark, Sure};
use crate::link::{Cancellation, Link};
use crate::{Error, JobId, MAX_PAYLOAD, Progress, Queues};

/// What a handler knows of the job besides its payload. It proves the tenant whose transaction enqueued the job.
///
/// Clones share everything.
#[derive(Clone)]
pub struct JobContext {
    inner: Arc<Inner>,
}

struct Inner {
    queues: Queues,
    context: Context,
    attempt: u32,
    fence: Fence,
    /// For how long the job is remembered after it is done.
    keep: Duration,
    link: Arc<Link>,
    sure: Sure,
}

/// The SQLSTATE by which the database refuses a completion whose fence no longer holds.
const NOT_YOURS: &str = "SQ001";

impl JobContext {
    pub(crate) fn new(
        queues: Queues,
        context: Context,
        attempt: u32,
        fence: Fence,
        keep: Duration,
        link: Arc<Link>,
        sure: Sure,
    ) -> Self {
        Self { inner: Arc::new(Inner { queues, context, attempt, fence, keep, link, sure }) }
    }

    /// The door to the tenant's rows.
    ///
    /// # Errors
    /// [`Error::NoDatabase`] if the queues are not in a database and were not given one by [`Queues::with_db`].
    pub fn tenant(&self) -> Result<Tenant, Error> {
        let db = self.inner.queues.db.as_ref().ok_or(Error::NoDatabase)?;
        Ok(db.tenant(self))
    }

    /// Runs `work` in a transaction of the tenant, and commits it **together with the completion of the job**: the effect
    /// happens exactly once. Once this returned `Ok` the job is complete, whatever the handler returns; so it belongs to the end
    /// of a handler, and a second call fails.
    ///
    /// With queues in the same database the commit deletes the job, and if the worker has lost it meanwhile, nothing is
    /// committed. With queues elsewhere the commit leaves a mark that the job is complete: whoever attempts it again finds the
    /// mark before `work` begins, and the job ends. There the commit carries the time, by the database's clock, up to which the
    /// worker's lease surely holds, and the database refuses it after that: a worker that stood still for longer, and goes on in
    /// the middle of its transaction, commits nothing. Where it is refused, [`cancelled`](Self::cancelled) returns from then on.
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
    /// Those of `work`, after a rollback; [`Error::NoDatabase`]; [`Error::NotYours`] if the job is complete already or no longer
    /// this worker's; otherwise [`Error::Database`], as [`shared_db::Tenant::tx`] has it. If the future is dropped the
    /// transaction is rolled back, unless its commit was under way.
    pub async fn tx<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = self.tenant()?.begin().await.map_err(Error::from)?;
        if let Err(error) = self.complete_in(&mut tx).await {
            tx.rollback().await;
            return Err(error.into());
        }
        match work(&mut tx).await {
            Ok(done) => {
                if let Err(error) = tx.commit().await.map_err(refused) {
                    if matches!(error, Error::NotYours { .. }) {
                        self.inner.link.set_refused();
                    }
                    return Err(error.into());
                }
                self.inner.link.set_complete();
                Ok(done)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    /// Lets the commit complete the job: by the backend itself, or by a mark.
    async fn complete_in(&self, tx: &mut TenantTx) -> Result<(), Error> {
        let inner = &self.inner;
        let by_backend = inner.queues.backend.complete_in(tx, inner.fence, inner.keep);
        if by_backend {
            return Ok(());
        }
        match effect::complete(tx, self.job_id(), inner.sure.clone()).await? {
            Mark::Made => return Ok(()),
            Mark::Found => inner.link.found_complete(),
            Mark::Late => inner.link.set_refused(),
        }
        Err(Error::NotYours { source: None })
    }

    /// Does something in the world outside, and records its result in the tenant's database under this name: later attempts of
    /// the job get the result and don't do it again.
    ///
    /// Between the effect and the record a crash is possible, so the effect itself happens at least once; pass
    /// [`idempotency_key`](Self::idempotency_key) to whoever takes one. Records are kept for
    /// [`keep_effects`](crate::Config::keep_effects).
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use shared_core::Failure;
    /// # use shared_queues::{Job, JobContext};
    /// # use validator::Validate;
    /// # #[derive(Serialize, Deserialize, Validate, Job)]
    /// # #[job(name = "shop:charge")]
    /// # struct Charge { cents: u64 }
    /// # async fn call_the_bank(cents: u64, key: String) -> Result<String, Failure> { Ok(key) }
    /// async fn charge(job: Charge, cx: JobContext) -> Result<(), Failure> {
    ///     let receipt: String = cx.once("bank", async || call_the_bank(job.cents, cx.idempotency_key()).await).await?;
    ///     tracing::info!(receipt, "charged");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of the effect, which is then not recorded; [`Error::NoDatabase`] and [`Error::Database`]; [`Error::Effect`] for an
    /// empty name, and for a result that is no JSON, has more than [`MAX_PAYLOAD`] bytes, or was recorded as another type.
    pub async fn once<T, E>(&self, name: &str, effect: impl AsyncFnOnce() -> Result<T, E>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let failed = |what, why: String| Error::Effect { name: name.to_owned(), what, why };
        if name.is_empty() {
            return Err(failed("recorded", "it needs a name".to_owned()).into());
        }
        let tenant = self.tenant()?;
        let text = match effect::recorded(&tenant, self.job_id(), name).await? {
            Some(text) => text,
            None => {
                let done = effect().await?;
                let text =
                    serde_json::to_string(&done).map_err(|error| failed("recorded", error.to_string()))?;
                if text.len() > MAX_PAYLOAD {
                    let size = format!("it has {} bytes, and {MAX_PAYLOAD} are the limit", text.len());
                    return Err(failed("recorded", size).into());
                }
                effect::record(&tenant, self.job_id(), name, text).await?
            }
        };
        let read = serde_json::from_str(&text);
        read.map_err(|error: serde_json::Error| failed("read", format!("{:?}", error.classify())).into())
    }

    /// The job.
    pub fn job_id(&self) -> JobId {
        self.inner.fence.job
    }

    /// Which attempt this is, from 1. Attempts that ended with the death of a worker are not counted.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// A key that is the same for all attempts of this job and for no other job: for calls to services that take one.
    pub fn idempotency_key(&self) -> String {
        self.job_id().to_string()
    }

    /// Says how far the job is: a part from 0 to 1, and a few words. It is seen by operators with the worker's next
    /// [`beat`](crate::Config::beat); what was said before that is overwritten.
    pub fn progress(&self, part: f64, note: &str) {
        self.inner.link.report(Progress::new(part, note));
    }

    /// Waits until the attempt should come to an end, and returns why. A handler may take no notice; one that runs for minutes
    /// can save where it is and return early with [`Outcome::snooze`](crate::Outcome::snooze).
    pub async fn cancelled(&self) -> Cancellation {
        self.inner.link.cancelled().await
    }

    /// Why the attempt should come to an end, if it should.
    pub fn cancellation(&self) -> Option<Cancellation> {
        self.inner.link.cancellation()
    }

    /// Whether [`cancelled`](Self::cancelled) would return at once.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation().is_some()
    }
}

/// The refusal of a completion has a name of its own.
fn refused(error: shared_db::Error) -> Error {
    if error.code() == Some(NOT_YOURS) { Error::NotYours { source: Some(error) } } else { error.into() }
}

impl InTenant for JobContext {
    fn context(&self) -> &Context {
        &self.inner.context
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("job_id", &self.job_id())
            .field("attempt", &self.inner.attempt)
            .field("tenant", &self.inner.context.tenant())
            .finish_non_exhaustive()
    }
}

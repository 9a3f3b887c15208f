use shared_core::TenantId;

use super::{check_name, refuse};
use crate::{Error, Limit, QueueStatus, Queues};

/// One queue, to be steered. Made by [`Queues::queue`].
///
/// ```
/// # use shared_queues::{Error, Limit, Queues};
/// # async fn steer(queues: &Queues) -> Result<(), Error> {
/// let mail = queues.queue("mail");
/// mail.pause().await?;
/// mail.limit(Some(Limit::concurrency(20))).await?;
/// mail.resume().await?;
/// # Ok(()) }
/// ```
///
/// Settings last until they are changed, whatever starts or stops. They may be made before the queue has any job.
///
/// Every method fails with [`Error::Refused`] if the name can't be a queue's, and with [`Error::Database`].
#[derive(Clone, Debug)]
pub struct Queue {
    queues: Queues,
    name: String,
}

impl Queues {
    /// The queue of this name, whether it has jobs or not.
    pub fn queue(&self, name: impl Into<String>) -> Queue {
        Queue { queues: self.clone(), name: name.into() }
    }
}

#[allow(clippy::missing_errors_doc, reason = "the type says it once")]
impl Queue {
    /// How it stands; `None` if it never had a job or a setting.
    pub async fn status(&self) -> Result<Option<QueueStatus>, Error> {
        let all = self.queues.backend.queues().await?;
        Ok(all.into_iter().find(|queue| queue.queue == self.name))
    }

    /// Stops claims. Jobs that run go on, and so does enqueueing.
    pub async fn pause(&self) -> Result<(), Error> {
        self.set_paused("pausing a queue", None, true).await
    }

    /// Lets claims go on.
    pub async fn resume(&self) -> Result<(), Error> {
        self.set_paused("resuming a queue", None, false).await
    }

    /// Stops claims of one tenant's jobs.
    pub async fn pause_tenant(&self, tenant: TenantId) -> Result<(), Error> {
        self.set_paused("pausing a tenant", Some(tenant), true).await
    }

    /// Lets claims of one tenant's jobs go on.
    pub async fn resume_tenant(&self, tenant: TenantId) -> Result<(), Error> {
        self.set_paused("resuming a tenant", Some(tenant), false).await
    }

    /// The tenant's share of the workers against that of others, from 1 to 100, while both have jobs; 1 is everybody's at first.
    pub async fn weight(&self, tenant: TenantId, weight: u32) -> Result<(), Error> {
        const ATTEMPTED: &str = "weighting a tenant";
        check_name(ATTEMPTED, &self.name)?;
        refuse(ATTEMPTED, (!(1..=100).contains(&weight)).then_some("expected a weight from 1 to 100"))?;
        self.queues.backend.set_weight(&self.name, tenant, weight).await
    }

    /// Sets, or with `None` removes, a limit of all its jobs together.
    pub async fn limit(&self, limit: Option<Limit>) -> Result<(), Error> {
        const ATTEMPTED: &str = "limiting a queue";
        check_name(ATTEMPTED, &self.name)?;
        refuse(ATTEMPTED, limit.and_then(|limit| limit.misfit()))?;
        self.queues.backend.set_queue_limit(&self.name, limit).await
    }

    async fn set_paused(
        &self,
        attempted: &'static str,
        tenant: Option<TenantId>,
        paused: bool,
    ) -> Result<(), Error> {
        check_name(attempted, &self.name)?;
        self.queues.backend.set_paused(&self.name, tenant, paused).await
    }
}

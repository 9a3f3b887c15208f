use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared_db::TenantTx;
use uuid::Uuid;

use super::{Completion, Store};
use crate::backend::{Claim, Claimed, Control, Entry, Fence, Retention, Settled, Swept, Work};
use crate::{Enqueued, Error, JobId, Progress};

#[async_trait]
impl Work for Store {
    async fn enqueue(&self, jobs: Vec<Entry>) -> Result<Vec<Enqueued>, Error> {
        self.enqueue_all(&jobs).await
    }

    /// It is remembered for as long as it is there: no outbox stands in front of tables of its own database.
    async fn enqueue_once(&self, job: Entry, _: Duration) -> Result<Enqueued, Error> {
        let known = Enqueued::Existing(job.job);
        if self.job(job.job).await?.is_some() {
            return Ok(known);
        }
        Ok(self.enqueue_all(&[job]).await?.first().copied().unwrap_or(known))
    }

    async fn register(&self, worker: Uuid, queues: &[Arc<str>], lease: Duration) -> Result<(), Error> {
        self.open(worker, queues, lease).await
    }

    async fn renew(
        &self,
        worker: Uuid,
        _: &[Arc<str>],
        lease: Duration,
        progress: &[(JobId, Progress)],
    ) -> Result<bool, Error> {
        self.keep_open(worker, lease, progress).await
    }

    async fn retire(&self, worker: Uuid, _: &[Arc<str>]) -> Result<u64, Error> {
        self.hand_back_all(worker).await
    }

    async fn give_back(&self, worker: Uuid, _: &str, claims: &[i64]) -> Result<u64, Error> {
        self.hand_back(worker, claims).await
    }

    async fn held(&self, worker: Uuid, queue: &str) -> Result<Vec<(JobId, i64)>, Error> {
        self.held_by(worker, queue).await
    }

    async fn sweep(&self, queues: &[Arc<str>], crash_budget: u32) -> Result<Swept, Error> {
        self.rescue_all(queues, crash_budget).await
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<Claimed>, Error> {
        self.take(claim).await
    }

    async fn settle(&self, worker: Uuid, _: &str, all: &[Settled]) -> Result<Vec<JobId>, Error> {
        self.settle_all(worker, all).await
    }

    fn complete_in(&self, tx: &mut TenantTx, fence: Fence, keep: Duration) -> bool {
        tx.at_commit::<Completion>().set(fence, keep);
        true
    }

    async fn wait(&self, queues: &[Arc<str>], most: Duration) {
        let signal = self.signal();
        let news = async {
            tokio::select! {
                () = signal.notified() => {}
                // Others of this process wait behind whoever listens.
                () = self.ears.hear(&self.db, &self.crier, queues) => signal.notify_waiters(),
            }
        };
        let _ = tokio::time::timeout(most, news).await;
    }

    async fn promote(&self, queue: &str) -> Result<bool, Error> {
        self.move_due(queue).await
    }

    async fn to_cancel(&self, worker: Uuid, _: &[Arc<str>]) -> Result<Vec<JobId>, Error> {
        self.asked_to_cancel(worker).await
    }

    async fn prune(&self, queues: &[Arc<str>], retention: Retention) -> Result<(u64, bool), Error> {
        self.forget(queues, retention).await
    }
}

use std::time::Duration;

use async_trait::async_trait;
use shared_core::TenantId;

use super::Store;
use crate::backend::{Cancelled, Control};
use crate::dead::DeadLetter;
use crate::filter::{DeadFilter, JobFilter};
use crate::limit::{Limit, LimitPlace, LimitStatus};
use crate::view::{JobView, QueueStatus};
use crate::{Error, JobId};

#[async_trait]
impl Control for Store {
    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        self.status().await
    }

    async fn job(&self, job: JobId) -> Result<Option<JobView>, Error> {
        self.view(job).await
    }

    async fn search(&self, filter: &JobFilter, most: u32) -> Result<Vec<JobView>, Error> {
        self.find(filter, most).await
    }

    async fn cancel(&self, job: JobId) -> Result<Cancelled, Error> {
        Ok(match self.end(job).await?.as_deref() {
            Some("removed") => Cancelled::Removed,
            Some(_) => Cancelled::Asked,
            None => Cancelled::NotFound,
        })
    }

    async fn reschedule(&self, job: JobId, wait: Duration) -> Result<bool, Error> {
        self.put_off(job, wait).await
    }

    async fn dead(&self, filter: &DeadFilter, most: u32) -> Result<Vec<DeadLetter>, Error> {
        self.letters(filter, most).await
    }

    async fn redrive(&self, filter: &DeadFilter, into: Option<&str>, most: u32) -> Result<Vec<JobId>, Error> {
        self.revive(filter, into, most).await
    }

    async fn discard(&self, filter: &DeadFilter, most: u32) -> Result<u64, Error> {
        self.throw_away(filter, most).await
    }

    async fn set_paused(&self, queue: &str, tenant: Option<TenantId>, paused: bool) -> Result<(), Error> {
        match tenant {
            None => self.pause_queue(queue, paused).await,
            Some(tenant) => self.pause_tenant(queue, tenant, paused).await,
        }
    }

    async fn set_weight(&self, queue: &str, tenant: TenantId, weight: u32) -> Result<(), Error> {
        self.weigh(queue, tenant, weight).await
    }

    async fn set_limit(&self, name: &str, key: Option<&str>, limit: Option<Limit>) -> Result<(), Error> {
        self.limit(name, key, limit).await
    }

    async fn set_queue_limit(&self, queue: &str, limit: Option<Limit>) -> Result<(), Error> {
        self.limit_queue(queue, limit).await
    }

    async fn limits(&self, after: Option<&LimitPlace>, most: u32) -> Result<Vec<LimitStatus>, Error> {
        self.all_limits(after, most).await
    }

    async fn hold(&self, name: &str, key: Option<&str>, wait: Duration) -> Result<(), Error> {
        self.hold_back(name, key, wait).await
    }
}

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use shared_core::TenantId;
use shared_db::redis::Call;

use super::RedisBackend;
use super::codec::{self, limit_id, milliseconds};
use super::letters::From;
use super::scripts::{CANCEL, GLOBAL_RULES, RESCHEDULE, RULES, STATUS, STEER};
use crate::backend::{Cancelled, Control, DeadFilter, JobFilter};
use crate::dead::DeadLetter;
use crate::limit::{Limit, LimitPlace, LimitStatus};
use crate::view::{JobView, QueueStatus};
use crate::{Error, JobId};

/// Whether it is paused; ready, waiting, scheduled, running, dead; the age of the oldest ready job in milliseconds, or -1.
type Status = (bool, u64, u64, u64, u64, u64, i64);

#[async_trait]
impl Control for RedisBackend {
    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let names = self.names().await?;
        let asked = names.into_iter().map(|queue| async move {
            let status: Status = self.run(self.on(&STATUS, &queue)).await?;
            let (paused, ready, waiting, scheduled, running, dead, oldest) = status;
            let oldest = u64::try_from(oldest).ok().map(Duration::from_millis);
            Ok::<_, Error>(QueueStatus { queue, paused, ready, waiting, scheduled, running, dead, oldest })
        });
        try_join_all(asked).await
    }

    async fn job(&self, job: JobId) -> Result<Option<JobView>, Error> {
        self.view_of(job).await
    }

    async fn search(&self, filter: &JobFilter, most: u32) -> Result<Vec<JobView>, Error> {
        self.search_for(filter, most).await
    }

    async fn cancel(&self, job: JobId) -> Result<Cancelled, Error> {
        for queue in self.names().await? {
            match self.run::<u8>(self.on(&CANCEL, &queue).arg(job.as_uuid().as_bytes().as_slice())).await? {
                0 => {}
                1 => return Ok(Cancelled::Removed),
                _ => return Ok(Cancelled::Asked),
            }
        }
        Ok(Cancelled::NotFound)
    }

    async fn reschedule(&self, job: JobId, wait: Duration) -> Result<bool, Error> {
        for queue in self.names().await? {
            let call = self.on(&RESCHEDULE, &queue).arg(job.as_uuid().as_bytes().as_slice());
            if self.run(call.arg(milliseconds(wait))).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn dead(&self, filter: &DeadFilter, most: u32) -> Result<Vec<DeadLetter>, Error> {
        self.letters(filter, From::Latest, most as usize).await
    }

    async fn redrive(&self, filter: &DeadFilter, into: Option<&str>, most: u32) -> Result<Vec<JobId>, Error> {
        let letters = self.letters(filter, From::Oldest, most as usize).await?;
        self.bring_back(&letters, into).await
    }

    async fn discard(&self, filter: &DeadFilter, most: u32) -> Result<u64, Error> {
        let letters = self.letters(filter, From::Oldest, most as usize).await?;
        self.throw_away(&letters).await
    }

    async fn set_paused(&self, queue: &str, tenant: Option<TenantId>, paused: bool) -> Result<(), Error> {
        self.introduce(queue, false).await?;
        let word = if paused { "pause" } else { "resume" };
        let call = self.on(&STEER, queue).arg(word).arg(tenant.map_or(Vec::new(), bytes));
        while self.run::<bool>(call.clone()).await? {}
        Ok(())
    }

    async fn set_weight(&self, queue: &str, tenant: TenantId, weight: u32) -> Result<(), Error> {
        self.introduce(queue, false).await?;
        let call = self.on(&STEER, queue).arg("weight").arg(bytes(tenant)).arg(weight.clamp(1, 100));
        self.run::<i64>(call).await.map(drop)
    }

    async fn set_limit(&self, name: &str, key: Option<&str>, limit: Option<Limit>) -> Result<(), Error> {
        let id = limit_id(name, key);
        let rule = limit.map_or_else(|| b"0".to_vec(), |limit| [b"1".to_vec(), codec::limit(limit)].concat());
        let rule: Vec<u8> = self.run(self.globally("set").arg(id.as_slice()).arg(rule)).await?;
        self.everywhere("s", &id, &rule).await
    }

    async fn set_queue_limit(&self, queue: &str, limit: Option<Limit>) -> Result<(), Error> {
        self.introduce(queue, false).await?;
        let call = self.on(&STEER, queue).arg("limit").arg(limit.map_or(Vec::new(), codec::limit));
        self.run::<i64>(call).await.map(drop)
    }

    async fn limits(&self, after: Option<&LimitPlace>, most: u32) -> Result<Vec<LimitStatus>, Error> {
        self.all_limits(after, most).await
    }

    async fn hold(&self, name: &str, key: Option<&str>, wait: Duration) -> Result<(), Error> {
        let (id, time) = (limit_id(name, key), milliseconds(wait));
        let _: Vec<u8> = self.run(self.globally("hold").arg(id.as_slice()).arg(time)).await?;
        self.everywhere("h", &id, time.to_string().as_bytes()).await
    }
}

impl RedisBackend {
    /// The rules from which new queues take theirs.
    fn globally(&self, what: &str) -> Call {
        GLOBAL_RULES.keys([self.keys.rules()]).arg(what)
    }

    /// Tells all queues of a rule.
    async fn everywhere(&self, kind: &str, limit: &[u8], value: &[u8]) -> Result<(), Error> {
        let queues = self.names().await?;
        let told = queues
            .iter()
            .map(|queue| self.run::<i64>(self.on(&RULES, queue).arg(kind).arg(limit).arg(value)));
        try_join_all(told).await.map(drop)
    }
}

fn bytes(tenant: TenantId) -> Vec<u8> {
    tenant.as_uuid().as_bytes().to_vec()
}

//! What tests of this crate need to bring jobs into every state by hand: a job, a tenant, and a worker without handlers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, InTenant, TenantId};
use uuid::Uuid;
use validator::Validate;

use crate::backend::{Claim, Claimed, Fate, Settled};
use crate::conformance::{PATIENCE, postgres};
use crate::{Job, JobId, LimitKey, Options, Producer, Queues, Reason};

#[derive(Debug, Serialize, Deserialize, Validate)]
pub(crate) struct Mail {
    #[validate(range(max = 1_000_000))]
    pub(crate) n: u64,
}

impl Job for Mail {
    const NAME: &'static str = "mail:send";
    const OPTIONS: Options = Options::DEFAULT.queue("mail");
}

/// A mail through a limit.
pub(crate) fn limited(n: u64) -> crate::NewJob<Mail> {
    crate::NewJob::of(Mail { n }).limit(LimitKey::by("host", "example.com"))
}

pub(crate) fn tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test has no token")
}

/// Plays a scenario on each backend, one after the other. A failure is below the name of its backend.
pub(crate) async fn everywhere(scenario: impl AsyncFn(Fixture)) {
    eprintln!("in memory");
    scenario(Fixture::new().await).await;
    eprintln!("on Postgres");
    let (db, _database, _server) = postgres().await;
    scenario(Fixture::on(Queues::postgres(&db)).await).await;
    #[cfg(feature = "redis")]
    {
        eprintln!("on Redis");
        let (redis, part) = crate::conformance::redis().await;
        scenario(Fixture::on(Queues::redis_with_prefix(&redis, part.prefix()).unwrap()).await).await;
    }
}

/// Queues with one tenant and one worker.
pub(crate) struct Fixture {
    pub(crate) queues: Queues,
    pub(crate) tenant: AssumedTenant,
    pub(crate) mails: Producer,
    worker: Uuid,
    claims: i64,
}

impl Fixture {
    /// In memory, whose clock can be moved.
    pub(crate) async fn new() -> Self {
        Self::on(Queues::memory()).await
    }

    async fn on(queues: Queues) -> Self {
        let (tenant, worker) = (tenant(), Uuid::new_v4());
        let of: [Arc<str>; 2] = ["mail".into(), "bulk".into()];
        queues.backend.register(worker, &of, Duration::from_secs(24 * 60 * 60)).await.unwrap();
        Self { mails: queues.tenant(&tenant), queues, tenant, worker, claims: 0 }
    }

    pub(crate) async fn mail(&self, n: u64) -> JobId {
        self.mails.enqueue(Mail { n }).await.unwrap().job_id()
    }

    pub(crate) async fn claim(&mut self, queue: &str, most: usize) -> Vec<Claimed> {
        self.claims += 1;
        let claim = Claim { queue, most, worker: self.worker, number: self.claims };
        self.queues.backend.claim(claim).await.unwrap()
    }

    /// Makes ready what is due, and claims, until this many jobs are claimed.
    pub(crate) async fn claim_soon(&mut self, queue: &str, jobs: usize) -> Vec<JobId> {
        let all = async {
            let mut claimed = Vec::new();
            while claimed.len() < jobs {
                while self.queues.backend.promote(queue).await.unwrap() {}
                let some = self.claim(queue, jobs - claimed.len()).await;
                claimed.extend(some.iter().map(|claimed| claimed.job));
                tokio::time::sleep(Duration::from_millis(2)).await; // a condition is polled
            }
            claimed
        };
        tokio::time::timeout(PATIENCE, all).await.expect("there were jobs")
    }

    /// How many of a hundred mails are its tenant's, while another one has as many: fifty if their weights are alike.
    pub(crate) async fn share(&mut self) -> usize {
        let other = self.queues.tenant(&tenant());
        for producer in [&self.mails, &other] {
            producer.enqueue_all((0..100).map(|n| Mail { n })).await.unwrap();
        }
        let (own, mut share) = (self.tenant.context().tenant(), 0);
        for _ in 0..10 {
            share += self.claim("mail", 10).await.iter().filter(|claimed| claimed.tenant == own).count();
        }
        share
    }

    /// What becomes of what was claimed last.
    pub(crate) async fn settle(&self, queue: &str, jobs: &[Claimed], fate: Fate) {
        let settled: Vec<_> =
            jobs.iter().map(|claimed| Settled::new(self.claims, claimed.job, fate.clone())).collect();
        assert_eq!(self.queues.backend.settle(self.worker, queue, &settled).await.unwrap(), []);
    }

    /// So many dead letters, with one after the other their numbers as payloads.
    pub(crate) async fn dead(&mut self, letters: u64) -> Vec<JobId> {
        self.mails.enqueue_all((0..letters).map(|n| Mail { n })).await.unwrap();
        let mut dead = Vec::new();
        while dead.len() < letters as usize {
            let jobs = self.claim("mail", 500).await;
            self.settle("mail", &jobs, Fate::Dead(Reason::Failed, "no such address".to_owned())).await;
            dead.extend(jobs.iter().map(|claimed| claimed.job));
        }
        dead
    }
}

impl Fixture {
    /// What a running job says of itself.
    pub(crate) async fn progress(&self, job: JobId, progress: crate::Progress) {
        let of: [Arc<str>; 1] = ["mail".into()];
        let lease = Duration::from_secs(60);
        assert!(self.queues.backend.renew(self.worker, &of, lease, &[(job, progress)]).await.unwrap());
    }
}

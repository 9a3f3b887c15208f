use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared_core::{Id, TenantId};
use uuid::Uuid;

use crate::backend::{Backend, Claim, Claimed, Entry, Fate, Retention, Settled, Swept};
use crate::dead::Reason;
use crate::limit::{Limit, LimitKey};
use crate::view::{JobView, State};
use crate::{Enqueued, JobId, Priority, Unique};

/// Longer than any test: what is due then does not happen.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// So short that it is over at the next look.
pub(super) const INSTANT: Duration = Duration::from_millis(1);

/// Workers that may die.
pub(super) const CRASH_BUDGET: u32 = 3;

/// A backend, with queues, a tenant and limits of which nobody else knows.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) queue: Arc<str>,
    pub(super) other_queue: Arc<str>,
    pub(super) tenant: TenantId,
    tag: String,
}

impl Bench {
    pub(super) fn new(backend: Arc<dyn Backend>, number: usize) -> Self {
        let tag = format!("s{number}");
        let queue = |name: &str| Arc::from(format!("{tag}-{name}"));
        Self { backend, queue: queue("one"), other_queue: queue("two"), tenant: TenantId::new(), tag }
    }

    pub(super) fn queues(&self) -> Vec<Arc<str>> {
        vec![self.queue.clone(), self.other_queue.clone()]
    }

    /// A job that is due at once and has nothing special.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            job: Id::new(),
            tenant: self.tenant,
            queue: self.queue.to_string().into(),
            name: "test:note".into(),
            version: 1,
            payload: "{}".to_owned(),
            context: "{}".to_owned(),
            priority: Priority::Normal,
            delay: Duration::ZERO,
            order: None,
            limits: Vec::new(),
            unique: None,
        }
    }

    pub(super) fn entries(&self, count: usize) -> Vec<Entry> {
        (0..count).map(|_| self.entry()).collect()
    }

    pub(super) fn of_tenant(&self, tenant: TenantId) -> Entry {
        Entry { tenant, ..self.entry() }
    }

    pub(super) fn ordered(&self, key: &str) -> Entry {
        Entry { order: Some(key.to_owned()), ..self.entry() }
    }

    pub(super) fn unique(&self, unique: Unique) -> Entry {
        Entry { unique: Some(unique), ..self.entry() }
    }

    /// With the payload `n`, so that one can be told from another.
    pub(super) fn saying(&self, n: u32, unique: Unique) -> Entry {
        Entry { payload: n.to_string(), ..self.unique(unique) }
    }

    /// Under a limit of this scenario.
    pub(super) fn limited(&self, name: &str) -> Entry {
        Entry { limits: vec![self.limit_key(name, None)], ..self.entry() }
    }

    pub(super) fn limited_by(&self, name: &str, key: &str) -> Entry {
        Entry { limits: vec![self.limit_key(name, Some(key))], ..self.entry() }
    }

    pub(super) fn limit_key(&self, name: &str, key: Option<&str>) -> LimitKey {
        LimitKey { name: self.limit_name(name).into(), key: key.map(str::to_owned) }
    }

    pub(super) fn limit_name(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    pub(super) async fn set_limit(&self, name: &str, key: Option<&str>, limit: impl Into<Option<Limit>>) {
        self.backend.set_limit(&self.limit_name(name), key, limit.into()).await.unwrap();
    }

    pub(super) async fn hold(&self, name: &str, key: Option<&str>, wait: Duration) {
        self.backend.hold(&self.limit_name(name), key, wait).await.unwrap();
    }

    /// Enqueues a job that is like no other.
    pub(super) async fn put(&self, entry: Entry) -> JobId {
        let job = entry.job;
        assert_eq!(self.offer(entry).await, Enqueued::Inserted(job));
        job
    }

    pub(super) async fn offer(&self, entry: Entry) -> Enqueued {
        self.backend.enqueue(vec![entry]).await.unwrap()[0]
    }

    /// Enqueues jobs in one call, and returns them in their order.
    pub(super) async fn put_all(&self, entries: Vec<Entry>) -> Vec<JobId> {
        let jobs: Vec<JobId> = entries.iter().map(|entry| entry.job).collect();
        let answers = self.backend.enqueue(entries).await.unwrap();
        assert_eq!(answers, jobs.iter().copied().map(Enqueued::Inserted).collect::<Vec<_>>());
        jobs
    }

    /// A worker of both queues whose lease does not end.
    pub(super) async fn worker(&self) -> Worker {
        let worker = Worker { bench: self.clone(), id: Uuid::new_v4(), claims: 0, held: BTreeMap::new() };
        self.backend.register(worker.id, &self.queues(), HOUR).await.unwrap();
        worker
    }

    pub(super) async fn promote(&self) {
        while self.backend.promote(&self.queue).await.unwrap() {}
    }

    pub(super) async fn sweep(&self) -> Swept {
        self.backend.sweep(&self.queues(), CRASH_BUDGET).await.unwrap()
    }

    /// Sweeps until so many jobs were taken from dead workers.
    pub(super) async fn sweep_until(&self, jobs: u64) -> Swept {
        let mut all = Swept::default();
        while all.rescued + all.dead < jobs {
            let swept = self.sweep().await;
            all.rescued += swept.rescued;
            all.dead += swept.dead;
            all.expired += swept.expired;
            pause().await;
        }
        all
    }

    /// As much is kept as any scenario needs.
    pub(super) const KEEPS: Retention = Retention { kept_most: 1000, dead_for: HOUR, dead_most: 1000 };

    /// Forgets what is over; how much that was, and whether there may be more.
    pub(super) async fn prune(&self) -> (u64, bool) {
        self.backend.prune(&self.queues(), Self::KEEPS).await.unwrap()
    }

    pub(super) async fn view(&self, job: JobId) -> Option<JobView> {
        self.backend.job(job).await.unwrap()
    }

    pub(super) async fn state(&self, job: JobId) -> Option<State> {
        self.view(job).await.map(|view| view.state)
    }

    /// Nothing of this queue can be claimed now.
    pub(super) async fn nothing_is_left(&self) {
        self.promote().await;
        assert_eq!(self.worker().await.claim(100).await, []);
    }
}

/// A worker, and what it claimed.
pub(super) struct Worker {
    pub(super) bench: Bench,
    pub(super) id: Uuid,
    /// The number of the last claim.
    pub(super) claims: i64,
    /// The claim of each job that it claimed and did not settle.
    pub(super) held: BTreeMap<JobId, i64>,
}

impl Worker {
    pub(super) async fn claim(&mut self, most: usize) -> Vec<JobId> {
        let queue = self.bench.queue.clone();
        self.claim_from(&queue, most).await
    }

    pub(super) async fn claim_from(&mut self, queue: &str, most: usize) -> Vec<JobId> {
        self.claim_whole(queue, most).await.into_iter().map(|job| job.job).collect()
    }

    pub(super) async fn claim_whole(&mut self, queue: &str, most: usize) -> Vec<Claimed> {
        self.claims += 1;
        let claim = Claim { queue, most, worker: self.id, number: self.claims };
        let jobs = self.bench.backend.claim(claim).await.unwrap();
        assert!(jobs.len() <= most, "{} jobs for {most}", jobs.len());
        self.held.extend(jobs.iter().map(|job| (job.job, self.claims)));
        jobs
    }

    /// Claims one job, which has to be there.
    pub(super) async fn claim_one(&mut self) -> JobId {
        let jobs = self.claim(1).await;
        assert_eq!(jobs.len(), 1, "there was no job");
        jobs[0]
    }

    /// Makes ready what is due, and claims, until there is a job.
    pub(super) async fn claim_soon(&mut self) -> JobId {
        loop {
            self.bench.promote().await;
            if let [job] = self.claim(1).await[..] {
                return job;
            }
            pause().await;
        }
    }

    /// Settles a job by the claim that took it, and returns whether that was accepted.
    pub(super) async fn settle(&mut self, job: JobId, fate: Fate) -> bool {
        let claim = self.held.remove(&job).unwrap();
        self.settle_as(claim, job, fate).await
    }

    pub(super) async fn settle_as(&self, claim: i64, job: JobId, fate: Fate) -> bool {
        let queue =
            self.bench.view(job).await.map_or_else(|| self.bench.queue.to_string(), |view| view.queue);
        let settled = [Settled { keep_cancelled: HOUR, ..Settled::new(claim, job, fate) }];
        self.bench.backend.settle(self.id, &queue, &settled).await.unwrap().is_empty()
    }

    /// Completes jobs that it holds.
    pub(super) async fn complete(&mut self, jobs: &[JobId]) {
        for job in jobs {
            assert!(self.settle(*job, done()).await);
        }
    }

    /// Its lease ends.
    pub(super) async fn die(&self) {
        let renewed = self.bench.backend.renew(self.id, &self.bench.queues(), Duration::ZERO, &[]).await;
        assert!(renewed.unwrap());
    }

    pub(super) async fn lives(&self) -> bool {
        self.bench.backend.renew(self.id, &self.bench.queues(), HOUR, &[]).await.unwrap()
    }

    pub(super) async fn retire(&self) -> u64 {
        self.bench.backend.retire(self.id, &self.bench.queues()).await.unwrap()
    }

    pub(super) async fn give_back(&self, claims: &[i64]) -> u64 {
        self.bench.backend.give_back(self.id, &self.bench.queue, claims).await.unwrap()
    }

    pub(super) async fn held(&self) -> Vec<(JobId, i64)> {
        let held = self.bench.backend.held(self.id, &self.bench.queue).await.unwrap();
        sorted(held)
    }

    pub(super) async fn to_cancel(&self) -> Vec<JobId> {
        self.bench.backend.to_cancel(self.id, &self.bench.queues()).await.unwrap()
    }
}

/// Completed, and nothing is left of it.
pub(super) fn done() -> Fate {
    Fate::Completed { result: None, keep: Duration::ZERO }
}

pub(super) fn retry(after: Duration) -> Fate {
    Fate::Retry { after, error: "not today".to_owned() }
}

pub(super) fn dead() -> Fate {
    Fate::Dead(Reason::Failed, "never".to_owned())
}

/// Every way in which an attempt may end.
pub(super) fn fates() -> Vec<Fate> {
    vec![
        done(),
        Fate::Completed { result: Some("1".to_owned()), keep: HOUR },
        retry(Duration::ZERO),
        Fate::Later(Duration::ZERO),
        Fate::Cancelled { keep: Duration::ZERO },
        Fate::Cancelled { keep: HOUR },
        dead(),
    ]
}

/// Between two looks at a condition.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_millis(2)).await; // a condition is polled
}

/// As a set.
pub(super) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

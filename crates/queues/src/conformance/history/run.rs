use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use proptest::sample::Index;
use shared_core::TenantId;
use uuid::Uuid;

use super::steps::{Kind, New, Step, TENANTS, WORKERS};
use crate::backend::{Backend, Claim, DeadFilter, Entry, Fate, JobFilter, Settled, Swept};
use crate::conformance::bench::{Bench, HOUR, done, pause, sorted};
use crate::limit::Limit;
use crate::memory::Memory;
use crate::view::State;
use crate::{Enqueued, JobId, Unique};

const CRASH_BUDGET: u32 = 2;

/// Looks at a backend that may need a moment to see that a limit has room.
const LOOKS: usize = 2000;

/// Both sides agree, or this is why not.
type Agreed = Result<(), String>;

/// A history on both sides.
pub(super) struct Run {
    bench: Bench,
    model: Memory,
    /// Whether what comes back goes to its old place.
    old_places: bool,
    tenants: [TenantId; TENANTS],
    workers: [Worker; WORKERS],
    jobs: Vec<JobId>,
    laned: BTreeSet<JobId>,
    claimed: BTreeSet<JobId>,
}

/// A worker's present name, and all that it ever claimed: under which name and number, and what.
struct Worker {
    name: Uuid,
    claims: i64,
    memory: Vec<(Uuid, i64, JobId)>,
}

/// What both have to tell of a job.
#[derive(Debug, PartialEq)]
struct Told {
    state: State,
    attempts: u32,
    crashes: u32,
    error: Option<String>,
    result: Option<String>,
}

fn same<T: PartialEq + Debug>(what: &str, real: T, model: T) -> Agreed {
    if real == model { Ok(()) } else { Err(format!("{what}: {real:?} instead of {model:?}")) }
}

impl Run {
    pub(super) async fn new(bench: Bench, old_places: bool) -> Self {
        let worker = || Worker { name: Uuid::new_v4(), claims: 0, memory: Vec::new() };
        let run = Self {
            bench,
            model: Memory::new(),
            old_places,
            tenants: std::array::from_fn(|_| TenantId::new()),
            workers: std::array::from_fn(|_| worker()),
            jobs: Vec::new(),
            laned: BTreeSet::new(),
            claimed: BTreeSet::new(),
        };
        for worker in &run.workers {
            run.register(worker.name).await;
        }
        run
    }

    pub(super) async fn step(&mut self, step: &Step) -> Agreed {
        match step {
            Step::Enqueue(new) => self.enqueue(new).await?,
            Step::Claim { worker, most } => drop(self.claim(*worker, *most).await?),
            Step::Settle { worker, which, fate } => self.settle(*worker, which, fate).await?,
            Step::Promote => self.promote().await?,
            Step::Crash { worker } => self.crash(*worker).await?,
            Step::Retire { worker } => self.retire(*worker).await?,
            Step::GiveBack { worker, which } => self.give_back(*worker, which).await?,
            Step::Cancel { which } => self.cancel(which).await?,
            Step::Reschedule { which, wait } => self.reschedule(which, *wait).await?,
            Step::Pause(paused) => self.pause(*paused).await?,
            Step::Limit { name, concurrency } => self.limit(name, *concurrency).await?,
            Step::Redrive => self.redrive().await?,
        }
        self.compare().await
    }

    /// Asks both the same.
    async fn both<T>(&self, ask: impl AsyncFn(&dyn Backend) -> T) -> (T, T) {
        (ask(&*self.bench.backend).await, ask(&self.model).await)
    }

    async fn agree<T: PartialEq + Debug>(&self, what: &str, ask: impl AsyncFn(&dyn Backend) -> T) -> Agreed {
        let (real, model) = self.both(ask).await;
        same(what, real, model)
    }

    async fn enqueue(&mut self, new: &[New]) -> Agreed {
        let entries: Vec<Entry> = new.iter().map(|new| self.entry(new)).collect();
        for entry in &entries {
            self.jobs.push(entry.job);
            if entry.order.is_some() || !entry.limits.is_empty() {
                self.laned.insert(entry.job);
            }
        }
        let enqueue = async |backend: &dyn Backend| -> Vec<Enqueued> {
            backend.enqueue(entries.clone()).await.unwrap()
        };
        self.agree("answers", enqueue).await
    }

    fn entry(&self, new: &New) -> Entry {
        let bench = &self.bench;
        let plain = Entry {
            tenant: self.tenants[new.tenant],
            priority: new.priority,
            delay: new.delay,
            payload: self.jobs.len().to_string(),
            ..bench.entry()
        };
        let limit = |name| bench.limit_key(name, None);
        match &new.kind {
            Kind::Plain => plain,
            Kind::Ordered(key) => Entry { order: Some((*key).to_owned()), ..plain },
            Kind::Limited(name) => Entry { limits: vec![limit(name)], ..plain },
            Kind::TwiceLimited => Entry { limits: vec![limit("b"), limit("a")], ..plain },
            Kind::OrderedAndLimited(key, name) => {
                Entry { order: Some((*key).to_owned()), limits: vec![limit(name)], ..plain }
            }
            Kind::Unique(unique) => Entry { unique: Some(unique.clone()), ..plain },
            Kind::KeepLatest => {
                let unique = Some(Unique::keep_latest("x"));
                Entry { order: Some("unique:test:note:x".to_owned()), unique, ..plain }
            }
        }
    }

    /// The real backend claims; the model follows. Returns how many jobs that were.
    async fn claim(&mut self, worker: usize, most: usize) -> Result<usize, String> {
        let mut taken = 0;
        for _ in 0..LOOKS {
            let (name, number) = (self.workers[worker].name, self.workers[worker].claims + 1);
            self.workers[worker].claims = number;
            let queue = self.bench.queue.clone();
            let claim = Claim { queue: &queue, most: most - taken, worker: name, number };
            let jobs = self.bench.backend.claim(claim).await.unwrap();
            let jobs: Vec<JobId> = jobs.into_iter().map(|job| job.job).collect();
            let is_fresh = |job| self.old_places || !self.claimed.contains(&job);
            let admitted = self.admitted().await;
            self.model.claim_these(claim, &jobs, &admitted, is_fresh)?;
            self.claimed.extend(&jobs);
            self.workers[worker].memory.extend(jobs.iter().map(|job| (name, number, *job)));
            taken += jobs.len();
            if taken == most || !self.model.has_more(claim) {
                return Ok(taken);
            }
            pause().await;
        }
        let told = self.told(&*self.bench.backend).await;
        let limits = self.bench.backend.limits(None, 10_000).await.unwrap();
        let queue = &self.bench.queue;
        Err(format!("in the queue {queue} there are jobs that are not claimed: {told:#?}, {limits:#?}"))
    }

    /// Jobs that have left their lane, and that nobody has claimed.
    async fn admitted(&self) -> Vec<JobId> {
        let told = self.told(&*self.bench.backend).await;
        let ready =
            told.into_iter().filter(|(job, told)| told.state == State::Ready && self.laned.contains(job));
        ready.map(|(job, _)| job).collect()
    }

    async fn settle(&mut self, worker: usize, which: &Index, fate: &Fate) -> Agreed {
        let memory = &self.workers[worker].memory;
        if memory.is_empty() {
            return Ok(());
        }
        // Most often something of late.
        let late = memory.len().saturating_sub(6);
        let (name, claim, job) = memory[late + which.index(memory.len() - late)];
        self.settle_this(name, claim, job, fate).await
    }

    async fn settle_this(&self, worker: Uuid, claim: i64, job: JobId, fate: &Fate) -> Agreed {
        let settled = [Settled { keep_cancelled: HOUR, ..Settled::new(claim, job, fate.clone()) }];
        let queue = &self.bench.queue;
        let settle = async |backend: &dyn Backend| backend.settle(worker, queue, &settled).await.unwrap();
        self.agree("refused", settle).await
    }

    async fn promote(&self) -> Agreed {
        let queue = &self.bench.queue;
        self.agree("more is due", async |backend: &dyn Backend| backend.promote(queue).await.unwrap()).await
    }

    async fn register(&self, worker: Uuid) {
        let queues = self.bench.queues();
        self.both(async |backend: &dyn Backend| backend.register(worker, &queues, HOUR).await.unwrap()).await;
    }

    async fn crash(&mut self, worker: usize) -> Agreed {
        let (name, queues) = (self.workers[worker].name, self.bench.queues());
        let die =
            async |backend: &dyn Backend| backend.renew(name, &queues, Duration::ZERO, &[]).await.unwrap();
        self.agree("lived", die).await?;
        let expected = self.model.sweep_all(&queues).await;
        let mut swept = Swept::default();
        for _ in 0..LOOKS {
            let now = self.bench.backend.sweep(&queues, CRASH_BUDGET).await.unwrap();
            swept.rescued += now.rescued;
            swept.dead += now.dead;
            if swept.rescued + swept.dead >= expected.rescued + expected.dead {
                break;
            }
            pause().await;
        }
        same("rescued and dead", (swept.rescued, swept.dead), (expected.rescued, expected.dead))?;
        self.rename(worker).await
    }

    async fn retire(&mut self, worker: usize) -> Agreed {
        let (name, queues) = (self.workers[worker].name, self.bench.queues());
        self.agree("handed back", async |backend: &dyn Backend| backend.retire(name, &queues).await.unwrap())
            .await?;
        self.rename(worker).await
    }

    async fn rename(&mut self, worker: usize) -> Agreed {
        self.workers[worker].name = Uuid::new_v4();
        self.workers[worker].claims = 0;
        self.register(self.workers[worker].name).await;
        Ok(())
    }

    async fn give_back(&self, worker: usize, which: &Index) -> Agreed {
        let Worker { name, claims, .. } = self.workers[worker];
        let claims = [i64::try_from(which.index(usize::try_from(claims).unwrap() + 1)).unwrap()];
        let queue = &self.bench.queue;
        let give_back = async |backend: &dyn Backend| backend.give_back(name, queue, &claims).await.unwrap();
        self.agree("given back", give_back).await
    }

    async fn cancel(&self, which: &Index) -> Agreed {
        if self.jobs.is_empty() {
            return Ok(());
        }
        let job = *which.get(&self.jobs);
        self.agree("cancelled", async |backend: &dyn Backend| backend.cancel(job).await.unwrap()).await?;
        let queues = self.bench.queues();
        for Worker { name, .. } in &self.workers {
            let told = async |backend: &dyn Backend| sorted(backend.to_cancel(*name, &queues).await.unwrap());
            self.agree("to cancel", told).await?;
        }
        Ok(())
    }

    async fn reschedule(&self, which: &Index, wait: Duration) -> Agreed {
        if self.jobs.is_empty() {
            return Ok(());
        }
        let job = *which.get(&self.jobs);
        let reschedule = async |backend: &dyn Backend| backend.reschedule(job, wait).await.unwrap();
        self.agree("rescheduled", reschedule).await
    }

    async fn pause(&self, paused: bool) -> Agreed {
        let queue = &self.bench.queue;
        self.both(async |backend: &dyn Backend| backend.set_paused(queue, None, paused).await.unwrap()).await;
        Ok(())
    }

    async fn limit(&self, name: &str, concurrency: Option<u32>) -> Agreed {
        let (name, limit) = (self.bench.limit_name(name), concurrency.map(Limit::concurrency));
        self.both(async |backend: &dyn Backend| backend.set_limit(&name, None, limit).await.unwrap()).await;
        Ok(())
    }

    async fn redrive(&self) -> Agreed {
        let filter = DeadFilter { queue: Some(self.bench.queue.to_string()), ..DeadFilter::default() };
        let redrive =
            async |backend: &dyn Backend| sorted(backend.redrive(&filter, None, 1000).await.unwrap());
        self.agree("redriven", redrive).await
    }

    /// Everything that can still be done is done, and the limits are found unused.
    pub(super) async fn finish(&mut self) -> Agreed {
        self.pause(false).await?;
        for worker in 0..WORKERS {
            self.retire(worker).await?;
        }
        self.promote().await?;
        while self.claim(0, 10).await? > 0 {
            let memory = std::mem::take(&mut self.workers[0].memory);
            for (name, claim, job) in memory.into_iter().filter(|(name, ..)| *name == self.workers[0].name) {
                self.settle_this(name, claim, job, &done()).await?;
            }
        }
        self.compare().await?;
        for status in self.bench.backend.limits(None, 10_000).await.unwrap() {
            if status.name.starts_with(&self.bench.limit_name("")) {
                same(&status.name, status.running, 0)?;
            }
        }
        Ok(())
    }

    async fn compare(&self) -> Agreed {
        let (real, model) = self.both(async |backend: &dyn Backend| self.told(backend).await).await;
        for job in &self.jobs {
            same(&job.to_string(), real.get(job), model.get(job))?;
        }
        same("jobs", real.len(), model.len())
    }

    async fn told(&self, backend: &dyn Backend) -> BTreeMap<JobId, Told> {
        let filter = JobFilter { queue: Some(self.bench.queue.to_string()), ..JobFilter::default() };
        let views = backend.search(&filter, 1000).await.unwrap();
        let told = views.into_iter().map(|view| {
            let told = Told {
                state: view.state,
                attempts: view.attempts,
                crashes: view.crashes,
                error: view.error,
                result: view.result,
            };
            (view.job_id, told)
        });
        told.collect()
    }
}

impl Memory {
    async fn sweep_all(&self, queues: &[std::sync::Arc<str>]) -> Swept {
        crate::backend::Work::sweep(self, queues, CRASH_BUDGET).await.unwrap()
    }
}

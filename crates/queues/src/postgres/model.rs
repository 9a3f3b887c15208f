//! Random histories of three workers, dying ones and stale ones among them, against a model of a few lines.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared_core::{AssumedTenant, Context, InTenant, TenantId};
use shared_db::{Db, bootstrap, statements};
use shared_devkit::Postgres;
use uuid::Uuid;

use super::{Completion, Fate, Fence, MIGRATIONS, NewJob, Outbox, Settled, Store};
use crate::dead::Reason;

statements! {
    const EMPTY: Statement<(), ()> = "
        with body as (delete from shared_queues.body), ready as (delete from shared_queues.ready),
             scheduled as (delete from shared_queues.scheduled), worker as (delete from shared_queues.worker),
             lease as (delete from shared_queues.lease)
        delete from shared_queues.dead";
    const SILENT: Statement<(Uuid,), ()> = "
        update shared_queues.worker set expires_at = '-infinity' where incarnation = $1";
}

const WORKERS: usize = 3;
const CRASH_BUDGET: u32 = 2;

#[derive(Clone, Debug)]
enum Step {
    Enqueue(usize),
    Claim {
        worker: usize,
        most: usize,
    },
    /// The worker settles something that it claimed once, whoever holds it now.
    Settle {
        worker: usize,
        which: prop::sample::Index,
        fate: Fate,
    },
    /// The same in a transaction.
    Complete {
        worker: usize,
        which: prop::sample::Index,
    },
    Promote,
    /// It falls silent, somebody sweeps, and it comes back under another name, with a memory of the old one.
    Crash {
        worker: usize,
    },
    Retire {
        worker: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    let fate = prop_oneof![
        3 => Just(Fate::Completed),
        1 => Just(Fate::Retry(Duration::ZERO)),
        1 => Just(Fate::Back(Duration::ZERO)),
        1 => Just(Fate::Dead(Reason::Failed, "dead".to_owned())),
    ];
    let which = any::<prop::sample::Index>;
    prop_oneof![
        3 => (1usize..6).prop_map(Step::Enqueue),
        4 => (worker.clone(), 1usize..5).prop_map(|(worker, most)| Step::Claim { worker, most }),
        6 => (worker.clone(), which(), fate).prop_map(|(worker, which, fate)| Step::Settle { worker, which, fate }),
        2 => (worker.clone(), which()).prop_map(|(worker, which)| Step::Complete { worker, which }),
        2 => Just(Step::Promote),
        1 => worker.clone().prop_map(|worker| Step::Crash { worker }),
        1 => worker.prop_map(|worker| Step::Retire { worker }),
    ]
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Ready,
    Scheduled,
    Held(Fence),
    /// Completed by a transaction, and not yet out of its lease.
    Complete(Fence),
    Done,
    Dead,
}

struct Job {
    job_id: Uuid,
    place: Place,
    crashes: u32,
}

struct Run {
    store: Store,
    tenant: AssumedTenant,
    /// In the order of their ids.
    jobs: Vec<Job>,
    names: [Uuid; WORKERS],
    claims: [i64; WORKERS],
    /// Every claim that a worker ever made: the fence, and the job.
    memory: [Vec<(Fence, usize)>; WORKERS],
}

impl Run {
    async fn new(db: &Db) -> Self {
        db.system().execute(&EMPTY, ()).await.unwrap();
        let run = Self {
            store: Store { db: db.clone() },
            tenant: AssumedTenant::new(TenantId::new(), "a test has no token"),
            jobs: Vec::new(),
            names: std::array::from_fn(|_| Uuid::new_v4()),
            claims: [0; WORKERS],
            memory: Default::default(),
        };
        for name in run.names {
            run.store.register(name, Duration::from_secs(600)).await.unwrap();
        }
        run
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Enqueue(jobs) => self.enqueue(*jobs).await,
            Step::Claim { worker, most } => self.claim(*worker, *most).await,
            Step::Settle { worker, which, fate } => self.settle(*worker, *which, fate).await,
            Step::Complete { worker, which } => self.complete(*worker, *which).await,
            Step::Promote => {
                assert!(!self.store.promote("default").await.unwrap());
                self.moved(|job| (job.place == Place::Scheduled).then_some(Place::Ready));
            }
            Step::Crash { worker } => self.crash(*worker).await,
            Step::Retire { worker } => self.retire(*worker).await,
        }
        self.compare().await;
    }

    async fn enqueue(&mut self, jobs: usize) {
        let context = serde_json::to_string(self.tenant.context()).unwrap();
        let mut tx = self.store.db.tenant(&self.tenant).begin().await.unwrap();
        for _ in 0..jobs {
            let job_id = Uuid::now_v7();
            tx.at_commit::<Outbox>().push(NewJob {
                job_id,
                queue: "default",
                name: "a:b",
                version: 1,
                payload: "{}".to_owned(),
                context: context.clone(),
                delay: Duration::ZERO,
            });
            self.jobs.push(Job { job_id, place: Place::Ready, crashes: 0 });
        }
        tx.commit().await.unwrap();
    }

    async fn claim(&mut self, worker: usize, most: usize) {
        self.claims[worker] += 1;
        let claim = self.claims[worker];
        let claimed = self.store.claim("default", most, self.names[worker], claim).await.unwrap();
        let ready = (0..self.jobs.len()).filter(|job| self.jobs[*job].place == Place::Ready).take(most);
        let expected: Vec<usize> = ready.collect();
        let found: Vec<Uuid> = claimed.iter().map(|job| job.job_id).collect();
        assert_eq!(found, expected.iter().map(|job| self.jobs[*job].job_id).collect::<Vec<_>>());
        for (row, job) in claimed.iter().zip(expected) {
            assert_eq!(serde_json::from_str::<Context>(&row.context).unwrap().tenant(), row.tenant_id);
            let fence = Fence { worker: self.names[worker], claim, id: row.id };
            self.jobs[job].place = Place::Held(fence);
            self.memory[worker].push((fence, job));
        }
    }

    async fn settle(&mut self, worker: usize, which: prop::sample::Index, fate: &Fate) {
        let Some((fence, job)) = self.remembered(worker, which) else { return };
        let settled = Settled { claim: fence.claim, id: fence.id, fate: fate.clone() };
        let refused = self.store.settle(fence.worker, &[settled]).await.unwrap();
        let place = &mut self.jobs[job].place;
        let held = *place == Place::Held(fence) || *place == Place::Complete(fence);
        assert_eq!(refused, usize::from(!held));
        *place = match fate {
            _ if !held => *place,
            _ if *place == Place::Complete(fence) => Place::Done,
            Fate::Completed => Place::Done,
            Fate::Retry(_) | Fate::Back(_) => Place::Scheduled,
            Fate::Dead(..) => Place::Dead,
        };
    }

    async fn complete(&mut self, worker: usize, which: prop::sample::Index) {
        let Some((fence, job)) = self.remembered(worker, which) else { return };
        let mut tx = self.store.db.tenant(&self.tenant).begin().await.unwrap();
        tx.at_commit::<Completion>().0 = Some(fence);
        let held = self.jobs[job].place == Place::Held(fence);
        assert_eq!(tx.commit().await.is_ok(), held);
        if held {
            self.jobs[job].place = Place::Complete(fence);
        }
    }

    async fn crash(&mut self, worker: usize) {
        let name = self.names[worker];
        self.store.db.system().execute(&SILENT, (name,)).await.unwrap();
        self.store.sweep(CRASH_BUDGET).await.unwrap();
        assert!(!self.store.renew(name, Duration::from_secs(600)).await.unwrap());
        for job in &mut self.jobs {
            match job.place {
                Place::Held(fence) if fence.worker == name => {
                    job.crashes += 1;
                    job.place = if job.crashes < CRASH_BUDGET { Place::Ready } else { Place::Dead };
                }
                Place::Complete(fence) if fence.worker == name => job.place = Place::Done,
                _ => {}
            }
        }
        self.rename(worker).await;
    }

    async fn retire(&mut self, worker: usize) {
        let name = self.names[worker];
        self.store.retire(name).await.unwrap();
        self.moved(|job| match job.place {
            Place::Held(fence) if fence.worker == name => Some(Place::Ready),
            Place::Complete(fence) if fence.worker == name => Some(Place::Done),
            _ => None,
        });
        self.rename(worker).await;
    }

    async fn rename(&mut self, worker: usize) {
        self.names[worker] = Uuid::new_v4();
        self.store.register(self.names[worker], Duration::from_secs(600)).await.unwrap();
    }

    fn remembered(&self, worker: usize, which: prop::sample::Index) -> Option<(Fence, usize)> {
        let memory = &self.memory[worker];
        (!memory.is_empty()).then(|| memory[which.index(memory.len())])
    }

    fn moved(&mut self, to: impl Fn(&Job) -> Option<Place>) {
        for job in &mut self.jobs {
            job.place = to(job).unwrap_or(job.place);
        }
    }

    async fn compare(&self) {
        let count = |is: fn(&Place) -> bool| self.jobs.iter().filter(|job| is(&job.place)).count() as i64;
        let expected = (
            count(|place| *place == Place::Ready),
            count(|place| *place == Place::Scheduled),
            count(|place| matches!(place, Place::Held(_) | Place::Complete(_))),
            count(|place| *place == Place::Dead),
        );
        assert_eq!(self.store.backlog().await.unwrap(), expected);
    }
}

#[test]
fn every_history_agrees_with_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_server, _database, db) = runtime.block_on(async {
        let server = Postgres::shared().await.unwrap();
        let migrate =
            async |url: String| bootstrap(&shared_db::Config::new(url), &[MIGRATIONS]).await.map(drop);
        let database = server.database("shared-queues 1", migrate).await.unwrap();
        let db = Db::connect(&shared_db::Config::new(database.url())).await.unwrap();
        (server, database, db)
    });
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let histories = prop::collection::vec(step(), 1..60);
    let result = TestRunner::new(config).run(&histories, |history| {
        runtime.block_on(async {
            let mut run = Run::new(&db).await;
            for step in &history {
                run.step(step).await;
            }
        });
        Ok(())
    });
    result.unwrap();
}

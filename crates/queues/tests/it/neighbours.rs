//! One queue can't be served, and keeps no other from being served; nor does one schedule keep others of its queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{Failure, InTenant};
use shared_queues::{Config, Job, JobContext, Jobs, MissedRuns, NewJob, Schedule, Unique};
use tokio_util::task::AbortOnDropHandle;
use validator::Validate;

#[cfg(feature = "redis")]
use crate::support::Backend;
use crate::support::{Act, Bench, Note, Probe, The, config, gated, note, on_servers, probe, until};
use crate::tables::bodies;

/// It stands in front of the others, whose queue is `default`.
const BROKEN: &str = "broken";

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:elsewhere", queue = "broken")]
struct Elsewhere {
    n: i64,
}

async fn elsewhere(job: Elsewhere, cx: JobContext, probe: The<Probe>) -> Result<(), Failure> {
    note(Note { n: job.n }, cx, probe).await
}

fn jobs() -> Jobs<The<Probe>> {
    Jobs::new().handle(note).handle(elsewhere)
}

/// A worker that is not to lose its lease, though it can't renew it everywhere.
fn patient() -> Config {
    Config { lease: Duration::from_secs(200), ..config() }
}

/// On Postgres a trigger refuses some rows. On Redis one of the keys is not of the type that scripts expect.
struct Fault {
    /// Where to mend it, and how.
    server: tokio_postgres::Client,
    _connection: AbortOnDropHandle<()>,
    table: &'static str,
    #[cfg(feature = "redis")]
    key: Option<(shared_db::redis::Redis, Vec<u8>)>,
}

impl Fault {
    /// Nothing becomes ready in the broken queue.
    async fn of(bench: &Bench, key: &str) -> Self {
        Self::on(bench, "ready", "queue = 'broken'", BROKEN, key.as_bytes()).await
    }

    /// Nothing with the ordering key `refused` can be enqueued.
    async fn of_order(bench: &Bench) -> Self {
        let tenant = bench.tenant.context().tenant().as_uuid();
        let lane = [b"lane:o", tenant.as_bytes().as_slice(), b"refused"].concat();
        Self::on(bench, "body", "order_key = 'refused'", "default", &lane).await
    }

    async fn on(bench: &Bench, table: &'static str, rows: &str, queue: &str, key: &[u8]) -> Self {
        let (server, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
        let _connection = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
        #[cfg(feature = "redis")]
        if let Backend::Redis = bench.backend {
            use shared_db::redis::{Config, Redis, cmd};
            let redis = Redis::connect(&Config::new(bench.part.url())).await.unwrap();
            let key = [format!("{{{}:{queue}}}:", bench.part.prefix()).as_bytes(), key].concat();
            if redis.command(cmd("EXISTS").arg(&key)).await.unwrap() {
                redis.command::<()>(cmd("RENAME").arg(&key).arg(kept(&key))).await.unwrap();
            }
            redis.command::<()>(cmd("SET").arg(&key).arg("of another type")).await.unwrap();
            return Self { server, _connection, table, key: Some((redis, key)) };
        }
        #[cfg(not(feature = "redis"))]
        let _ = (queue, key);
        let refuse = format!("
            create function ledger.refuse() returns trigger language plpgsql as $$ begin raise exception 'broken'; end $$;
            create trigger refuse before insert on shared_queues.{table} for each row when (new.{rows}) execute function ledger.refuse()");
        server.batch_execute(&refuse).await.unwrap();
        Self {
            server,
            _connection,
            table,
            #[cfg(feature = "redis")]
            key: None,
        }
    }

    async fn mend(self) {
        #[cfg(feature = "redis")]
        if let Some((redis, key)) = self.key {
            use shared_db::redis::cmd;
            redis.command::<()>(cmd("DEL").arg(&key)).await.unwrap();
            if redis.command(cmd("EXISTS").arg(kept(&key))).await.unwrap() {
                redis.command::<()>(cmd("RENAME").arg(kept(&key)).arg(&key)).await.unwrap();
            }
            return;
        }
        self.server
            .batch_execute(&format!("drop trigger refuse on shared_queues.{}", self.table))
            .await
            .unwrap();
    }
}

#[cfg(feature = "redis")]
fn kept(key: &[u8]) -> Vec<u8> {
    [key, b":kept"].concat()
}

async fn until_done(bench: &Bench, expected: &[i64]) {
    until("these are done", async || bench.ledger().await == expected).await;
}

#[tokio::test]
async fn a_queue_that_fails_keeps_no_other_from_being_claimed() {
    on_servers(async |bench| {
        let soon = NewJob::of(Elsewhere { n: 100 }).after(Duration::from_millis(1));
        bench.enqueue(soon).await;
        // What is due can't be made ready.
        let fault = Fault::of(&bench, "later").await;
        let _worker = bench.start(probe(Act::Write), jobs(), config()).await;
        bench.enqueue_notes(0..20).await;
        until_done(&bench, &(0..20).collect::<Vec<_>>()).await;
        fault.mend().await;
        until_done(&bench, &(0..20).chain([100]).collect::<Vec<_>>()).await;
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_fails_keeps_no_other_from_being_swept() {
    on_servers(async |bench| {
        bench.enqueue(Elsewhere { n: 1 }).await;
        bench.enqueue(Note { n: 2 }).await;
        let held = gated(Act::Write);
        // Long enough for what is set up meanwhile: by its death alone may the other one get its jobs.
        let mortal = Config { lease: Duration::from_secs(3), ..config() };
        let dies = bench.start(held.clone(), jobs(), mortal).await;
        held.started(2).await;
        let _lives = bench.start(probe(Act::Write), jobs(), patient()).await;
        let fault = Fault::of(&bench, "workers").await;
        drop(dies);
        until_done(&bench, &[2]).await;
        fault.mend().await;
        until_done(&bench, &[1, 2]).await;
    })
    .await;
}

#[tokio::test]
async fn schedules_that_fail_keep_no_others_from_being_fired() {
    on_servers(async |bench| {
        let every_second = |name: &str| Schedule::cron(name, "* * * * * *").missed(MissedRuns::Each);
        let schedules = bench.queues.schedules();
        schedules.put(every_second("fails").job(&bench.tenant, Elsewhere { n: 1 })).await.unwrap();
        schedules.put(every_second("fires").job(&bench.tenant, Note { n: 2 })).await.unwrap();
        let fault = Fault::of(&bench, "slots_due").await;
        let probe = probe(Act::Write);
        let _worker = bench.start(probe.clone(), jobs(), patient()).await;
        probe.started(2).await;
        assert!(probe.runs().iter().all(|run| run.n == 2), "the others cannot be fired");
        fault.mend().await;
        until("they are", async || probe.runs().iter().any(|run| run.n == 1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_schedule_that_fails_keeps_no_other_of_its_queue_from_being_fired() {
    on_servers(async |bench| {
        let every_second = |name: &str| Schedule::cron(name, "* * * * * *").missed(MissedRuns::Each);
        let schedules = bench.queues.schedules();
        let refused = || NewJob::of(Note { n: 1 }).order_by("refused");
        schedules.put(every_second("a-fails").job(&bench.tenant, refused())).await.unwrap();
        schedules.put(every_second("b-fires").job(&bench.tenant, Note { n: 2 })).await.unwrap();
        let fault = Fault::of_order(&bench).await;
        let probe = probe(Act::Write);
        let _worker = bench.worker(&probe, config()).await;
        probe.started(3).await;
        assert!(probe.runs().iter().all(|run| run.n == 2), "the other one can't be fired");
        fault.mend().await;
        // It is tried again by itself after a while, or at once if it is written anew; and no slot was lost.
        schedules.put(every_second("a-fails").job(&bench.tenant, refused())).await.unwrap();
        let runs = |n| probe.runs().iter().filter(|run| run.n == n).count();
        until("it has caught up", async || runs(1) >= 3 && runs(1) + 1 >= runs(2)).await;
        for name in ["a-fails", "b-fires"] {
            schedules.remove("default", name).await.unwrap();
        }
        until("no attempt has left a job behind", async || bodies(&bench).await == 0).await;
    })
    .await;
}

/// An attempt that failed must not have left a mark that stands in the way of the next ones.
#[tokio::test]
async fn a_schedule_of_a_unique_job_fires_again_after_it_failed() {
    on_servers(async |bench| {
        let every_second = || Schedule::cron("unique", "* * * * * *").missed(MissedRuns::Each);
        let schedules = bench.queues.schedules();
        let refused = || NewJob::of(Note { n: 1 }).order_by("refused").unique(Unique::existing("one"));
        let fault = Fault::of_order(&bench).await;
        schedules.put(every_second().job(&bench.tenant, refused())).await.unwrap();
        schedules.put(Schedule::cron("z", "* * * * * *").job(&bench.tenant, Note { n: 2 })).await.unwrap();
        let probe = probe(Act::Write);
        let _worker = bench.worker(&probe, config()).await;
        // It is fired before the other one.
        probe.started(2).await;
        fault.mend().await;
        schedules.put(every_second().job(&bench.tenant, refused())).await.unwrap();
        until("it is fired", async || probe.runs().iter().any(|run| run.n == 1)).await;
    })
    .await;
}

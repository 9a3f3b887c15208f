//! One queue can't be served, and keeps no other from being served.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_queues::{Config, Job, JobContext, Jobs, MissedRuns, NewJob, Schedule};
use tokio_util::task::AbortOnDropHandle;
use validator::Validate;

#[cfg(feature = "redis")]
use crate::support::Backend;
use crate::support::{Act, Bench, Note, Probe, The, config, gated, mortal, note, on_servers, probe, until};

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

/// On Postgres nothing becomes ready in the broken queue. On Redis one of its keys is not of the type that scripts expect.
struct Fault {
    /// Where to mend it, and how.
    server: tokio_postgres::Client,
    _connection: AbortOnDropHandle<()>,
    #[cfg(feature = "redis")]
    key: Option<(shared_db::redis::Redis, String)>,
}

impl Fault {
    async fn of(bench: &Bench, key: &str) -> Self {
        let (server, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
        let _connection = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
        #[cfg(feature = "redis")]
        if let Backend::Redis = bench.backend {
            use shared_db::redis::{Config, Redis, cmd};
            let redis = Redis::connect(&Config::new(bench.part.url())).await.unwrap();
            let key = format!("{{{}:{BROKEN}}}:{key}", bench.part.prefix());
            redis.command::<()>(cmd("RENAME").arg(&key).arg(format!("{key}:kept"))).await.unwrap();
            redis.command::<()>(cmd("SET").arg(&key).arg("of another type")).await.unwrap();
            return Self { server, _connection, key: Some((redis, key)) };
        }
        let refuse = "
            create function ledger.refuse() returns trigger language plpgsql as $$ begin raise exception 'broken'; end $$;
            create trigger refuse before insert on shared_queues.ready for each row when (new.queue = 'broken') execute function ledger.refuse()";
        server.batch_execute(refuse).await.unwrap();
        Self {
            server,
            _connection,
            #[cfg(feature = "redis")]
            key: None,
        }
    }

    async fn mend(self) {
        #[cfg(feature = "redis")]
        if let Some((redis, key)) = self.key {
            use shared_db::redis::cmd;
            return redis.command(cmd("RENAME").arg(format!("{key}:kept")).arg(&key)).await.unwrap();
        }
        self.server.batch_execute("drop trigger refuse on shared_queues.ready").await.unwrap();
    }
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
        let dies = bench.start(held.clone(), jobs(), mortal()).await;
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

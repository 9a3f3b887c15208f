//! The server goes away in the middle, without a flush of what was not synchronous, and comes back.

use std::time::Duration;

use shared_core::{AssumedTenant, Failure};
use shared_db::{Db, bootstrap};
use shared_devkit::{Postgres, Proxy};
use shared_queues::{Cancellation, Config, DeadFilter, JobContext, Jobs, MIGRATIONS, Queues, Worker};
use tokio::sync::mpsc;

use crate::support::{
    Act, Bench, ENTRIES, LEDGER, Note, bench, config, connect, mortal, note, probe, tenant, until,
};
use crate::tables::session;

#[tokio::test]
async fn a_worker_survives_its_database() {
    let mut server = Postgres::exclusive().await.unwrap();
    let database = server.empty_database().await.unwrap();
    bootstrap(&shared_db::Config::new(database.url()), &[MIGRATIONS, LEDGER]).await.unwrap();
    let (db, tenant) = (connect(database.url()).await, tenant());
    let outage = async || {
        server.kill().await.unwrap();
        server.start().await.unwrap();
    };
    all_is_done_once(&Queues::postgres(&db), &db, &tenant, outage).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_worker_survives_its_redis() {
    let bench = bench().await;
    let mut server = shared_devkit::Redis::exclusive().await.unwrap();
    let queues = crate::support::redis_queues(server.url(), "outage").await.with_db(&bench.db);
    let outage = async || {
        server.kill().await.unwrap();
        server.start().await.unwrap();
    };
    all_is_done_once(&queues, &bench.db, &bench.tenant, outage).await;
}

/// The lease outlives it: the worker goes on under its name, with all its places.
#[tokio::test]
async fn a_worker_goes_on_when_its_database_was_away_for_less_than_a_lease() {
    let bench = bench().await;
    let proxy = Proxy::to(&bench.url).await.unwrap();
    let queues = Queues::postgres(&connect(&proxy.url(&bench.url)).await);
    goes_on(bench, &queues, proxy).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_worker_goes_on_when_its_redis_was_away_for_less_than_a_lease() {
    let bench = crate::support::bench_on(crate::support::Backend::Redis).await;
    let proxy = Proxy::to(bench.part.url()).await.unwrap();
    let queues = crate::support::redis_queues(&proxy.url(bench.part.url()), bench.part.prefix()).await;
    let queues = queues.with_db(&bench.db);
    goes_on(bench, &queues, proxy).await;
}

async fn goes_on(bench: Bench, queues: &Queues, proxy: Proxy) {
    let probe = probe(Act::Write);
    let worker = Worker::start(queues, probe.clone(), Jobs::new().handle(note), config()).await.unwrap();
    proxy.refuse();
    proxy.cut();
    proxy.until(|counters| counters.refused >= 20).await.unwrap();
    proxy.heal();
    bench.enqueue_notes(0..20).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, (0..20).collect::<Vec<i64>>());
    assert!(worker.stop(Duration::from_secs(5)).await.released);
}

/// It hears nothing of its server any more, as where a line is dead: its jobs end by its own clock, and another begins them after that.
#[tokio::test]
async fn a_worker_that_is_cut_off_from_its_database_ends_its_jobs_before_others_begin_them() {
    let bench = bench().await;
    let proxy = Proxy::to(&bench.url).await.unwrap();
    let queues = Queues::postgres(&connect(&proxy.url(&bench.url)).await);
    ends_before_another_begins(bench, &queues, proxy).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_worker_that_is_cut_off_from_its_redis_ends_its_jobs_before_others_begin_them() {
    let bench = crate::support::bench_on(crate::support::Backend::Redis).await;
    let proxy = Proxy::to(bench.part.url()).await.unwrap();
    let queues = crate::support::redis_queues(&proxy.url(bench.part.url()), bench.part.prefix()).await;
    ends_before_another_begins(bench, &queues, proxy).await;
}

/// Tells when an attempt is dropped, and why it was to end.
struct Ending(JobContext, mpsc::UnboundedSender<Option<Cancellation>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.cancellation());
    }
}

async fn ends_before_another_begins(bench: Bench, queues: &Queues, proxy: Proxy) {
    bench.enqueue_notes(0..1).await;
    let (ended, mut ends) = mpsc::unbounded_channel();
    let hang = move |_: Note, cx: JobContext| {
        let ending = Ending(cx, ended.clone());
        async move {
            let _ending = ending;
            std::future::pending::<Result<(), Failure>>().await
        }
    };
    // It ends a second before the lease does.
    let config = Config { lease: Duration::from_secs(3), ..config() };
    let _cut_off = Worker::start(queues, (), Jobs::new().handle(hang), config.clone()).await.unwrap();
    until("it runs", async || bench.backlog().await.running == 1).await;
    let second = probe(Act::Write);
    let _other = bench.worker(&second, config).await;
    proxy.to_client().stall_after(0);
    assert_eq!(ends.recv().await, Some(Some(Cancellation::Lost)));
    assert_eq!(second.runs().len(), 0, "the other one has begun it before");
    second.started(1).await;
}

async fn all_is_done_once(queues: &Queues, db: &Db, tenant: &AssumedTenant, outage: impl AsyncFnOnce()) {
    let probe = probe(Act::WriteAndComplete);
    queues.tenant(tenant).enqueue_all((0..1000).map(|n| Note { n })).await.unwrap();
    let worker = Worker::start(queues, probe.clone(), Jobs::new().handle(note), mortal()).await.unwrap();
    probe.started(200).await;
    outage().await;

    until("the queues are settled", async || {
        queues.backlog().await.is_ok_and(|backlog| backlog.is_settled())
    })
    .await;
    let dead = queues.dead_letters(&DeadFilter::new(), 5).await.unwrap();
    assert_eq!(dead, []);
    assert_eq!(db.tenant(tenant).all(&ENTRIES, ()).await.unwrap(), (0..1000).collect::<Vec<i64>>());
    assert!(worker.stop(Duration::from_secs(5)).await.released);
}

/// The connection of a claim ends, and the server goes on with the claim: it takes the job after it was given back for the first time.
#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_given_back_until_the_server_is_done_with_it() {
    let bench = bench().await;
    let (admin, _admin) = session(&bench.url).await;
    let (other, _other) = session(&bench.url).await;
    let count_give_backs = "
        create sequence ledger.given_back;
        alter function shared_queues.give_back(uuid, bigint[]) rename to really_give_back;
        create function shared_queues.give_back(holder uuid, claims bigint[]) returns bigint language plpgsql security definer as $$
        declare
            jobs bigint := shared_queues.really_give_back(holder, claims);
        begin
            perform nextval('ledger.given_back');
            return jobs;
        end $$";
    admin.batch_execute(count_give_backs).await.unwrap();

    let proxy = Proxy::to(&bench.url).await.unwrap();
    let queues = Queues::postgres(&connect(&proxy.url(&bench.url)).await);
    let config = Config { beat: Duration::from_secs(60), lease: Duration::from_secs(200), ..config() };
    let probe = probe(Act::Write);
    let _worker = Worker::start(&queues, probe.clone(), Jobs::new().handle(note), config).await.unwrap();
    // Whatever the number of the claim is, its row waits for the end of this transaction.
    let in_the_way = "
        begin;
        insert into shared_queues.lease (worker, claim, queue, ids, gated)
        select incarnation, n, 'default', '{}', false from shared_queues.worker cross join generate_series(1, 20000) as g (n)";
    other.batch_execute(in_the_way).await.unwrap();
    bench.enqueue_notes(0..1).await;
    let number = async |query: &str| admin.query_one(query, &[]).await.unwrap().get::<_, i64>(0);
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    until("a claim waits", async || number(waiting).await == 1).await;
    proxy.cut();
    let given_back = "select case when is_called then last_value else 0 end from ledger.given_back";
    until("it is given back", async || number(given_back).await > 0).await;
    assert_eq!(number(waiting).await, 1, "and the server is still at it");
    other.batch_execute("rollback").await.unwrap();

    bench.settle().await;
    assert_eq!(bench.ledger().await, [0]);
}

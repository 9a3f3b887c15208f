//! The server goes away in the middle, without a flush of what was not synchronous, and comes back.

use std::time::Duration;

use shared_core::AssumedTenant;
use shared_db::{Db, bootstrap};
use shared_devkit::{Postgres, Proxy};
use shared_queues::{DeadFilter, Jobs, MIGRATIONS, Queues, Worker};

use crate::support::{
    Act, ENTRIES, LEDGER, Note, bench, config, connect, mortal, note, probe, tenant, until,
};

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
    let probe = probe(Act::Write);
    let worker = Worker::start(&queues, probe.clone(), Jobs::new().handle(note), config()).await.unwrap();
    proxy.refuse();
    proxy.cut();
    proxy.until(|counters| counters.refused >= 20).await.unwrap();
    proxy.heal();
    bench.enqueue_notes(0..20).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, (0..20).collect::<Vec<i64>>());
    assert!(worker.stop(Duration::from_secs(5)).await.released);
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

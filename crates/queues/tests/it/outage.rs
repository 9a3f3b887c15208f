//! The database goes away in the middle, without a flush of what was not synchronous, and comes back.

use std::time::Duration;

use shared_db::bootstrap;
use shared_devkit::Postgres;
use shared_queues::{Enqueue, Error, Jobs, MIGRATIONS, Queues, Worker};

use crate::support::{Act, ENTRIES, LEDGER, Note, connect, mortal, note, probe, tenant, until};

#[tokio::test]
async fn a_worker_survives_its_database() {
    let mut server = Postgres::exclusive().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let url = database.url().to_owned();
    bootstrap(&shared_db::Config::new(&url), &[MIGRATIONS, LEDGER]).await.unwrap();
    let (db, tenant, probe) = (connect(&url).await, tenant(), probe(Act::WriteAndComplete));
    let enqueue = async |tx: &mut shared_db::TenantTx| -> Result<(), Error> {
        for n in 0..1000 {
            tx.enqueue(Note { n }).await?;
        }
        Ok(())
    };
    db.tenant(&tenant).tx(enqueue).await.unwrap();

    let worker = Worker::start(&db, probe.clone(), Jobs::new().handle(note), mortal()).await.unwrap();
    probe.started(200).await;
    server.kill().await.unwrap();
    server.start().await.unwrap();

    let queues = Queues::new(&db);
    until("the queues are settled", async || {
        queues.backlog().await.is_ok_and(|backlog| backlog.is_settled())
    })
    .await;
    let dead: Vec<String> =
        queues.dead_letters(5).await.unwrap().into_iter().map(|letter| letter.error).collect();
    assert_eq!(dead, Vec::<String>::new());
    assert_eq!(db.tenant(&tenant).all(&ENTRIES, ()).await.unwrap(), (0..1000).collect::<Vec<i64>>());
    assert!(worker.stop(Duration::from_secs(5)).await.released);
}

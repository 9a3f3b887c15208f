//! An installed PostgreSQL 15 without pgvector: everything but vectors works on it.

use shared_devkit::{Postgres, PostgresOptions};
use shared_service::core::AssumedTenant;
use shared_service::db::{self, bootstrap};
use shared_service::events;
use shared_service::prelude::*;
use shared_service::queues::{self, Jobs, Worker};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize, Validate, Job)]
#[job(name = "system:greet")]
struct Greet {
    whom: String,
}

async fn postgres15() -> Postgres {
    let options = PostgresOptions::installed().version(15).without_vector();
    Postgres::exclusive_with(options).await.expect("PostgreSQL 15")
}

#[tokio::test]
async fn a_job_commits_and_runs() {
    let server = postgres15().await;
    let settings = db::Config::new(server.url());
    bootstrap(&settings, &[queues::MIGRATIONS, events::MIGRATIONS]).await.expect("the tables");
    let db = Db::connect(&settings).await.expect("a pool");

    let tenant = db.tenant(&AssumedTenant::new(TenantId::new(), "a test has no token"));
    let greet = Greet { whom: "world".to_owned() };
    tenant.tx(async |tx| tx.enqueue(greet).await).await.expect("a job");

    let (greeted, mut greetings) = mpsc::channel(1);
    let handler = move |job: Greet| {
        let greeted = greeted.clone();
        async move { greeted.send(job.whom).await.map_err(Failure::from) }
    };
    let queues = Queues::postgres(&db);
    let worker = Worker::start(&queues, (), Jobs::new().handle(handler), queues::Config::default());
    let worker = worker.await.expect("a worker");
    assert_eq!(greetings.recv().await.as_deref(), Some("world"));
    worker.stop(Duration::from_secs(5)).await;
    assert!(queues.backlog().await.expect("the backlog").is_settled());
}

#[tokio::test]
async fn a_collection_of_vectors_is_refused() {
    let server = postgres15().await;
    let settings = db::Config::new(server.url());
    let error = bootstrap(&settings, &[notes::MIGRATIONS]).await.expect_err("the server has no pgvector");
    assert!(error.to_string().contains("pgvector"), "{error}");
}

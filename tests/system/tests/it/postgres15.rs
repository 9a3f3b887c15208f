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
    let queues = Queues::postgres(&db);

    let tenant = db.tenant(&AssumedTenant::new(TenantId::new(), "a test has no token"));
    let greet = Greet { whom: "world".to_owned() };
    tenant.tx(async |tx| tx.enqueue(greet).await).await.expect("a job");

    let (greeted, mut greetings) = mpsc::channel(1);
    let handler = move |job: Greet| {
        let greeted = greeted.clone();
        async move { greeted.send(job.whom).await.map_err(Failure::from) }
    };
    let worker = Worker::start(&queues, (), Jobs::new().handle(handler), queues::Config::default());
    let worker = worker.await.expect("a worker");
    assert_eq!(greetings.recv().await.as_deref(), Some("world"));
    worker.stop(Duration::from_secs(5)).await;
    assert!(queues.backlog().await.expect("the backlog").is_settled());
}

/// In English `B` comes behind `a`, and before `c`; in bytes before both.
#[tokio::test]
async fn lists_are_in_the_order_of_their_pages_in_a_database_of_any_language() {
    let server = postgres15().await;
    let (client, connection) =
        tokio_postgres::connect(server.url(), tokio_postgres::NoTls).await.expect("a session");
    let driver = tokio::spawn(connection);
    let english = "create database english template template0 locale_provider icu icu_locale 'en-US'";
    client.batch_execute(english).await.expect("a database");
    drop(client);
    driver.await.expect("its task").expect("its end");
    let mut url = reqwest::Url::parse(server.url()).expect("a URL");
    url.set_path("english");
    let settings = db::Config::new(url.as_str());
    bootstrap(&settings, &[queues::MIGRATIONS, events::MIGRATIONS]).await.expect("the tables");
    let db = Db::connect(&settings).await.expect("a pool");
    let (subscriptions, queues) = (events::Subscriptions::new(&db), Queues::postgres(&db));
    for name in ["a", "B", "c"] {
        subscriptions.replay(name).await.expect("a subscription");
        queues.queue(name).pause().await.expect("a queue");
    }
    let listed = subscriptions.status().await.expect("a list");
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["B", "a", "c"]);
    let listed = queues.status().await.expect("a list");
    assert_eq!(listed.iter().map(|one| one.queue.as_str()).collect::<Vec<_>>(), ["B", "a", "c"]);
}

#[tokio::test]
async fn a_collection_of_vectors_is_refused() {
    let server = postgres15().await;
    let settings = db::Config::new(server.url());
    let error = bootstrap(&settings, &[notes::MIGRATIONS]).await.expect_err("the server has no pgvector");
    assert!(error.to_string().contains("pgvector"), "{error}");
}

//! shared-db beside the same work written by hand: with deadpool-postgres, with the driver's own COPY writer, with sqlx.
//!
//! Each line is one comparison, printed when it is done; `reads`, `distance`, `batches` and `copies` name the parts that are wanted.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]

mod batches;
mod by_hand;
mod by_sqlx;
mod copies;
mod cpu;
mod reads;
mod schema;

use shared_devkit::{Postgres, PostgresOptions};

// One thread: how fast threads wake each other differs from run to run, by more than what is compared.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|one| one == part);
    bench_report::head();
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    schema::migrate(database.url()).await;
    if wants("reads") {
        reads::on_this_machine(database.url()).await;
    }
    if wants("distance") {
        reads::at_a_distance(database.url()).await;
    }
    if wants("copies") {
        copies::compare(database.url()).await;
    }
    if wants("batches") {
        // The servers of tests write nothing to the disk; this one does, as there is no commit without it.
        let durable = PostgresOptions::new().setting("fsync", "on").setting("full_page_writes", "on");
        let server = Postgres::exclusive_with(durable).await.unwrap();
        schema::migrate(server.url()).await;
        batches::compare(server.url()).await;
    }
}

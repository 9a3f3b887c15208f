//! shared-db beside the same work written by hand: with deadpool-postgres, with the driver's own COPY writer, with sqlx.
//!
//! Each line is one comparison, printed when it is done; `reads`, `distance`, `batches` and `copies` name the parts that are wanted.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]

mod batches;
mod by_hand;
mod by_sqlx;
mod copies;
mod cores;
mod reads;
mod schema;
mod turns;

use shared_devkit::{Postgres, PostgresOptions};

use crate::cores::{Cores, Server};

// One thread: how fast threads wake each other differs from run to run, by more than what is compared.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|one| one == part);
    bench_report::head();
    // Servers of their own: a shared one has other users, who did not ask to be moved.
    if wants("reads") || wants("distance") || wants("copies") {
        let volatile = PostgresOptions::new().setting("fsync", "off").setting("full_page_writes", "off");
        let postgres = Postgres::exclusive_with(volatile).await.unwrap();
        let (url, server) = (postgres.url(), Server::of(postgres.url()).await);
        schema::migrate(url).await;
        for cores in [Cores::One, Cores::Two] {
            if wants("reads") {
                server.pin(cores);
                reads::on_this_machine(&server, url).await;
            }
        }
        server.pin(Cores::Two);
        if wants("distance") {
            reads::at_a_distance(&server, url).await;
        }
        if wants("copies") {
            copies::compare(url).await;
        }
    }
    if wants("batches") {
        // This one writes to its disk, as there is no commit without it.
        let durable = PostgresOptions::new().setting("fsync", "on").setting("full_page_writes", "on");
        let postgres = Postgres::exclusive_with(durable).await.unwrap();
        schema::migrate(postgres.url()).await;
        Server::of(postgres.url()).await.pin(Cores::One);
        batches::compare(postgres.url()).await;
    }
}

//! PostgreSQL: servers, and databases of the shared one.

use std::time::Duration;

use shared_db::{Config, bootstrap};
use shared_devkit::Postgres;
use shared_devkit::load::time;

use crate::{JOIN, line};

const DATABASE: Option<Duration> = Some(Duration::from_millis(100));

pub(crate) async fn measure() {
    // Keeps the shared server warm, and what is not yet on this machine is fetched here.
    let server = Postgres::shared().await.unwrap();
    let join = async || time(async || Postgres::shared().await.unwrap()).await;
    line("Postgres: join the shared server", Some(JOIN), join).await;
    let start = async || time(async || Postgres::exclusive().await.unwrap()).await;
    line("Postgres: start an exclusive server", None, start).await;
    let copy = async || time(async || server.database("bench devkit", migrate).await.unwrap()).await;
    line("Postgres: a database from a template", DATABASE, copy).await;
    let empty = async || time(async || server.empty_database().await.unwrap()).await;
    line("Postgres: an empty database", DATABASE, empty).await;
}

/// What every service of the family migrates first.
async fn migrate(url: String) -> Result<(), shared_db::Error> {
    bootstrap(&Config::new(url), &[]).await.map(drop)
}

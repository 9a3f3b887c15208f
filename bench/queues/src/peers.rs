//! The queues of others, each as a small driver.

mod apalis;
mod apalis_postgres;
mod apalis_redis;
mod graphile;
mod river;

use crate::drive::{Aim, Settings, serve};

/// Serves the queue of this name.
pub(crate) async fn drive(name: &str, settings: Settings, url: &str, aim: Aim) {
    match name {
        "apalis-postgres" => serve::<apalis_postgres::ApalisPostgres>(url, settings, aim).await,
        "apalis-redis" => serve::<apalis_redis::ApalisRedis>(url, settings, aim).await,
        "graphile" => serve::<graphile::Graphile>(url, settings, aim).await,
        "river" => serve::<river::River>(url, settings, aim).await,
        other => panic!("no such queue: {other}"),
    }
}

/// A pool of at most so many connections, of which all are there at once.
async fn pool(url: &str, connections: u32) -> sqlx::PgPool {
    let options = sqlx::postgres::PgPoolOptions::new();
    options.min_connections(connections).max_connections(connections).connect(url).await.unwrap()
}

async fn count(pool: &sqlx::PgPool, query: &'static str) -> u64 {
    let counted: i64 = sqlx::query_scalar(query).fetch_one(pool).await.unwrap();
    counted.cast_unsigned()
}

async fn execute(pool: &sqlx::PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

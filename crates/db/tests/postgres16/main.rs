//! The suites that speak to the server's catalogues, planner, locks and protocol, on PostgreSQL 16: the same files as on the
//! usual one.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "../it/batch.rs"]
mod batch;
#[path = "../it/bootstrap.rs"]
mod bootstrap;
#[path = "../it/cancel.rs"]
mod cancel;
#[path = "../it/copy.rs"]
mod copy;
#[path = "../it/doctor.rs"]
mod doctor;
#[path = "../it/errors.rs"]
mod errors;
#[path = "../it/failures.rs"]
mod failures;
#[path = "../it/filter.rs"]
mod filter;
#[path = "../it/injection.rs"]
mod injection;
#[path = "../it/isolation.rs"]
mod isolation;
#[path = "../it/items.rs"]
mod items;
#[path = "../it/listen.rs"]
mod listen;
#[path = "../it/migrations.rs"]
mod migrations;
#[path = "../it/migrations_killed.rs"]
mod migrations_killed;
#[path = "../it/outage.rs"]
mod outage;
#[path = "../it/pgvector.rs"]
mod pgvector;
#[path = "../it/pool.rs"]
mod pool;
#[path = "../it/probe.rs"]
mod probe;
#[path = "../it/replicas.rs"]
mod replicas;
#[path = "../it/roles.rs"]
mod roles;
#[path = "../it/smoke.rs"]
mod smoke;
#[path = "../it/statements.rs"]
mod statements;
#[path = "../it/storm.rs"]
mod storm;
#[path = "../it/storm_postgres.rs"]
mod storm_postgres;
#[path = "../it/stream.rs"]
mod stream;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/tenant_table.rs"]
mod tenant_table;
#[path = "../it/transactions.rs"]
mod transactions;
#[path = "../it/trips.rs"]
mod trips;

/// PostgreSQL 16, from the bundle.
mod server {
    use shared_devkit::{Postgres, PostgresOptions};
    use tokio::sync::OnceCell;

    use crate::storm::{SHORT, Storm};

    pub(crate) const STORM: Storm = SHORT;

    /// It ends with the process.
    static SHARED: OnceCell<Postgres> = OnceCell::const_new();

    pub(crate) type Shared = &'static Postgres;

    pub(crate) async fn shared() -> Shared {
        let start = async || {
            // What it keeps nobody needs.
            let options = options().setting("fsync", "off");
            Postgres::exclusive_with(options).await.unwrap()
        };
        SHARED.get_or_init(start).await
    }

    pub(crate) async fn exclusive() -> Postgres {
        Postgres::exclusive_with(options()).await.unwrap()
    }

    fn options() -> PostgresOptions {
        PostgresOptions::bundled().version(16)
    }
}

#[tokio::test]
async fn the_servers_are_of_this_version() {
    for url in [server::shared().await, &server::exclusive().await].map(|server| server.url().to_owned()) {
        let admin = support::admin(&shared_db::Config::new(url)).await;
        let version = admin.query_one("select current_setting('server_version')", &[]).await.unwrap();
        assert!(version.get::<_, &str>(0).starts_with("16."), "{version:?}");
    }
}

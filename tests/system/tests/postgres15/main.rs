//! The suites of shared-db that need no vectors, on an installed PostgreSQL 15: the same files as on the usual one.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]
#![allow(dead_code, reason = "some helpers are for suites that are not here")]

#[path = "../../../../crates/db/tests/it/bootstrap.rs"]
mod bootstrap;
#[path = "../../../../crates/db/tests/it/cancel.rs"]
mod cancel;
#[path = "../../../../crates/db/tests/it/doctor.rs"]
mod doctor;
#[path = "../../../../crates/db/tests/it/errors.rs"]
mod errors;
#[path = "../../../../crates/db/tests/it/isolation.rs"]
mod isolation;
#[path = "../../../../crates/db/tests/it/items.rs"]
mod items;
#[path = "../../../../crates/db/tests/it/listen.rs"]
mod listen;
#[path = "../../../../crates/db/tests/it/migrations.rs"]
mod migrations;
#[path = "../../../../crates/db/tests/it/migrations_killed.rs"]
mod migrations_killed;
#[path = "../../../../crates/db/tests/it/outage.rs"]
mod outage;
#[path = "../../../../crates/db/tests/it/pool.rs"]
mod pool;
#[path = "../../../../crates/db/tests/it/probe.rs"]
mod probe;
#[path = "../../../../crates/db/tests/it/replicas.rs"]
mod replicas;
#[path = "../../../../crates/db/tests/it/roles.rs"]
mod roles;
#[path = "../../../../crates/db/tests/it/smoke.rs"]
mod smoke;
#[path = "../../../../crates/db/tests/it/statements.rs"]
mod statements;
#[path = "../../../../crates/db/tests/it/storm.rs"]
mod storm;
#[path = "../../../../crates/db/tests/it/storm_postgres.rs"]
mod storm_postgres;
#[path = "../../../../crates/db/tests/it/stream.rs"]
mod stream;
#[path = "../../../../crates/db/tests/it/support.rs"]
mod support;
#[path = "../../../../crates/db/tests/it/tenant_table.rs"]
mod tenant_table;
#[path = "../../../../crates/db/tests/it/transactions.rs"]
mod transactions;
#[path = "../../../../crates/db/tests/it/trips.rs"]
mod trips;

/// PostgreSQL 15, which Debian has, without pgvector.
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
        PostgresOptions::installed().version(15).without_vector()
    }
}

#[tokio::test]
async fn the_servers_are_of_this_version() {
    for url in [server::shared().await, &server::exclusive().await].map(|server| server.url().to_owned()) {
        let admin = support::admin(&shared_db::Config::new(url)).await;
        let version = admin.query_one("select current_setting('server_version')", &[]).await.unwrap();
        assert!(version.get::<_, &str>(0).starts_with("15."), "{version:?}");
    }
}

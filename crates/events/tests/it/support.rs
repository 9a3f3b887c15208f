//! A migrated database for each test, and the smallest service that publishes and consumes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Failure, TenantId};
use shared_db::{Db, MigrationSet, Step, TenantTx, bootstrap, statements};
use shared_devkit::{Postgres, TestDatabase};
use shared_events::{Config, Error, Event, Events, Lane, Publish as _, Received, Relay, backlog};

/// Counters that are raised one by one under their row's lock, and what a consumer has seen of it, in its order.
const SQL: &str = "
    create table it.counter (
        tenant_id uuid not null, key text not null, n bigint not null, primary key (tenant_id, key));
    select shared_db.tenant_table('it.counter');
    create table it.seen (
        tenant_id uuid not null, consumer text not null, key text not null, place bigint not null, n bigint not null,
        primary key (tenant_id, consumer, key, place));
    select shared_db.tenant_table('it.seen');";

pub(crate) const MIGRATIONS: MigrationSet =
    MigrationSet::new("it", &[Step::sql(1, "tables", SQL)]).requires(&["shared_db"]);

/// The template is made anew when any of this changes.
const TEMPLATE: &[&str] = &[
    include_str!("../../../db/migrations/0001_tenant_table.sql"),
    include_str!("../../migrations/0001_log.sql"),
    include_str!("../../migrations/0002_consumers.sql"),
    include_str!("../../migrations/0005_intake.sql"),
    include_str!("../../migrations/0003_delayed.sql"),
    include_str!("../../migrations/0004_registry.sql"),
    include_str!("../../migrations/0006_operate.sql"),
    SQL,
];

statements! {
    const RAISE: Statement<(String,), i64> = "
        insert into it.counter (tenant_id, key, n) values ($tenant, $1, 1)
            on conflict (tenant_id, key) do update set n = counter.n + 1
        returning n";
    const SEE: Statement<(String, String, i64), ()> = "
        insert into it.seen (tenant_id, consumer, key, place, n)
        select $tenant, $1, $2, count(*) + 1, $3 from it.seen where tenant_id = $tenant and consumer = $1 and key = $2";
    const SEEN: Statement<(String, String), i64> = "
        select n from it.seen where tenant_id = $tenant and consumer = $1 and key = $2 order by place";
    const LANE: Statement<(String,), i32> = "
        select (uuid_hash_extended($tenant::uuid, hashtextextended($1::text, 0)) & 15)::int4";
    pub(crate) const COUNTERS: Statement<(), (String, i64)> = "
        select key, n from it.counter where tenant_id = $tenant order by key";
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "counter.raised", version = 1, key = "key")]
pub(crate) struct Raised {
    pub(crate) key: String,
    pub(crate) n: i64,
}

pub(crate) fn raised(key: &str, n: i64) -> Raised {
    Raised { key: key.to_owned(), n }
}

/// A database of one test, with a tenant in it.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) db: Db,
    pub(crate) tenant: AssumedTenant,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(&Postgres::shared().await.unwrap()).await
    }

    /// On a server whose settings the shared one does not have.
    pub(crate) async fn on(server: &Postgres) -> Self {
        let migrate = async |url: String| {
            let config = shared_db::Config::new(url);
            bootstrap(&config, &[shared_events::MIGRATIONS, MIGRATIONS]).await.map(drop)
        };
        let database = server.database(&TEMPLATE.concat(), migrate).await.unwrap();
        let db = connect(database.url(), 10).await;
        Self { database, db, tenant: a_tenant() }
    }

    /// Raises the counter and publishes that, in a transaction.
    pub(crate) async fn raise(&self, key: &str) {
        self.db.tenant(&self.tenant).tx(async |tx| raise(tx, key).await).await.unwrap();
    }

    /// What the consumer has seen of a key, in its order.
    pub(crate) async fn seen(&self, consumer: &str, key: &str) -> Vec<i64> {
        seen(&self.db, &self.tenant, consumer, key).await
    }

    /// The lane of a key of the tenant.
    pub(crate) async fn lane(&self, key: &str) -> Lane {
        self.lane_of(&self.tenant, key).await
    }

    /// The lane of a key of another tenant.
    pub(crate) async fn lane_of(&self, tenant: &AssumedTenant, key: &str) -> Lane {
        let lane = self.db.tenant(tenant).one(&LANE, (key,)).await.unwrap();
        Lane::new(u8::try_from(lane).unwrap()).unwrap()
    }

    /// Another key in the lane of this one.
    pub(crate) async fn key_beside(&self, key: &str) -> String {
        let lane = self.lane(key).await;
        for n in 0..1000 {
            let other = format!("key {n}");
            if self.lane(&other).await == lane {
                return other;
            }
        }
        panic!("a thousand keys in other lanes");
    }

    /// Two keys of the tenant that lie in different lanes.
    pub(crate) async fn keys_apart(&self) -> (String, String) {
        let keys: Vec<String> = (0..100).map(|n| format!("key {n}")).collect();
        let first = self.lane(&keys[0]).await;
        for key in &keys[1..] {
            if self.lane(key).await != first {
                return (keys[0].clone(), key.clone());
            }
        }
        panic!("a hundred keys in one lane");
    }

    /// Starts a relay with these consumers.
    pub(crate) async fn relay(&self, events: Events<()>) -> Relay {
        Relay::start(self.db.clone(), (), events, quick()).await.unwrap()
    }

    /// Waits until every subscription has passed every event.
    pub(crate) async fn settled(&self) {
        until(async || backlog(&self.db).await.unwrap().waiting == 0).await;
    }

    /// Waits until a session of this database waits for another's lock.
    pub(crate) async fn waits_for_a_lock(&self) {
        let looking = self.superuser().await;
        let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
        until(async || looking.query_one(waits, &[]).await.unwrap().get(0)).await;
    }

    /// A session of the superuser.
    pub(crate) async fn superuser(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(self.database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

pub(crate) fn a_tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test")
}

pub(crate) async fn connect(url: &str, pool_size: u32) -> Db {
    let mut config = shared_db::Config::new(url);
    config.pool_size = pool_size;
    Db::connect(&config).await.unwrap()
}

/// Short waits, so that tests are.
pub(crate) fn quick() -> Config {
    Config {
        poll: Duration::from_millis(20),
        lease: Duration::from_millis(500),
        retry_first: Duration::from_millis(5),
        retry_longest: Duration::from_millis(20),
        rewind: Duration::from_secs(1),
        ..Config::default()
    }
}

/// Raises the counter under its lock, and publishes its new value.
pub(crate) async fn raise(tx: &mut TenantTx, key: &str) -> Result<i64, Error> {
    let n = tx.one(&RAISE, (key,)).await?;
    tx.publish(raised(key, n)).await?;
    Ok(n)
}

/// The consumer that writes down what it sees, in its order.
pub(crate) async fn see(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
    see_as("see", tx, &raised).await
}

pub(crate) async fn see_as(consumer: &str, tx: &mut TenantTx, raised: &Raised) -> Result<(), Failure> {
    tx.execute(&SEE, (consumer, &raised.key, raised.n)).await?;
    Ok(())
}

pub(crate) async fn seen(db: &Db, tenant: &AssumedTenant, consumer: &str, key: &str) -> Vec<i64> {
    db.tenant(tenant).all(&SEEN, (consumer, key)).await.unwrap()
}

pub(crate) fn seeing() -> Events<()> {
    Events::new().handle("see", see)
}

/// Waits for a condition, and not for ever.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the condition never came true");
}

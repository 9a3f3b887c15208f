//! Ours, as a service has it: events are published in tenants' transactions, and a relay brings them to Redis.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, TenantId};
use shared_db::{Db, MigrationSet, Step, TenantTx, bootstrap, statements};
use shared_events::sink::RedisStreams;
use shared_events::{Config, Error, Event, MIGRATIONS, Publish as _, Relay};
use tokio::task::JoinSet;

use crate::outbox::{FILLERS, KEYS, Outbox, PAYLOAD, TENANTS, TOGETHER, text};
use crate::servers::{Place, session};
use crate::streams::Streams;

/// What the business writes.
pub(crate) const TABLES: MigrationSet = MigrationSet::new(
    "bench",
    &[Step::sql(
        1,
        "tables",
        "create table bench.note (tenant_id uuid not null, id bigint generated always as identity, body text not null,
             primary key (tenant_id, id));
         select shared_db.tenant_table('bench.note');
         create table bench.outbox (pos bigint generated always as identity, id uuid not null, tenant_id uuid not null,
             name text not null, version integer not null, key text not null, payload json not null, context json not null,
             at timestamptz not null default clock_timestamp(), sent_at timestamptz, primary key (tenant_id, pos));
         create index outbox_unsent on bench.outbox (pos) where sent_at is null;
         select shared_db.tenant_table('bench.outbox');
         create table bench.effect (tenant_id uuid not null, n bigint not null);
         select shared_db.tenant_table('bench.effect');
         create table bench.inbox (tenant_id uuid not null, consumer text not null, event_id uuid not null,
             at timestamptz not null default clock_timestamp(), primary key (tenant_id, consumer, event_id));
         select shared_db.tenant_table('bench.inbox');",
    )],
)
.requires(&["shared_db"]);

/// Something has happened.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "bench.happened", version = 1, key = "key")]
pub(crate) struct Happened {
    pub(crate) n: u64,
    pub(crate) key: String,
    pub(crate) text: String,
}

impl Happened {
    pub(crate) fn new(n: u64, bytes: usize) -> Self {
        Self { n, key: format!("k{}", n % KEYS), text: text(bytes) }
    }
}

statements! {
    pub(crate) const INSERT: Statement<(String,), ()> = "insert into bench.note (tenant_id, body) values ($tenant, $1)";
}

pub(crate) struct Ours {
    pub(crate) db: Db,
    pub(crate) url: String,
    pub(crate) streams: Streams,
    redis: shared_db::redis::Redis,
    pub(crate) tenants: Vec<AssumedTenant>,
    pub(crate) config: Config,
}

/// For 64 writers and a relay.
const POOL: u32 = 80;

/// Everything that belongs to an event. Triggers keep the log from being emptied by anybody but a replica's superuser.
const EMPTY: &str = "
    set session_replication_role = replica;
    truncate shared_events.log, shared_events.parked, shared_events.position, shared_events.cursor, shared_events.relay, shared_events.intake,
        shared_events.subscription, bench.effect, bench.inbox;
    set session_replication_role = origin;
    vacuum analyze shared_events.log;";

impl Ours {
    pub(crate) async fn open(place: &Place) -> Self {
        let url = place.database.url();
        bootstrap(&shared_db::Config::new(url), &[MIGRATIONS, TABLES]).await.unwrap();
        Self::join(url, &place.redis).await
    }

    /// The same, where the tables are.
    pub(crate) async fn join(url: &str, redis: &str) -> Self {
        let config = shared_db::Config { pool_size: POOL, ..shared_db::Config::new(url) };
        let db = Db::connect(&config).await.unwrap();
        let tenant = |_| AssumedTenant::new(TenantId::new(), "a benchmark has no token");
        Self {
            db,
            url: url.to_owned(),
            streams: Streams::open(redis).await,
            redis: shared_db::redis::Redis::connect(&shared_db::redis::Config::new(redis)).await.unwrap(),
            tenants: (0..TENANTS).map(tenant).collect(),
            config: Config::default(),
        }
    }

    pub(crate) fn tenant(&self, n: u64) -> &AssumedTenant {
        &self.tenants[n as usize % self.tenants.len()]
    }

    /// Events with payloads of so many bytes.
    pub(crate) async fn fill_with(&self, events: u64, bytes: usize) {
        let mut fillers = JoinSet::new();
        for filler in 0..FILLERS {
            let (db, tenant) = (self.db.clone(), self.tenant(filler).clone());
            let own: Vec<u64> = (filler..events).step_by(FILLERS as usize).collect();
            fillers.spawn(async move {
                for chunk in own.chunks(TOGETHER) {
                    let door = db.tenant(&tenant);
                    let published = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
                        for n in chunk {
                            tx.publish(Happened::new(*n, bytes)).await?;
                        }
                        Ok(())
                    });
                    published.await.unwrap();
                }
            });
        }
        fillers.join_all().await;
    }
}

impl Outbox for Ours {
    type Running = Relay;
    const NAME: &str = "ours";

    fn streams(&self) -> &Streams {
        &self.streams
    }

    fn database(&self) -> &str {
        &self.url
    }

    async fn clear(&self) {
        let session = session(&self.url).await;
        for statement in EMPTY.split(';').filter(|statement| !statement.trim().is_empty()) {
            session.batch_execute(statement).await.unwrap();
        }
        self.streams.clear().await;
    }

    async fn fill(&self, events: u64) {
        self.fill_with(events, PAYLOAD).await;
    }

    async fn publish(&self, n: u64) {
        let door = self.db.tenant(self.tenant(n));
        let published = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
            tx.execute(&INSERT, ("the body of a note",)).await?;
            tx.publish(Happened::new(n, PAYLOAD)).await
        });
        published.await.unwrap();
    }

    async fn start(&self) -> Relay {
        let sink = Arc::new(RedisStreams::new(&self.redis));
        Relay::to(self.db.clone(), sink, self.config.clone()).await.unwrap()
    }

    async fn stop(&self, relay: Relay) {
        relay.stop().await;
    }
}

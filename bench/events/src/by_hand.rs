//! The outboxes that one writes oneself: a table whose rows are taken, sent, and updated or deleted. Their rows have the same columns as
//! ours, and their entries the same fields.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, sleep};
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use crate::ours::Happened;
use crate::outbox::{FILLERS, Outbox, PAYLOAD, TENANTS, TOGETHER};
use crate::servers::{Place, session};
use crate::streams::Streams;

const TABLES: &str = "
    create table note (tenant_id uuid not null, id bigint generated always as identity, body text not null,
        primary key (tenant_id, id));
    create table outbox (
        pos bigint generated always as identity primary key, id uuid not null, tenant_id uuid not null, name text not null,
        version integer not null, key text not null, payload json not null, context json not null,
        at timestamptz not null default clock_timestamp(), sent_at timestamptz);
    create index outbox_unsent on outbox (pos) where sent_at is null;";
const NOTE: &str = "insert into note (tenant_id, body) values ($1, 'the body of a note')";
const APPEND: &str = "
    insert into outbox (id, tenant_id, name, version, key, payload, context)
    select e.id, $1, 'bench.happened', 1, e.key, e.payload::json, $5::text::json
      from unnest($2::uuid[], $3::text[], $4::text[]) as e (id, key, payload)";
/// A context of ours as it is by itself: with the tenant, of whom ours has it in a column alone.
const CONTEXT: &str = r#"{"tenant":"01900000-0000-7000-8000-000000000000","actor":"assumed","correlation":"01900000-0000-7000-8000-000000000000"}"#;

/// Sends one and updates one, and looks again after a second where there is nothing.
const UNSENT: &str = "
    select pos, id, tenant_id, key, payload::text, context::text, at::text from outbox where sent_at is null order by pos limit 100";
const SENT: &str = "update outbox set sent_at = clock_timestamp() where pos = $1";
pub(crate) const NAIVE_POLL: Duration = Duration::from_secs(1);

/// Takes 500, sends them together, and deletes them together, with several at it.
const CLAIM: &str = "
    delete from outbox where pos = any (array (select pos from outbox order by pos limit 500 for update skip locked))
    returning pos, id, tenant_id, key, payload::text, context::text, at::text";
pub(crate) const TUNED_RELAYS: usize = 4;
pub(crate) const TUNED_POLL: Duration = Duration::from_millis(50);

/// A table as above, with sessions that write to it.
pub(crate) struct Table {
    url: String,
    streams: Streams,
    tenants: Vec<Uuid>,
    writers: Vec<Mutex<(Client, Statement, Statement)>>,
}

impl Table {
    async fn open(place: &Place) -> Self {
        let url = place.database.url();
        session(url).await.batch_execute(TABLES).await.unwrap();
        let mut writers = Vec::new();
        for _ in 0..FILLERS {
            let client = session(url).await;
            let (note, append) = (client.prepare(NOTE).await.unwrap(), client.prepare(APPEND).await.unwrap());
            writers.push(Mutex::new((client, note, append)));
        }
        let tenants = (0..TENANTS).map(|_| Uuid::now_v7()).collect();
        Self { url: url.to_owned(), streams: Streams::open(&place.redis).await, tenants, writers }
    }

    async fn clear(&self) {
        let session = session(&self.url).await;
        session.batch_execute("truncate outbox, note").await.unwrap();
        session.batch_execute("vacuum analyze outbox").await.unwrap();
        self.streams.clear().await;
    }

    async fn fill(self: &Arc<Self>, events: u64) {
        let mut fillers = JoinSet::new();
        for filler in 0..FILLERS {
            let table = self.clone();
            fillers.spawn(async move {
                let own: Vec<u64> = (filler..events).step_by(FILLERS as usize).collect();
                for chunk in own.chunks(TOGETHER) {
                    let (client, _, append) = &*table.writers[filler as usize].lock().await;
                    append_to(client, append, table.tenants[filler as usize], chunk).await;
                }
            });
        }
        fillers.join_all().await;
    }

    /// Pipelined, as somebody would do it who counts trips: begin, the row, the event and commit are sent together.
    async fn publish(&self, n: u64) {
        let (client, note, append) = &*self.writers[n as usize % self.writers.len()].lock().await;
        let tenant = self.tenants[n as usize % self.tenants.len()];
        let event = [n];
        let (begun, (), (), committed) = tokio::join!(
            client.batch_execute("begin"),
            async { assert_eq!(client.execute(note, &[&tenant]).await.unwrap(), 1) },
            append_to(client, append, tenant, &event),
            client.batch_execute("commit"),
        );
        begun.and(committed).unwrap();
    }
}

async fn append_to(client: &Client, append: &Statement, tenant: Uuid, events: &[u64]) {
    let happened: Vec<Happened> = events.iter().map(|n| Happened::new(*n, PAYLOAD)).collect();
    let ids: Vec<Uuid> = events.iter().map(|_| Uuid::now_v7()).collect();
    let keys: Vec<&str> = happened.iter().map(|event| &*event.key).collect();
    let payloads: Vec<String> = happened.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    client.execute(append, &[&tenant, &ids, &keys, &payloads, &CONTEXT]).await.unwrap();
}

/// The command that sends a row, with the fields that ours have.
fn send(row: &Row) -> redis::Cmd {
    let (id, tenant): (Uuid, Uuid) = (row.get(1), row.get(2));
    let (key, payload, context): (&str, &str, &str) = (row.get(3), row.get(4), row.get(5));
    let mut command = redis::cmd("XADD");
    command.arg("outbox").arg("*").arg("ce-specversion").arg("1.0").arg("ce-id").arg(id.to_string());
    command.arg("ce-type").arg("bench.happened").arg("ce-source").arg("/bench").arg("ce-subject").arg(key);
    command.arg("ce-time").arg(row.get::<_, &str>(6)).arg("ce-tenantid").arg(tenant.to_string());
    command.arg("context").arg(context).arg("data").arg(payload);
    command
}

async fn redis(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// Poll, send one, update one.
pub(crate) struct Naive(Arc<Table>);

impl Naive {
    pub(crate) async fn open(place: &Place) -> Self {
        Self(Arc::new(Table::open(place).await))
    }
}

impl Outbox for Naive {
    type Running = JoinHandle<()>;
    const NAME: &str = "naive relay";

    fn streams(&self) -> &Streams {
        &self.0.streams
    }

    fn database(&self) -> &str {
        &self.0.url
    }

    async fn clear(&self) {
        self.0.clear().await;
    }

    async fn fill(&self, events: u64) {
        self.0.fill(events).await;
    }

    fn publish(&self, n: u64) -> impl Future<Output = ()> + Send {
        let table = self.0.clone();
        async move { table.publish(n).await }
    }

    async fn start(&self) -> JoinHandle<()> {
        let (client, mut redis) = (session(&self.0.url).await, redis(&self.0.streams.url).await);
        let (unsent, sent) = (client.prepare(UNSENT).await.unwrap(), client.prepare(SENT).await.unwrap());
        tokio::spawn(async move {
            loop {
                let rows = client.query(&unsent, &[]).await.unwrap();
                for row in &rows {
                    let _: String = send(row).query_async(&mut redis).await.unwrap();
                    client.execute(&sent, &[&row.get::<_, i64>(0)]).await.unwrap();
                }
                if rows.is_empty() {
                    sleep(NAIVE_POLL).await;
                }
            }
        })
    }

    async fn stop(&self, running: JoinHandle<()>) {
        running.abort();
        drop(running.await);
    }
}

/// Batches, by several who skip what others have locked: no key keeps its order.
pub(crate) struct Tuned(Arc<Table>);

impl Tuned {
    pub(crate) async fn open(place: &Place) -> Self {
        Self(Arc::new(Table::open(place).await))
    }
}

impl Outbox for Tuned {
    type Running = JoinSet<()>;
    const NAME: &str = "tuned SKIP LOCKED relay";

    fn streams(&self) -> &Streams {
        &self.0.streams
    }

    fn database(&self) -> &str {
        &self.0.url
    }

    async fn clear(&self) {
        self.0.clear().await;
    }

    async fn fill(&self, events: u64) {
        self.0.fill(events).await;
    }

    fn publish(&self, n: u64) -> impl Future<Output = ()> + Send {
        let table = self.0.clone();
        async move { table.publish(n).await }
    }

    async fn start(&self) -> JoinSet<()> {
        let mut relays = JoinSet::new();
        for _ in 0..TUNED_RELAYS {
            let (client, mut redis) = (session(&self.0.url).await, redis(&self.0.streams.url).await);
            let claim = client.prepare(CLAIM).await.unwrap();
            relays.spawn(async move {
                loop {
                    client.batch_execute("begin").await.unwrap();
                    let mut rows = client.query(&claim, &[]).await.unwrap();
                    rows.sort_by_key(|row| row.get::<_, i64>(0));
                    let mut pipeline = redis::pipe();
                    for row in &rows {
                        pipeline.add_command(send(row)).ignore();
                    }
                    if !rows.is_empty() {
                        let () = pipeline.query_async(&mut redis).await.unwrap();
                    }
                    client.batch_execute("commit").await.unwrap();
                    if rows.is_empty() {
                        sleep(TUNED_POLL).await;
                    }
                }
            });
        }
        relays
    }

    async fn stop(&self, mut running: JoinSet<()>) {
        running.shutdown().await;
    }
}

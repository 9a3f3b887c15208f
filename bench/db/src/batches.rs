//! A thousand rows into a tenant's table, what is there already left out.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use pgvector::Vector;
use shared_core::{AssumedTenant, InTenant, TenantId};
use shared_db::vector::Embedding;
use shared_db::{BindsTo, Config, Db, Error, Many, Statement};
use shared_devkit::load::time;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::by_hand;
use crate::schema::{CHUNKS, FROM_READY, LINES, READY};
use bench_report::timed_line;

const ROWS: usize = 1_000;

const LINE: &str = "insert into bench.line (tenant_id, id, body) values ($1, $2, $3) on conflict do nothing";
const CHUNK: &str =
    "insert into bench.chunk (tenant_id, hash, embedding) values ($1, $2, $3) on conflict do nothing";

pub(crate) async fn compare(url: &str) {
    let sides = Sides::new(url).await;
    let lines: Vec<(i64, String)> = (0..).map(|id| (id, format!("line {id}"))).take(ROWS).collect();
    sides.compare("3 columns", "bench.line", (&LINES, &lines), (LINE, &lines)).await;
    let chunks: Vec<(Vec<u8>, Vector)> = (0..ROWS).map(chunk).collect();
    let embedded: Vec<(Vec<u8>, Embedding)> =
        chunks.iter().map(|(hash, vector)| (hash.clone(), Embedding::from(vector.to_vec()))).collect();
    sides.compare("384-d", "bench.chunk", (&CHUNKS, &embedded), (CHUNK, &chunks)).await;
    sides.beside_nothing_sent(&embedded, &chunks).await;
}

/// A hash and an embedding, each time the same.
fn chunk(number: usize) -> (Vec<u8>, Vector) {
    let hash = Uuid::from_u128(number as u128).into_bytes().repeat(2);
    let embedding = (0..384).map(|at| ((number * 384 + at) as f32).sin()).collect::<Vec<_>>();
    (hash, Vector::from(embedding))
}

struct Sides {
    db: Db,
    tenant: AssumedTenant,
    app: Pool,
    superuser: Pool,
}

/// A statement for many rows, and the rows.
type Batch<'b, A, B> = (&'b Statement<Many<(A, B)>, ()>, &'b [(A, B)]);

impl Sides {
    async fn new(url: &str) -> Self {
        let db = Db::connect(&Config::new(url)).await.unwrap();
        let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
        Self { db, tenant, app: by_hand::app(url), superuser: by_hand::pool(url, "") }
    }

    /// The same rows as a batch of ours and one by one, each as their own types.
    async fn compare<A, B, C, D>(
        &self,
        rows: &str,
        table: &str,
        (many, values): Batch<'_, A, B>,
        (one, singles): (&str, &[(C, D)]),
    ) where
        A: ToSql + Sync + Send,
        B: ToSql + Sync + Send,
        C: ToSql + Sync,
        D: ToSql + Sync,
        for<'a> &'a A: BindsTo<A>,
        for<'a> &'a B: BindsTo<B>,
    {
        let batch = async || {
            self.empty(table).await;
            time(async || {
                let rows = values.iter().map(|(a, b)| (a, b));
                let added =
                    self.db.tenant(&self.tenant).tx(async |tx| tx.execute_many(many, rows).await).await;
                assert_eq!(added.unwrap(), ROWS as u64);
            })
            .await
        };
        let commits = async || self.singly(table, one, singles, true).await;
        let name = format!("1,000 rows, {rows}: one batch / each with its own commit");
        timed_line(&name, "≤ 0.033 (30×)", 1, batch, commits).await;
        let together = async || self.singly(table, one, singles, false).await;
        let name = format!("1,000 rows, {rows}: one batch / each by itself, one commit");
        timed_line(&name, "≤ 0.200 (5×)", 1, batch, together).await;
    }

    /// What the server alone takes for these rows: it has them in a table already, and nothing is sent to it.
    async fn beside_nothing_sent(&self, embedded: &[(Vec<u8>, Embedding)], chunks: &[(Vec<u8>, Vector)]) {
        let door = self.db.untenanted();
        let filled = door.tx(async |tx| {
            let mut copy = tx.copy_in(&READY).await?;
            for (hash, embedding) in embedded {
                copy.write((hash, embedding)).await?;
            }
            copy.finish().await
        });
        let filled: Result<u64, Error> = filled.await;
        assert_eq!(filled.unwrap(), ROWS as u64);
        let alone = async || {
            self.empty("bench.chunk").await;
            time(async || {
                let added =
                    self.db.tenant(&self.tenant).tx(async |tx| tx.execute(&FROM_READY, ()).await).await;
                assert_eq!(added.unwrap(), ROWS as u64);
            })
            .await
        };
        let together = async || self.singly("bench.chunk", CHUNK, chunks, false).await;
        timed_line("1,000 rows, 384-d: nothing sent / each by itself, one commit", "", 1, alone, together)
            .await;
    }

    /// Row by row on one connection: each in a transaction of its own, or all in one.
    async fn singly<A: ToSql + Sync, B: ToSql + Sync>(
        &self,
        table: &str,
        insert: &str,
        values: &[(A, B)],
        commits: bool,
    ) -> Duration {
        self.empty(table).await;
        let (client, tenant) = (self.app.get().await.unwrap(), self.tenant.context().tenant().as_uuid());
        let insert = client.prepare_cached(insert).await.unwrap();
        time(async || {
            by_hand::begin(&client, tenant).await;
            for (at, (a, b)) in values.iter().enumerate() {
                if commits && at > 0 {
                    commit(&client).await;
                    by_hand::begin(&client, tenant).await;
                }
                assert_eq!(client.execute(&insert, &[&tenant, a, b]).await.unwrap(), 1);
            }
            commit(&client).await;
        })
        .await
    }

    async fn empty(&self, table: &str) {
        let client = self.superuser.get().await.unwrap();
        client.batch_execute(&format!("truncate {table}")).await.unwrap();
    }
}

async fn commit(client: &Object) {
    client.batch_execute("COMMIT").await.unwrap();
}

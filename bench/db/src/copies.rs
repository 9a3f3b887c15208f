//! COPY into a table: our writer beside the driver's.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use deadpool_postgres::Pool;
use futures_util::{Sink, TryStreamExt};
use pgvector::Vector;
use shared_db::vector::Embedding;
use shared_db::{Config, CopyIn, Db, Declared, Error, Params};
use shared_devkit::load::time;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::ToSql;

use crate::by_hand;
use crate::cores::busy;
use crate::schema::{NARROW, WIDE};
use bench_report::timed_line;

pub(crate) async fn compare(url: &str) {
    let sides = Sides::new(url).await;
    let narrow: Vec<(i64, i32, f64)> = (0..100_000).map(|id| (id, id as i32 % 7, id as f64 / 3.0)).collect();
    let ours = async || sides.ours(&NARROW, narrow.iter().copied()).await;
    let drivers = async || {
        let rows = narrow.iter().map(|(id, kind, value)| [id as Value<'_>, kind, value]);
        sides.drivers("bench.narrow", "id, kind, value", rows).await
    };
    sides.compare("3 columns", ["", "≥ 1.1×: ≤ 0.909"], "bench.narrow", narrow.len(), &ours, drivers).await;
    sides.beside_encoded("3 columns", "bench.narrow (id, kind, value)", narrow.len(), ours).await;

    let vector =
        |row: i64| Vector::from((0..1536).map(|at| ((row * 1536 + at) as f32).sin()).collect::<Vec<_>>());
    let wide: Vec<(i64, Vector)> = (0..2_000).map(|id| (id, vector(id))).collect();
    let embeddings: Vec<(i64, Embedding)> =
        wide.iter().map(|(id, vector)| (*id, Embedding::from(vector.to_vec()))).collect();
    let ours = async || sides.ours(&WIDE, embeddings.iter().map(|(id, vector)| (*id, vector))).await;
    let drivers = async || {
        let rows = wide.iter().map(|(id, vector)| [id as Value<'_>, vector]);
        sides.drivers("bench.wide", "id, embedding", rows).await
    };
    sides.compare("1,536-d", ["", "≥ 2×: ≤ 0.500"], "bench.wide", wide.len(), ours, drivers).await;
}

type Value<'a> = &'a (dyn ToSql + Sync);

struct Sides {
    db: Db,
    app: Pool,
    superuser: Pool,
}

impl Sides {
    async fn new(url: &str) -> Self {
        let db = Db::connect(&Config::new(url)).await.unwrap();
        Self { db, app: by_hand::app(url), superuser: by_hand::pool(url, "") }
    }

    /// Two lines: how long a row takes, and for how long it keeps the client's core busy.
    async fn compare(
        &self,
        copy: &str,
        goals: [&str; 2],
        table: &str,
        rows: usize,
        ours: impl AsyncFn(),
        drivers: impl AsyncFn(),
    ) {
        let rows = u32::try_from(rows).unwrap();
        let ours_elapsed = async || self.emptied(table, async || time(&ours).await).await;
        let drivers_elapsed = async || self.emptied(table, async || time(&drivers).await).await;
        timed_line(
            &format!("COPY, {copy}, a row / BinaryCopyInWriter"),
            goals[0],
            rows,
            ours_elapsed,
            drivers_elapsed,
        )
        .await;
        let ours_busy = async || self.emptied(table, async || busy(&ours).await).await;
        let drivers_busy = async || self.emptied(table, async || busy(&drivers).await).await;
        timed_line(
            &format!("COPY, {copy}, client's CPU a row / BinaryCopyInWriter"),
            goals[1],
            rows,
            ours_busy,
            drivers_busy,
        )
        .await;
    }

    /// Our writer beside bytes that need no encoding any more: what is left is the server's time.
    async fn beside_encoded(&self, copy: &str, into: &str, rows: usize, ours: impl AsyncFn()) {
        let table = into.split_once(' ').unwrap().0;
        self.emptied(table, async || time(&ours).await).await;
        let encoded = self.encoded(into).await;
        let ours = async || self.emptied(table, async || time(&ours).await).await;
        let sent =
            async || self.emptied(table, async || time(async || self.send(into, &encoded).await).await).await;
        let name = format!("COPY, {copy}, a row / bytes that were encoded before");
        timed_line(&name, "", u32::try_from(rows).unwrap(), ours, sent).await;
    }

    /// What is in the table, as the server writes it, in pieces as large as ours.
    async fn encoded(&self, table: &str) -> Vec<Bytes> {
        let client = self.superuser.get().await.unwrap();
        let rows = client.copy_out(&format!("copy {table} to stdout (format binary)")).await.unwrap();
        let rows: Vec<Bytes> = rows.try_collect().await.unwrap();
        let mut all = BytesMut::from(&rows.concat()[..]);
        let mut pieces = Vec::new();
        while !all.is_empty() {
            pieces.push(all.split_to(all.len().min(128 << 10)).freeze());
        }
        pieces
    }

    async fn send(&self, into: &str, encoded: &[Bytes]) {
        let client = self.app.get().await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        let sink = client.copy_in(&format!("copy {into} from stdin (format binary)")).await.unwrap();
        let mut sink = pin!(sink);
        for piece in encoded {
            poll_fn(|context| sink.as_mut().poll_ready(context)).await.unwrap();
            sink.as_mut().start_send(piece.clone()).unwrap();
        }
        sink.finish().await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    }

    async fn ours<P: Declared, R: Params<P>>(&self, copy: &CopyIn<P>, rows: impl Iterator<Item = R>) {
        let door = self.db.untenanted();
        let copied = door.tx(async |tx| {
            let mut copy = tx.copy_in(copy).await?;
            for row in rows {
                copy.write(row).await?;
            }
            copy.finish().await
        });
        let copied: Result<u64, Error> = copied.await;
        copied.unwrap();
    }

    async fn drivers<'a, const N: usize>(
        &self,
        table: &str,
        columns: &str,
        rows: impl Iterator<Item = [Value<'a>; N]>,
    ) {
        let client = self.app.get().await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        let columns_of = client.prepare_cached(&format!("select {columns} from {table}")).await.unwrap();
        let types: Vec<_> = columns_of.columns().iter().map(|column| column.type_().clone()).collect();
        let sink =
            client.copy_in(&format!("copy {table} ({columns}) from stdin (format binary)")).await.unwrap();
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for row in rows {
            writer.as_mut().write(&row).await.unwrap();
        }
        writer.finish().await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    }

    async fn emptied(&self, table: &str, measured: impl AsyncFnOnce() -> Duration) -> Duration {
        let client = self.superuser.get().await.unwrap();
        client.batch_execute(&format!("truncate {table}")).await.unwrap();
        measured().await
    }
}

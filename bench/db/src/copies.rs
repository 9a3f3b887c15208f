//! COPY into a table: our writer beside the driver's.

use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::Pool;
use pgvector::Vector;
use shared_db::{Config, CopyIn, Db, Declared, Error, Params};
use shared_devkit::load::time;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::ToSql;

use crate::by_hand;
use crate::report::line;
use crate::schema::{NARROW, WIDE};

pub(crate) async fn compare(url: &str) {
    let sides = Sides::new(url).await;
    let narrow: Vec<(i64, i32, f64)> = (0..100_000).map(|id| (id, id as i32 % 7, id as f64 / 3.0)).collect();
    let ours = async || sides.ours(&NARROW, narrow.iter().copied()).await;
    let drivers = async || {
        let rows = narrow.iter().map(|(id, kind, value)| [id as Value<'_>, kind, value]);
        sides.drivers("bench.narrow", "id, kind, value", rows).await
    };
    sides.compare("3 columns", ["≥ 1.1×: ≤ 0.909", ""], "bench.narrow", narrow.len(), ours, drivers).await;

    let vector =
        |row: i64| Vector::from((0..1536).map(|at| ((row * 1536 + at) as f32).sin()).collect::<Vec<_>>());
    let wide: Vec<(i64, Vector)> = (0..2_000).map(|id| (id, vector(id))).collect();
    let ours = async || sides.ours(&WIDE, wide.iter().map(|(id, vector)| (*id, vector))).await;
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
        line(
            &format!("COPY, {copy}, a row / BinaryCopyInWriter"),
            goals[0],
            rows,
            ours_elapsed,
            drivers_elapsed,
        )
        .await;
        let ours_busy = async || self.emptied(table, async || busy(&ours).await).await;
        let drivers_busy = async || self.emptied(table, async || busy(&drivers).await).await;
        line(
            &format!("COPY, {copy}, client's CPU a row / BinaryCopyInWriter"),
            goals[1],
            rows,
            ours_busy,
            drivers_busy,
        )
        .await;
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

/// For how long some work kept this thread, which is the client's only one, on a core.
async fn busy(work: impl AsyncFnOnce()) -> Duration {
    let before = on_core();
    work().await;
    on_core() - before
}

/// Linux counts it, in nanoseconds.
fn on_core() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(counted.split_whitespace().next().unwrap().parse().unwrap())
}

//! One row of one tenant.

use std::time::Duration;

use shared_core::{AssumedTenant, Id, InTenant, TenantId};
use shared_db::{Config, Db};
use shared_devkit::Proxy;

use crate::by_hand::{self, ByHand};
use crate::by_sqlx::BySqlx;
use crate::cores::{Server, busy};
use crate::schema::{BODY, CHANGE, INSERT, Note, ONE};
use crate::turns::{self, repeat};
use bench_report::timed_line;

/// What the proxy adds to a round trip, half of it in each direction. It takes a little more: the bare query's own time tells.
const DISTANCE: Duration = Duration::from_millis(1);

/// Everybody who reads the row.
struct Sides {
    db: Db,
    tenant: AssumedTenant,
    note: Id<Note>,
    hand: ByHand,
    sqlx: BySqlx,
}

impl Sides {
    async fn new(url: &str) -> Self {
        let db = Db::connect(&Config::new(url)).await.unwrap();
        let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
        let note: Id<Note> = Id::new();
        db.tenant(&tenant).execute(&INSERT, (note, "the body of a note")).await.unwrap();
        let (of, id) = (tenant.context().tenant().as_uuid(), note.as_uuid());
        Self { db, tenant, note, hand: ByHand::new(url, of, id), sqlx: BySqlx::new(url, of, id) }
    }

    async fn read(&self) {
        drop(self.db.tenant(&self.tenant).one(&BODY, (self.note,)).await.unwrap());
    }

    async fn change(&self) {
        let door = self.db.tenant(&self.tenant);
        let changed = door.tx(async |tx| {
            drop(tx.one(&BODY, (self.note,)).await?);
            tx.execute(&CHANGE, (self.note, "another body")).await
        });
        assert_eq!(changed.await.unwrap(), 1);
    }

    async fn select_one(&self) {
        assert_eq!(self.db.untenanted().one(&ONE, ()).await.unwrap(), 1);
    }
}

pub(crate) async fn on_this_machine(server: &Server, url: &str) {
    let sides = Sides::new(url).await;
    let Sides { hand, sqlx, .. } = &sides;
    let (read, change) = (async || sides.read().await, async || sides.change().await);
    let compare = Repeated { server, operations: 400 };
    compare.line("read / four trips by hand", "≤ 0.60", read, async || hand.read().await).await;
    compare.line("read / bare prepared query, no tenant", "≤ 2.00", read, async || hand.bare().await).await;
    let pipelined = async || hand.pipelined().await;
    compare.line("read / the same messages pipelined by hand", "", read, pipelined).await;
    compare.line("read / four trips by sqlx", "", read, async || sqlx.read().await).await;
    compare
        .line("read and write / five trips by hand", "", change, async || hand.change("other").await)
        .await;
    compare
        .line("read and write / five trips by sqlx", "", change, async || sqlx.change("other").await)
        .await;
    let select_one = async || sides.select_one().await;
    let goal = "≤ 1.30, under 5 µs more";
    compare
        .line("checkout, select 1, return / deadpool", goal, select_one, async || hand.select_one().await)
        .await;
    checkout(&sides).await;
}

/// Checkout and return can't be asked for alone. They are what a statement takes less on a connection that is kept; that is the
/// client's work, so its time on the core is what is compared.
async fn checkout(sides: &Sides) {
    const TIMES: u32 = 5_000;
    let ours = async || {
        let mut kept = sides.db.untenanted().begin().await.unwrap();
        let lent = async || repeat(TIMES, &async || sides.select_one().await).await;
        let kept = async || {
            for _ in 0..TIMES {
                assert_eq!(kept.one(&ONE, ()).await.unwrap(), 1);
            }
        };
        busy(lent).await.saturating_sub(busy(kept).await)
    };
    let deadpools = async || {
        let kept = sides.hand.connection().await;
        kept.batch_execute("BEGIN").await.unwrap();
        let lent = async || repeat(TIMES, &async || sides.hand.select_one().await).await;
        let with = busy(lent).await;
        let without = busy(async || repeat(TIMES, &async || by_hand::select_one(&kept).await).await).await;
        kept.batch_execute("ROLLBACK").await.unwrap();
        with.saturating_sub(without)
    };
    timed_line(
        "checkout and return alone, client's CPU / deadpool",
        "≤ 1.30, under 5 µs more",
        TIMES,
        ours,
        deadpools,
    )
    .await;
}

pub(crate) async fn at_a_distance(server: &Server, url: &str) {
    let proxy = Proxy::to(url).await.unwrap();
    proxy.to_server().delay(DISTANCE / 2);
    proxy.to_client().delay(DISTANCE / 2);
    let sides = Sides::new(&proxy.url(url)).await;
    let Sides { hand, sqlx, .. } = &sides;
    let (read, change) = (async || sides.read().await, async || sides.change().await);
    let compare = Repeated { server, operations: 100 };
    compare.line("delayed: read / four trips by hand", "≤ 0.30", read, async || hand.read().await).await;
    compare.line("delayed: read / bare prepared query", "≤ 1.20", read, async || hand.bare().await).await;
    compare.line("delayed: read / four trips by sqlx", "", read, async || sqlx.read().await).await;
    let by_hand = async || hand.change("other").await;
    compare.line("delayed: read and write / five trips by hand", "", change, by_hand).await;
}

/// So many operations of each side in a round, one after the other, as one caller sees them.
struct Repeated<'a> {
    server: &'a Server,
    operations: u32,
}

impl Repeated<'_> {
    async fn line(&self, name: &str, goal: &str, ours: impl AsyncFn(), peer: impl AsyncFn()) {
        turns::line(self.server, name, goal, self.operations, ours, peer).await;
    }
}

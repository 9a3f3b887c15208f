//! One row of one tenant: through shared-db, and written by hand with deadpool-postgres.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]

mod by_hand;

use std::future::Future;
use std::time::Duration;

use bench_harness::{Comparison, Table, time};
use by_hand::ByHand;
use shared_core::{AssumedTenant, Id, InTenant, TenantId};
use shared_db::{Config, Db, MigrationSet, Step, bootstrap, statements};
use shared_devkit::Postgres;
use tokio::runtime::{Builder, Runtime};

/// Operations of a round: some tenths of a second.
const OPERATIONS: u32 = 2_000;

const MIGRATIONS: MigrationSet = MigrationSet::new(
    "bench",
    &[Step::sql(
        1,
        "note",
        "create table bench.note (
             tenant_id uuid not null, id uuid not null, body text not null, primary key (tenant_id, id));
         select shared_db.tenant_table('bench.note');",
    )],
)
.requires(&["shared_db"]);

/// What an id identifies.
struct Note;

statements! {
    const INSERT: Statement<(Id<Note>, String), ()> = "
        insert into bench.note (tenant_id, id, body) values ($tenant, $1, $2)";
    const BODY: Statement<(Id<Note>,), String> = "
        select body from bench.note where tenant_id = $tenant and id = $1";
    const ONE: Statement<(), i32> = "select 1";
}

fn main() {
    // One thread: how fast threads wake each other differs from run to run, by more than what is compared.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Postgres::shared()).unwrap();
    let database = runtime.block_on(server.empty_database()).unwrap();
    let config = Config::new(database.url());
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    let note: Id<Note> = Id::new();
    let db = runtime.block_on(filled(&config, &tenant, note));
    let hand = ByHand::new(&config, tenant.context().tenant().as_uuid(), note.as_uuid());

    let read = async || drop(db.tenant(&tenant).one(&BODY, (note,)).await.unwrap());
    let transaction = async || {
        let body = db.tenant(&tenant).tx(async |tx| tx.one(&BODY, (note,)).await).await;
        drop(body.unwrap());
    };
    let untenanted = async || assert_eq!(db.untenanted().one(&ONE, ()).await.unwrap(), 1);

    let mut table = Table::default();
    let mut compare = |name: &str, ours: &dyn Fn() -> Duration, peer: &dyn Fn() -> Duration| {
        table.add(Comparison::new(name, OPERATIONS).run(ours, peer));
    };
    let four = || measured(&runtime, || hand.four_trips());
    compare("tenant read / BEGIN, set_config, query, COMMIT", &|| measured(&runtime, read), &four);
    compare("tenant read / bare prepared query, no tenant", &|| measured(&runtime, read), &|| {
        measured(&runtime, || hand.bare())
    });
    compare("tx with one statement / the same four trips", &|| measured(&runtime, transaction), &four);
    compare("untenanted select 1 / plain deadpool", &|| measured(&runtime, untenanted), &|| {
        measured(&runtime, || hand.select_one())
    });
    print(&table);
}

/// A migrated database with one note, and the pool for it.
async fn filled(config: &Config, tenant: &AssumedTenant, note: Id<Note>) -> Db {
    bootstrap(config, &[MIGRATIONS]).await.unwrap();
    let db = Db::connect(config).await.unwrap();
    db.tenant(tenant).execute(&INSERT, (note, "the body of a note")).await.unwrap();
    db
}

/// One round: one operation after the other, as one caller sees them.
fn measured<F: Future<Output = ()>>(runtime: &Runtime, operation: impl Fn() -> F) -> Duration {
    time(|| {
        runtime.block_on(async {
            for _ in 0..OPERATIONS {
                operation().await;
            }
        });
    })
}

#[allow(clippy::print_stdout, reason = "it is what a benchmark is for")]
fn print(table: &Table) {
    println!("{table}");
}

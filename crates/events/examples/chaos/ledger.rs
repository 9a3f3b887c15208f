//! What publishers and consumers write down, each in the transaction that it tells of.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use shared_db::{MigrationSet, Step, statements};
use shared_events::Event;

use super::process::Role;

/// Counters that are raised one by one, each under its row's lock; every value that was committed; and what consumers have made of it.
/// An effect that comes twice leaves two rows. `seq` is the order in which effects were written.
pub(crate) const TABLES: MigrationSet = MigrationSet::new(
    "chaos",
    &[Step::sql(
        1,
        "tables",
        "create table chaos.counter (
             tenant_id uuid not null, key text not null, n bigint not null, primary key (tenant_id, key));
         select shared_db.tenant_table('chaos.counter');
         create table chaos.raised (tenant_id uuid not null, key text not null, n bigint not null);
         select shared_db.tenant_table('chaos.raised');
         create table chaos.effect (
             tenant_id uuid not null, consumer text not null, key text not null, n bigint not null,
             seq bigint generated always as identity (cache 1));
         select shared_db.tenant_table('chaos.effect');
         create table chaos.healed (tenant_id uuid not null primary key);
         select shared_db.tenant_table('chaos.healed');
         create table chaos.other (tenant_id uuid not null, at timestamptz not null default now());
         select shared_db.tenant_table('chaos.other');",
    )],
)
.requires(&["shared_db"]);

statements! {
    /// Raises a counter under its lock, and says so.
    pub(crate) const RAISE: Statement<(String,), i64> = "
        with raised as (
            insert into chaos.counter (tenant_id, key, n) values ($tenant, $1, 1)
                on conflict (tenant_id, key) do update set n = counter.n + 1
            returning n)
        insert into chaos.raised (tenant_id, key, n) select $tenant, $1, n from raised returning n";
    /// What the counter would be raised to now; nobody is kept from raising it first.
    pub(crate) const GUESS: Statement<(String,), i64> = "
        select coalesce((select n from chaos.counter where tenant_id = $tenant and key = $1), 0) + 1";
    /// Gives the transaction its id early.
    pub(crate) const WRITE_SOMETHING: Statement<(), ()> = "insert into chaos.other (tenant_id) values ($tenant)";
    pub(crate) const TAKE_EFFECT: Statement<(String, String, i64), ()> = "
        insert into chaos.effect (tenant_id, consumer, key, n) values ($tenant, $1, $2, $3)";
    pub(crate) const HEAL: Statement<(), ()> = "
        insert into chaos.healed (tenant_id) values ($tenant) on conflict do nothing";
    pub(crate) const IS_HEALED: Statement<(), bool> = "
        select exists (select 1 from chaos.healed where tenant_id = $tenant)";
}

/// A counter has been raised.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "chaos.raised", version = 1, key = "key")]
pub(crate) struct Raised {
    pub key: String,
    pub n: i64,
}

/// A line in a process's file, which outlives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// What it is there for, and by how many minutes its clock is ahead of the server's.
    Started { role: Role, clock_off_by: i64 },
    /// What a publisher was told to be committed.
    Told { tenant: String, raised: Vec<(String, i64)> },
}

/// Microseconds since 1970, by this process's clock.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

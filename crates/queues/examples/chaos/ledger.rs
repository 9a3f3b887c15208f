//! What handlers write down: an effect in the transaction that completes the job, and when each attempt began and ended.
//!
//! The attempts are in a file of their worker, since they must be known also when a server is away. Their times, and those of
//! the faults, are the machine's clock as the kernel has it, also in a worker whose own clock is off.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use shared_db::{MigrationSet, Step, statements};
use shared_devkit::child::Ledger;
use uuid::Uuid;

/// A job that takes effect twice leaves two rows.
pub(crate) const EFFECTS: MigrationSet = MigrationSet::new(
    "chaos",
    &[Step::sql(
        1,
        "effect",
        "create table chaos.effect (tenant_id uuid not null, n bigint not null, attempt uuid not null);
         select shared_db.tenant_table('chaos.effect');",
    )],
)
.requires(&["shared_db"]);

statements! {
    pub(crate) const TAKE_EFFECT: Statement<(i64, Uuid), ()> = "
        insert into chaos.effect (tenant_id, n, attempt) values ($tenant, $1, $2)";
    /// With the time of the commit in microseconds.
    pub(crate) const ALL_EFFECTS: Statement<(), (i64, Uuid, i64)> = "
        select n, attempt, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint from chaos.effect";
}

/// Microseconds since 1970, past whatever a worker takes for its clock.
pub(crate) fn now() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// By how many seconds this process's own clock is off.
pub(crate) fn clock_off_by() -> i64 {
    let own = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    (own - now() + 500_000).div_euclid(1_000_000)
}

/// A line in a worker's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Fact {
    Started { clock_off_by: i64 },
    Began { attempt: Uuid, n: u64, at: i64 },
    Ended { attempt: Uuid, at: i64 },
}

impl Fact {
    pub(crate) fn write(&self, ledger: &Ledger) {
        ledger.append(serde_json::to_string(self).unwrap()).unwrap();
    }
}

/// An attempt, from when its handler begins until it ends or is dropped.
pub(crate) struct Attempt {
    pub id: Uuid,
    ledger: Arc<Ledger>,
    over: bool,
}

impl Attempt {
    pub(crate) fn begin(ledger: &Arc<Ledger>, n: u64) -> Self {
        let id = Uuid::now_v7();
        Fact::Began { attempt: id, n, at: now() }.write(ledger);
        Self { id, ledger: ledger.clone(), over: false }
    }

    /// Said before the commit that completes the job: after it, others may run.
    pub(crate) fn end(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            Fact::Ended { attempt: self.id, at: now() }.write(&self.ledger);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end();
    }
}

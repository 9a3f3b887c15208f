//! What is to be seen in the database.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use shared_core::TenantId;
use shared_db::{Db, Row, statements};

use super::Cause;
use crate::operate::{ParkedState, seconds};
use crate::{Error, Lane};

/// A transaction that is still open after so long is worth a line.
const OPEN: Duration = Duration::from_secs(1);

statements! {
    const RELAYS: Statement<(String,), RelayRow> = "
        select host, pid, state::text as state from shared_events.relay
         where subscription = $1 and expires > clock_timestamp() order by started";
    // The first of each key, those for an operator first.
    const PARKED: Statement<(String,), HeadRow> = "
        select p.tenant_id, p.consumer, p.key, p.state, p.attempts, p.reason,
               (select count(*) from shared_events.parked as f
                 where (f.tenant_id, f.subscription, f.consumer, f.key) = (p.tenant_id, p.subscription, p.consumer, p.key)
                   and f.state <> 'sent') as events
          from shared_events.parked as p
         where p.subscription = $1 and p.state in ('dead', 'retrying')
         order by p.state = 'dead' desc, p.at limit 10";
    // Those that write, or have: whoever has drawn a transaction id. Where the server does not say since when, the first tick that lists it
    // as open does.
    const OPEN_TRANSACTIONS: Statement<(), OpenRow> = "
        with ticks as materialized (select at, snap from shared_events.tick order by tick desc limit 1000)
        select a.pid, a.backend_xid::text as xid, coalesce(a.application_name, '') as application,
               extract(epoch from clock_timestamp() - coalesce(a.xact_start, s.at))::float8 as open
          from pg_catalog.pg_stat_activity as a
          left join lateral (
               select min(ticks.at) as at from ticks cross join lateral pg_snapshot_xip(ticks.snap) as open (xid)
                where open.xid::xid = a.backend_xid) as s on true
         where a.datname = current_database() and a.backend_xid is not null and a.pid <> pg_backend_pid()
         order by 4 desc nulls last limit 100";
    const PREPARED: Statement<(), (String, String, f64)> = "
        select gid, owner::text, extract(epoch from clock_timestamp() - prepared)::float8 from pg_catalog.pg_prepared_xacts
         where database = current_database() order by prepared limit 10";
}

#[derive(Row)]
struct RelayRow {
    host: String,
    pid: i32,
    state: Option<String>,
}

#[derive(Row)]
struct HeadRow {
    tenant_id: TenantId,
    consumer: String,
    key: String,
    state: String,
    attempts: i32,
    reason: Option<String>,
    events: i64,
}

#[derive(Row)]
struct OpenRow {
    pid: i32,
    xid: String,
    application: String,
    open: Option<f64>,
}

/// A relay that is alive.
pub(super) struct LivingRelay {
    host: String,
    pid: u32,
    state: State,
}

/// What a relay says of itself, as far as it is looked at here. Another release may say something else.
#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    sink: Option<String>,
    breaker_open: bool,
    foreign: BTreeMap<u8, String>,
    last_error: Option<String>,
}

pub(super) async fn relays(db: &Db, subscription: &str) -> Result<Vec<LivingRelay>, Error> {
    let rows = db.system().all(&RELAYS, (subscription,)).await?;
    let read = |row: RelayRow| LivingRelay {
        host: row.host,
        pid: row.pid.unsigned_abs(),
        state: row.state.and_then(|state| serde_json::from_str(&state).ok()).unwrap_or_default(),
    };
    Ok(rows.into_iter().map(read).collect())
}

impl LivingRelay {
    /// What an intake says of its broker, or of its own database.
    pub(super) fn cannot_read(&self) -> Option<Cause> {
        let (host, pid) = (self.host.clone(), self.pid);
        self.state.last_error.clone().map(|error| Cause::CannotRead { host, pid, error })
    }

    /// What a relay has found in lanes of its sink.
    pub(super) fn foreign_writer(&self) -> impl Iterator<Item = Cause> {
        let sink = self.state.sink.clone().unwrap_or_default();
        let lanes = self.state.foreign.iter();
        lanes.filter_map(move |(lane, why)| {
            let lane = Lane::new(*lane)?;
            Some(Cause::ForeignWriter { sink: sink.clone(), lane, why: why.clone() })
        })
    }

    pub(super) fn open_breaker(&self) -> Option<Cause> {
        self.state.breaker_open.then(|| Cause::OpenBreaker {
            sink: self.state.sink.clone().unwrap_or_default(),
            host: self.host.clone(),
            pid: self.pid,
            error: self.state.last_error.clone(),
        })
    }
}

pub(super) async fn parked(db: &Db, subscription: &str) -> Result<Vec<Cause>, Error> {
    let rows = db.system().all(&PARKED, (subscription,)).await?;
    let read = |row: HeadRow| Cause::ParkedKey {
        tenant: row.tenant_id,
        consumer: row.consumer,
        key: row.key,
        state: ParkedState::read(&row.state).unwrap_or(ParkedState::Waiting),
        attempts: row.attempts.unsigned_abs(),
        reason: row.reason,
        events: row.events.unsigned_abs(),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Transactions that have been open for a second: where nothing says since when, they are looked at twice.
pub(super) async fn open_transactions(db: &Db) -> Result<Vec<Cause>, Error> {
    let mut open = db.system().all(&OPEN_TRANSACTIONS, ()).await?;
    if open.iter().any(|one| one.open.is_none()) {
        tokio::time::sleep(OPEN).await;
        let again = db.system().all(&OPEN_TRANSACTIONS, ()).await?;
        open.retain(|one| again.iter().any(|other| (other.pid, &other.xid) == (one.pid, &one.xid)));
    }
    let read = |row: OpenRow| {
        let open = row.open.map_or(OPEN, seconds);
        (open >= OPEN).then_some(Cause::OpenTransaction {
            pid: row.pid.unsigned_abs(),
            application: row.application,
            open,
        })
    };
    Ok(open.into_iter().filter_map(read).take(10).collect())
}

pub(super) async fn prepared(db: &Db) -> Result<Vec<Cause>, Error> {
    let rows: Vec<(String, String, f64)> = db.system().all(&PREPARED, ()).await?;
    let read = |(gid, owner, open)| Cause::PreparedTransaction { gid, owner, open: seconds(open) };
    Ok(rows.into_iter().map(read).collect())
}

//! Revocations in a table, which every instance reads for what is new in it.

use shared_core::TenantId;
use shared_db::{Db, TenantTx, statements};

use super::store::{Found, Stored};
use super::view::{Entry, Kind};
use super::{Revocation, RevocationConfig};
use crate::Error;

/// Where instances listen. What is said there is that there is something to read, and nothing else.
pub(super) const CHANNEL: &str = "shared_security.revocation";

statements! {
    /// `$3` milliseconds from now until which tokens are meant, if not all; `$4` milliseconds until no token is left. The
    /// notification goes out with the commit.
    const WRITE: Statement<(String, String, Option<i64>, i64, String), i64> = "
        with written as (
            insert into shared_security.revocation (tenant_id, kind, name, issued_until, expires_at)
            values ($tenant, $1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond',
                    clock_timestamp() + $4::bigint * interval '1 millisecond')
                on conflict (tenant_id, kind, name) do update
                   set issued_until = greatest(excluded.issued_until, revocation.issued_until),
                       expires_at = greatest(excluded.expires_at, revocation.expires_at),
                       xid = pg_current_xact_id()
            returning 1),
             told as (select pg_notify($5, '') from written)
        select count(*) from told";
    /// Reads what no earlier snapshot can have seen: rows of transactions that were under way then, or began later. `$1` is the
    /// horizon of the last read, and the first column that of this one; a row may come twice, and none is left out.
    const READ: Statement<(String, i64), (String, Option<TenantId>, Option<String>, Option<String>, Option<i64>, Option<i64>)> = "
        with horizon as materialized (select pg_snapshot_xmin(pg_current_snapshot())::text as xmin)
        select h.xmin, r.tenant_id, r.kind, r.name, floor(extract(epoch from r.issued_until))::bigint,
               ceil(extract(epoch from r.expires_at))::bigint
          from horizon h
          left join (
              select tenant_id, kind, name, issued_until, expires_at from shared_security.revocation
               where xid >= $1::text::xid8 and expires_at > clock_timestamp() limit $2) r on true";
}

pub(super) async fn write_in(
    tx: &mut TenantTx,
    what: &[Revocation],
    config: &RevocationConfig,
) -> Result<(), Error> {
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    for one in what {
        let kind = name_of(one.kind());
        let given = (kind, one.name(), one.margin().map(millis), millis(config.longest_token), CHANNEL);
        tx.one(&WRITE, given).await?;
    }
    Ok(())
}

pub(super) async fn read(
    db: &Db,
    cursor: &mut String,
    config: &RevocationConfig,
    all: i64,
) -> Result<Found, Error> {
    let from = if cursor.is_empty() { "0" } else { cursor.as_str() };
    let most = i64::try_from(config.max_entries).unwrap_or(i64::MAX - 1) + 1;
    let rows = db.system().all(&READ, (from, most)).await?;
    let all_until = (rows.len() > config.max_entries).then_some(all);
    if let Some((horizon, ..)) = rows.first() {
        cursor.clone_from(horizon);
    }
    let stored = rows.into_iter().filter_map(|(_, tenant, kind, name, issued_until, expires)| {
        let entry =
            Entry { tenant: tenant?, issued_until: issued_until.unwrap_or(i64::MAX), expires: expires? };
        Some(Stored { entry, kind: kind_of(&kind?)?, name: name? })
    });
    Ok(Found { stored: stored.collect(), all_until })
}

pub(super) fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Token => "token",
        Kind::Session => "session",
        Kind::Subject => "subject",
        Kind::Tenant => "tenant",
    }
}

pub(super) fn kind_of(name: &str) -> Option<Kind> {
    [Kind::Token, Kind::Session, Kind::Subject, Kind::Tenant].into_iter().find(|kind| name_of(*kind) == name)
}

//! One page of entries, and the seals that it becomes.

use std::collections::BTreeMap;
use std::time::Instant;

use shared_core::{TenantId, fault};
use shared_db::{Db, cut_between, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Halt;
use super::state::{Cut, Lease};
use crate::audit::chain::{Batch, Digest, leaf};
use crate::audit::entry::{Entry, columns};
use crate::audit::metrics::METRICS;

/// Entries in a page, and so in a batch, at most: while there are more, the sealer goes on without a pause, and a seal is 40 KB at
/// most.
pub(super) const PAGE: usize = 1000;

statements! {
    /// `$1` epoch, `$2` how many.
    pub(super) const FIRST: Statement<(i64, i64), Entry> = concat!("
        with cut as materialized (select seen, sees from shared_security.audit_sealer where epoch = $1),
        page as (", cut_between!("shared_security.audit_log"), " order by pos limit $2)
        select ", columns!(), " from page join shared_security.audit_log as log on log.pos = page.pos order by log.pos");
    /// The rest of a large batch, along the positions behind `$2`: the sort over the whole batch is not repeated for each page.
    pub(super) const NEXT: Statement<(i64, i64, i64), Entry> = concat!("
        select ", columns!(), " from shared_security.audit_log as log
         where log.pos > $2
           and pg_visible_in_snapshot(log.xid, (select sees from shared_security.audit_sealer where epoch = $1))
           and not pg_visible_in_snapshot(log.xid, (select seen from shared_security.audit_sealer where epoch = $1))
         order by log.pos limit $3");
    const HEADS: Statement<(Vec<Uuid>,), (TenantId, i64, Vec<u8>)> = "
        select tenant_id, number, root from shared_security.audit_chain where tenant_id = any ($1)";
    /// All of a page in one statement, under the lease and from the place it was read at, or nothing of it: `$1` epoch, `$2` seconds
    /// to live, `$3` place before, `$4` and after, `$5` whether the cut ends here, `$6` and `$7` its times; then an array for each
    /// column of the seals.
    const SEAL: Statement<(i64, f64, i64, i64, bool, OffsetDateTime, OffsetDateTime, Vec<Uuid>, Vec<i64>, Vec<String>, Vec<Vec<u8>>, Vec<Vec<u8>>), i64> = "
        with held as (
                 update shared_security.audit_sealer
                    set expires = clock_timestamp() + make_interval(secs => $2),
                        pos = case when $5 then 0 else $4::bigint end,
                        seen = case when $5 then sees else seen end, seen_at = case when $5 then sees_at else seen_at end,
                        sees = case when $5 then null else sees end, sees_at = case when $5 then null else sees_at end
                  where epoch = $1 and pos = $3 and sees is not null
                 returning 1),
             seal as (
                 insert into shared_security.audit_seal (tenant_id, number, since, until, positions, leaves, root)
                 select new.tenant_id, new.number, $6, $7, new.positions::bigint[], new.leaves, new.root
                   from held, unnest($8::uuid[], $9::bigint[], $10::text[], $11::bytea[], $12::bytea[])
                              as new (tenant_id, number, positions, leaves, root)
                 returning tenant_id, number, root),
             chain as (
                 insert into shared_security.audit_chain (tenant_id, number, root)
                 select seal.tenant_id, seal.number, seal.root from seal
                     on conflict (tenant_id) do update set number = excluded.number, root = excluded.root)
        select count(*) from held";
}

/// Seals the next page, and returns how many entries it has and where to go on, if there may be more between the two cuts.
pub(super) async fn seal(db: &Db, lease: &mut Lease, cut: Cut) -> Result<(usize, Option<Cut>), Halt> {
    let page = read(db, lease.epoch, cut.pos).await?;
    fault::point("security.audit.read");
    let is_last = page.len() < PAGE;
    let pos = page.last().map_or(cut.pos, |entry| entry.pos);
    let oldest = page.iter().map(|entry| entry.at).min().unwrap_or(cut.until);
    METRICS.unsealed.record((cut.until - oldest).as_seconds_f64().max(0.0), &[]);

    let seals = chained(db, &cut, &page).await?;
    let now = Instant::now();
    let params = (
        lease.epoch,
        lease.length.as_secs_f64(),
        cut.pos,
        pos,
        is_last,
        cut.since,
        cut.until,
        seals.tenants,
        seals.numbers,
        seals.positions,
        seals.leaves,
        seals.roots,
    );
    fault::point("security.audit.sealing");
    let held = db.system().one(&SEAL, params).await? == 1;
    lease.renewed_at(now, held)?;
    fault::point("security.audit.sealed");
    METRICS.sealed.add(page.len() as u64, &[]);
    Ok((page.len(), (!is_last).then_some(Cut { pos, ..cut })))
}

async fn read(db: &Db, epoch: i64, pos: i64) -> Result<Vec<Entry>, Halt> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    Ok(match pos {
        0 => db.system().all(&FIRST, (epoch, limit)).await?,
        pos => db.system().all(&NEXT, (epoch, pos, limit)).await?,
    })
}

/// Seals, a column each.
#[derive(Default)]
struct Seals {
    tenants: Vec<Uuid>,
    numbers: Vec<i64>,
    positions: Vec<String>,
    leaves: Vec<Vec<u8>>,
    roots: Vec<Vec<u8>>,
}

/// One seal for each tenant of the page, behind the last of its chain.
async fn chained(db: &Db, cut: &Cut, page: &[Entry]) -> Result<Seals, Halt> {
    let mut tenants: BTreeMap<TenantId, (Vec<i64>, Vec<u8>)> = BTreeMap::new();
    for entry in page {
        let (positions, leaves) = tenants.entry(entry.tenant_id).or_default();
        positions.push(entry.pos);
        leaves.extend(leaf(entry).0);
    }
    let ids: Vec<Uuid> = tenants.keys().map(TenantId::as_uuid).collect();
    let heads = db.system().all(&HEADS, (ids,)).await?;
    let heads: BTreeMap<TenantId, (i64, Vec<u8>)> =
        heads.into_iter().map(|(tenant, number, root)| (tenant, (number, root))).collect();
    let mut seals = Seals::default();
    for (tenant, (positions, leaves)) in tenants {
        let (last, previous) = match heads.get(&tenant) {
            Some((number, root)) => (*number, Digest::stored(root).unwrap_or_default()),
            None => (0, Digest::START),
        };
        let (number, since, until) = (last + 1, cut.since, cut.until);
        let batch = Batch { previous, tenant, number, since, until, positions: &positions, leaves: &leaves };
        seals.roots.push(batch.root().0.to_vec());
        seals.tenants.push(tenant.as_uuid());
        seals.numbers.push(number);
        seals.positions.push(as_array(&positions));
        seals.leaves.push(leaves);
    }
    Ok(seals)
}

/// Positions as the server writes an array: arrays of arrays of different lengths can't be sent.
fn as_array(positions: &[i64]) -> String {
    let numbers: Vec<String> = positions.iter().map(ToString::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}

use shared_core::TenantId;
use shared_db::{Db, statements};
use time::OffsetDateTime;

use super::entry::{APPEND, NO_TENANT, NewEntry, to_json};
use crate::AuditEvent;
use crate::Error;

/// Batches in one transaction: 20,000 rows at most.
const BATCHES: i64 = 20;

statements! {
    /// Whole batches that ended before `$1`, `$2` at most, behind batch `$4` of tenant `$3`.
    const OLD: Statement<(OffsetDateTime, i64, TenantId, i64), (TenantId, i64)> = "
        insert into shared_security.audit_pruned (tenant_id, number)
        select seal.tenant_id, seal.number from shared_security.audit_seal as seal
         where seal.until < $1 and (seal.tenant_id, seal.number) > ($3, $4)
           and not exists (select 1 from shared_security.audit_pruned as pruned
                            where pruned.tenant_id = seal.tenant_id and pruned.number = seal.number)
         order by seal.tenant_id, seal.number limit $2
            on conflict do nothing
        returning tenant_id, number";
    const DELETE: Statement<(TenantId, i64), ()> = "
        delete from shared_security.audit_log as log using shared_security.audit_seal as seal
         where seal.tenant_id = $1 and seal.number = $2 and log.tenant_id = $1 and log.pos = any (seal.positions)";
}

/// What was pruned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Batches.
    pub batches: u64,
    /// Their entries.
    pub entries: u64,
}

/// Deletes the entries of all batches that were sealed before this time. Their seals stay: the chain holds, and
/// [`Verify`](super::Verify) says what is gone. That it was done is an entry of its own, `audit.pruned`, without a tenant, committed with
/// it.
///
/// It works in transactions of 20 batches. If the future is dropped, those that are committed stay; another call goes on.
///
/// # Errors
/// [`Error::Database`].
pub async fn prune(db: &Db, before: OffsetDateTime) -> Result<Pruned, Error> {
    let (mut total, mut after) = (Pruned::default(), (NO_TENANT, 0));
    while let Some((some, last)) = some(db, before, after).await? {
        after = last;
        total.batches += some.batches;
        total.entries += some.entries;
    }
    Ok(total)
}

/// Prunes some batches behind this one; `None` where there is none. Returns the last of them.
async fn some(
    db: &Db,
    before: OffsetDateTime,
    (tenant, number): (TenantId, i64),
) -> Result<Option<(Pruned, (TenantId, i64))>, Error> {
    db.system()
        .tx(async |tx| {
            let batches = tx.all(&OLD, (before, BATCHES, tenant, number)).await?;
            let Some(last) = batches.iter().max().copied() else { return Ok(None) };
            let mut pruned = Pruned::default();
            for batch in batches {
                pruned.batches += 1;
                pruned.entries += tx.execute(&DELETE, batch).await?;
            }
            let event = AuditEvent::new("audit.pruned")
                .detail("before", before.to_string())
                .detail("batches", pruned.batches)
                .detail("entries", pruned.entries);
            tx.execute(&APPEND, (to_json([NewEntry::new(event)].iter()),)).await?;
            Ok(Some((pruned, last)))
        })
        .await
}

//! What is asked of all chains.

use shared_core::TenantId;
use shared_db::{cut_between, statements};

/// Whether the sealer has passed an entry: the cut `seen` sees it, or `sees` does, and its position is sealed.
macro_rules! passed {
    () => {
        "exists (select 1 from shared_security.audit_sealer as sealer
                  where pg_visible_in_snapshot(log.xid, sealer.seen)
                     or (sealer.sees is not null and log.pos <= sealer.pos and pg_visible_in_snapshot(log.xid, sealer.sees)))"
    };
}

statements! {
    pub(super) const HEADS: Statement<(TenantId, i64), (TenantId, i64, Vec<u8>)> = "
        select tenant_id, number, root from shared_security.audit_chain where tenant_id >= $1 order by tenant_id limit $2";
    pub(super) const HEAD: Statement<(TenantId,), (TenantId, i64, Vec<u8>)> = "
        select tenant_id, number, root from shared_security.audit_chain where tenant_id = $1";
    /// Entries that the sealer has passed, and entries that it has sealed and that were not pruned. One statement, so that a sealer at
    /// work does not come between.
    pub(super) const COUNTS: Statement<(TenantId,), (i64, i64)> = concat!("
        select (select count(*) from shared_security.audit_log as log where log.tenant_id = $1 and ", passed!(), "),
               (select coalesce(sum(cardinality(seal.positions)), 0)::bigint from shared_security.audit_seal as seal
                 where seal.tenant_id = $1
                   and not exists (select 1 from shared_security.audit_pruned as pruned
                                    where pruned.tenant_id = seal.tenant_id and pruned.number = seal.number))");
    /// Entries that the sealer has yet to pass; of all tenants, where `$1` is null.
    pub(super) const UNSEALED: Statement<(Option<TenantId>,), i64> = concat!("
        with cut as materialized (select seen, pg_current_snapshot() as sees from shared_security.audit_sealer),
        page as (", cut_between!("shared_security.audit_log"), ")
        select count(*) from page join shared_security.audit_log as log on log.pos = page.pos
         where ($1::uuid is null or log.tenant_id = $1) and not ", passed!());
    /// Entries that the sealer has passed and that stand in no seal. `$2` at most.
    pub(super) const STRANGERS: Statement<(TenantId, i64), i64> = concat!("
        select log.pos from shared_security.audit_log as log
         where log.tenant_id = $1 and ", passed!(), "
        except
        select unnest(seal.positions) from shared_security.audit_seal as seal where seal.tenant_id = $1
         order by pos limit $2");
    /// Tenants of entries and seals without a chain's end. `$1` at most.
    pub(super) const HEADLESS: Statement<(i64,), TenantId> = concat!("
        select tenant_id from (
            select log.tenant_id from shared_security.audit_log as log where ", passed!(), "
             union select seal.tenant_id from shared_security.audit_seal as seal where seal.number = 1) as known
         where not exists (select 1 from shared_security.audit_chain as chain where chain.tenant_id = known.tenant_id)
         limit $1");
}

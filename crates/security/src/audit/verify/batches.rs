//! The batches of one chain, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use shared_core::TenantId;
use shared_db::{Db, statements};
use time::Duration;

use super::{Finding, Report, Seal};
use crate::Error;
use crate::audit::chain::{Batch, Digest, leaf};
use crate::audit::entry::{Entry, columns};

statements! {
    const SEALS: Statement<(TenantId, i64, i64), Seal> = "
        select seal.number, seal.since, seal.until, seal.positions, seal.leaves, seal.root,
               exists (select 1 from shared_security.audit_pruned as pruned
                        where pruned.tenant_id = seal.tenant_id and pruned.number = seal.number) as is_pruned
          from shared_security.audit_seal as seal
         where seal.tenant_id = $1 and seal.number >= $2 order by seal.number limit $3";
    const ENTRIES: Statement<(TenantId, Vec<i64>), Entry> = concat!("
        select ", columns!(), " from shared_security.audit_log as log where log.tenant_id = $1 and log.pos = any ($2)");
    const IS_PRUNED: Statement<(TenantId, i64), bool> = "
        select exists (select 1 from shared_security.audit_pruned where tenant_id = $1 and number = $2)";
}

/// Seals in memory at once: 1 MB at their largest.
const SEALS_AT_ONCE: i64 = 20;

/// How long before a cut an entry may have been written that is committed behind it: no transaction of the family lives longer than its
/// statements' time-outs allow.
const LONGEST_COMMIT: Duration = Duration::minutes(10);

/// Checks a chain from batch `from` on, which is believed, or from its first one. Returns the number of the last batch there is.
pub(super) async fn check(
    db: &Db,
    tenant: TenantId,
    anchors: &BTreeMap<i64, Digest>,
    from: Option<i64>,
    head: Option<(i64, Option<Digest>)>,
    report: &mut Report,
) -> Result<i64, Error> {
    let mut chain =
        Chain { db, tenant, anchors, from, last: from.map_or(0, |from| from - 1), root: Digest::START };
    loop {
        let seals = db.system().all(&SEALS, (tenant, chain.last + 1, SEALS_AT_ONCE)).await?;
        if seals.is_empty() {
            return Ok(chain.last);
        }
        for seal in seals {
            let (number, root) = (seal.number, Digest::stored(&seal.root));
            if head.is_some_and(|(end, expected)| number == end && root != expected) {
                report.add(Finding::Broken { tenant, number });
            }
            chain.next(seal, report).await?;
        }
    }
}

struct Chain<'a> {
    db: &'a Db,
    tenant: TenantId,
    anchors: &'a BTreeMap<i64, Digest>,
    from: Option<i64>,
    last: i64,
    /// Of the last one, as it is stored.
    root: Digest,
}

impl Chain<'_> {
    async fn next(&mut self, seal: Seal, report: &mut Report) -> Result<(), Error> {
        let (tenant, number) = (self.tenant, seal.number);
        for missing in (self.last + 1..number).take(Report::MOST) {
            report.add(Finding::Missing { tenant, number: missing });
        }
        let root = Digest::stored(&seal.root).unwrap_or_default();
        if let Some(anchor) = self.anchors.get(&number) {
            report.anchors += 1;
            if *anchor != root {
                report.add(Finding::Rewritten { tenant, number });
            }
        }
        let previous = std::mem::replace(&mut self.root, root);
        self.last = number;
        if self.from == Some(number) {
            return Ok(());
        }
        let (since, until) = (seal.since, seal.until);
        let batch = Batch {
            previous,
            tenant,
            number,
            since,
            until,
            positions: &seal.positions,
            leaves: &seal.leaves,
        };
        if batch.root() != root {
            report.add(Finding::Broken { tenant, number });
        }
        report.batches += 1;
        self.entries(&seal, report).await
    }

    async fn entries(&self, seal: &Seal, report: &mut Report) -> Result<(), Error> {
        let (tenant, number, count) = (self.tenant, seal.number, seal.positions.len() as u64);
        if seal.is_pruned {
            report.pruned(count, seal.until);
            return Ok(());
        }
        let entries = self.db.system().all(&ENTRIES, (tenant, &seal.positions[..])).await?;
        // It may have been pruned since the seal was read.
        if entries.len() < seal.positions.len() && self.db.system().one(&IS_PRUNED, (tenant, number)).await? {
            report.pruned(count, seal.until);
            return Ok(());
        }
        report.entries += count;
        let entries: BTreeMap<i64, Entry> = entries.into_iter().map(|entry| (entry.pos, entry)).collect();
        let leaves = || seal.leaves.chunks_exact(32).map(|leaf| Digest::stored(leaf).unwrap_or_default());
        let known: BTreeSet<[u8; 32]> = leaves().map(|leaf| leaf.0).collect();
        for (pos, expected) in seal.positions.iter().copied().zip(leaves()) {
            let Some(entry) = entries.get(&pos) else {
                report.add(Finding::Removed { tenant, number, pos });
                continue;
            };
            let found = leaf(entry);
            if found != expected {
                report.add(match known.contains(&found.0) {
                    true => Finding::Reordered { tenant, number, pos },
                    false => Finding::Altered { tenant, number, pos },
                });
            } else if entry.at < seal.since - LONGEST_COMMIT || entry.at > seal.until {
                report.add(Finding::Misdated { tenant, number, pos });
            }
        }
        Ok(())
    }
}

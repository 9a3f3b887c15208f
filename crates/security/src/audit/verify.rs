//! Checking the log against its seals.

mod batches;
mod report;
mod statements;

use std::collections::{BTreeMap, BTreeSet};

use shared_core::TenantId;
use shared_db::{Check, Db};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::report::{Finding, Report};
use self::statements::{COUNTS, HEAD, HEADLESS, HEADS, STRANGERS, UNSEALED};
use super::chain::Digest;
use super::export::Root;
use crate::Error;

#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const STATEMENTS: [&[(&str, &dyn Check)]; 2] = [batches::STATEMENTS, statements::STATEMENTS];

/// Tenants looked up at once.
const TENANTS: i64 = 100;

/// What is to be checked: by [`default`](Self::default) the whole log, from each chain's first batch.
#[derive(Clone, Debug, Default)]
pub struct Verify {
    tenant: Option<TenantId>,
    anchors: BTreeMap<TenantId, BTreeMap<i64, Digest>>,
    from_anchors: bool,
}

impl Verify {
    /// This tenant's entries alone; [`NO_TENANT`](super::NO_TENANT) for those that belong to none.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Compares the chains with roots that were [exported](super::roots) earlier and kept where the database's owner does not reach.
    /// It is the only thing that shows a chain that was rewritten, or cut off at its end, by somebody with the owner's rights.
    pub fn anchors(mut self, roots: impl IntoIterator<Item = Root>) -> Self {
        for Root { tenant, number, root, .. } in roots {
            self.anchors.entry(tenant).or_default().insert(number, root);
        }
        self
    }

    /// Begins each chain behind the latest of its anchors, whose batches were verified when they were exported. Chains without one
    /// are checked from the start.
    pub fn from_anchors(mut self) -> Self {
        self.from_anchors = true;
        self
    }

    /// Reads the log and its seals, a batch at a time, and compares them. It takes no lock; the sealer may be at work.
    ///
    /// What was altered, removed, put in another order or added later is a [`Finding`]; what it can't see stands in
    /// [the module's description](super#what-is-guaranteed).
    ///
    /// # Errors
    /// [`Error::Database`]: then nothing is known of what was not reached. Dropping the future stops it.
    pub async fn run(&self, db: &Db) -> Result<Report, Error> {
        let mut report = Report::default();
        match self.tenant {
            Some(tenant) => {
                let head = db.system().opt(&HEAD, (tenant,)).await?;
                self.chain(db, tenant, head.as_ref().map(head_of), &mut report).await?;
            }
            None => self.all(db, &mut report).await?,
        }
        report.unsealed = db.system().one(&UNSEALED, (self.tenant,)).await?.unsigned_abs();
        Ok(report)
    }

    async fn all(&self, db: &Db, report: &mut Report) -> Result<(), Error> {
        let mut unseen: BTreeSet<TenantId> = self.anchors.keys().copied().collect();
        let mut from = super::NO_TENANT;
        loop {
            let heads = db.system().all(&HEADS, (from, TENANTS)).await?;
            let Some((last, ..)) = heads.last() else { break };
            from = following(*last);
            for head in &heads {
                unseen.remove(&head.0);
                self.chain(db, head.0, Some(head_of(head)), report).await?;
            }
        }
        unseen.extend(db.system().all(&HEADLESS, (Report::MOST as i64,)).await?);
        for tenant in unseen {
            self.chain(db, tenant, None, report).await?;
        }
        Ok(())
    }

    /// One tenant's chain, to the end that was noted when this began.
    async fn chain(
        &self,
        db: &Db,
        tenant: TenantId,
        head: Option<(i64, Option<Digest>)>,
        report: &mut Report,
    ) -> Result<(), Error> {
        report.tenants += 1;
        let none = BTreeMap::new();
        let anchors = self.anchors.get(&tenant).unwrap_or(&none);
        let before = report.found();
        let from = anchors.iter().next_back().filter(|_| self.from_anchors);
        let last = batches::check(db, tenant, anchors, from.map(|(number, _)| *number), head, report).await?;
        for (number, _) in anchors.range(last + 1..) {
            report.add(Finding::Missing { tenant, number: *number });
        }
        let ends_early = match head {
            Some((number, _)) => number > last,
            // It may have been sealed for the first time since.
            None => last > 0 && db.system().opt(&HEAD, (tenant,)).await?.is_none(),
        };
        if ends_early && anchors.range(last + 1..).next().is_none() {
            report.add(Finding::Missing { tenant, number: last + 1 });
        }
        let (passed, sealed) = db.system().one(&COUNTS, (tenant,)).await?;
        if passed != sealed || report.found() > before {
            for pos in db.system().all(&STRANGERS, (tenant, Report::MOST as i64)).await? {
                report.add(Finding::Inserted { tenant, pos });
            }
        }
        Ok(())
    }
}

/// The next tenant that there can be.
fn following(tenant: TenantId) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(tenant.as_uuid().as_u128().saturating_add(1)))
}

fn head_of((_, number, root): &(TenantId, i64, Vec<u8>)) -> (i64, Option<Digest>) {
    (*number, Digest::stored(root))
}

/// A seal as it lies there.
#[derive(shared_db::Row)]
struct Seal {
    number: i64,
    since: OffsetDateTime,
    until: OffsetDateTime,
    positions: Vec<i64>,
    leaves: Vec<u8>,
    root: Vec<u8>,
    is_pruned: bool,
}

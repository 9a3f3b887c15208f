use shared_core::Context;
use shared_db::{AtCommit, Bound, Db, TenantTx, Tx};

use super::entry::{APPEND, APPEND_OWN, NewEntry, to_json};
use super::metrics::METRICS;
use crate::AuditEvent;
use crate::Error;

/// Most events of one transaction: at their largest some 20 MB.
const MOST: usize = 1000;

/// Recording inside a transaction.
pub trait AuditTx: sealed::Sealed {
    /// Records the event if, and only if, the transaction commits: the effect and its entry are there together or not at all. It is
    /// sent with the COMMIT, with all others of the transaction, and takes no round trip and no lock; what a savepoint rolls back is
    /// not recorded. What was refused, and is to be remembered all the same, goes to [`Audit`](super::Audit).
    ///
    /// It is the transaction's tenant's, whatever the event says; actor, conversation and trace are the transaction's where the
    /// event names none.
    ///
    /// # Errors
    /// [`Error::TooManyEvents`] from the thousand-and-first on. The transaction can go on, but should not.
    fn audit(&mut self, event: AuditEvent) -> Result<(), Error>;
}

impl AuditTx for TenantTx {
    fn audit(&mut self, event: AuditEvent) -> Result<(), Error> {
        let event = event.within(self);
        append(self, event)
    }
}

/// The same for an event that names its actor, if there is one.
pub(crate) fn append(tx: &mut TenantTx, event: AuditEvent) -> Result<(), Error> {
    let entries = &mut tx.at_commit::<Entries>().0;
    if entries.len() >= MOST {
        return Err(Error::TooManyEvents { most: MOST });
    }
    entries.push(NewEntry::new(event));
    Ok(())
}

/// In a transaction of the system, which collects nothing: at once, by a round trip.
pub(crate) async fn append_by_system(tx: &mut Tx, event: AuditEvent) -> Result<(), Error> {
    let entry = NewEntry::new(event);
    tx.execute(&APPEND, (to_json([&entry].into_iter()),)).await?;
    Ok(())
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for shared_db::TenantTx {}
}

/// What one transaction has recorded.
#[derive(Default)]
struct Entries(Vec<NewEntry>);

impl AtCommit for Entries {
    fn mark(&self) -> usize {
        self.0.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    fn statements(&self, _: &Context) -> Vec<Bound> {
        vec![APPEND_OWN.bind((to_json(self.0.iter()),))]
    }

    fn committed(&self, _: &Db) {
        METRICS.written.add(self.0.len() as u64, &[]);
    }
}

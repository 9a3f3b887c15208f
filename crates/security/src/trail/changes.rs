//! What was done to the database, recorded where it is done: both are there, or neither, whatever becomes of the process.

use shared_db::{TenantTx, Tx};

use super::{Trail, write_line};
use crate::audit::{append, append_by_system, count_written};
use crate::{AuditEvent, Error};

impl Trail {
    /// Remembers what this transaction does if, and only if, it commits. Takes no round trip: the entry goes with the COMMIT.
    pub(crate) fn record_in(&self, tx: &mut TenantTx, event: AuditEvent) -> Result<(), Error> {
        let event = self.place(event);
        if self.log.is_some() {
            return append(tx, event);
        }
        tx.after_commit(move || write_line(&event));
        Ok(())
    }

    /// The same in a transaction of the system. Its owner tells when it is [committed](Recorded::committed).
    pub(crate) async fn record_by_system(&self, tx: &mut Tx, event: AuditEvent) -> Result<Recorded, Error> {
        let event = self.place(event);
        if self.log.is_none() {
            return Ok(Recorded(Some(event)));
        }
        append_by_system(tx, event).await?;
        Ok(Recorded(None))
    }
}

/// An event of a transaction that has not committed yet, with what is left to be told in the program's own log.
#[must_use = "it is not told unless its transaction has committed"]
pub(crate) struct Recorded(Option<AuditEvent>);

impl Recorded {
    /// The transaction has committed.
    pub(crate) fn committed(self) {
        match self.0 {
            Some(event) => write_line(&event),
            None => count_written(),
        }
    }
}

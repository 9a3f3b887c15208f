//! Connections for the transactions of consumers, shared fairly by the tenants: whoever asks waits behind the turns of its own tenant, and
//! for its tenant's turn.

mod rounds;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use shared_core::TenantId;
use tokio::sync::oneshot;

use rounds::Rounds;

/// So many at the same time, by turns of tenants.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Mutex<Rounds<oneshot::Sender<Slot>>>>);

/// The right to have a transaction open, until it is dropped. What it took counts against its tenant.
pub(crate) struct Slot {
    slots: Slots,
    tenant: TenantId,
    since: Instant,
    /// It was told to end early.
    is_told: bool,
}

/// A slot that was asked for.
pub(crate) struct Asked(oneshot::Receiver<Slot>);

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        Self(Arc::new(Mutex::new(Rounds::new(slots, |waits| !waits.is_closed()))))
    }

    /// Takes a place among those of the tenant that wait. Dropping what it returns gives it up.
    pub(crate) fn ask(&self, tenant: TenantId) -> Asked {
        let (grant, asked) = oneshot::channel();
        self.rounds().wait(tenant, grant);
        self.grant();
        Asked(asked)
    }

    /// Hands out what is free. Outside of the lock, since a slot that nobody takes any more comes back when it is dropped.
    fn grant(&self) {
        loop {
            let next = self.rounds().next();
            let Some((tenant, waits)) = next else { return };
            let slot = Slot { slots: self.clone(), tenant, since: Instant::now(), is_told: false };
            drop(waits.send(slot));
        }
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds<oneshot::Sender<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Waits for the tenant's turn. Dropping the future gives up the place.
    pub(crate) async fn slot(self) -> Option<Slot> {
        self.0.await.ok()
    }
}

impl Slot {
    /// Whether a tenant that has less is to have this one soon: then the turn ends behind the event that it is at.
    pub(super) fn is_wanted(&mut self) -> bool {
        self.is_told = self.is_told || self.slots.rounds().is_wanted(self.tenant, self.since.elapsed());
        self.is_told
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.rounds().done(self.tenant, self.since.elapsed(), self.is_told);
        self.slots.grant();
    }
}

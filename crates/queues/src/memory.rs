//! The queues in memory: for tests of programs that use them, and as the model that the other backends are compared with.
//!
//! One lock, maps in an order that is always the same, and the clock of tokio: a test whose time is paused moves it by
//! [`tokio::time::advance`]. What is rarely asked is found by looking through everything.

mod claim;
mod clock;
mod control;
mod enqueue;
#[cfg(test)]
mod follow;
mod job;
mod lanes;
mod limits;
mod schedules;
mod settle;
mod state;
mod turns;
mod upkeep;
mod work;

use std::fmt;
#[cfg(test)]
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, Queues};
use state::State;

/// The backend.
pub(crate) struct Memory {
    state: Mutex<State>,
    /// As a server that does not answer: nobody gets or settles anything.
    #[cfg(test)]
    away: Arc<AtomicBool>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::new()),
            #[cfg(test)]
            away: Arc::default(),
        }
    }

    /// What a worker wants to work on.
    fn reach(&self) -> Result<MutexGuard<'_, State>, Error> {
        #[cfg(test)]
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::Refused { attempted: "a call", problem: "the queues are out of reach" });
        }
        Ok(self.state())
    }

    /// Puts it out of reach, and back.
    #[cfg(test)]
    pub(crate) fn switch(&self) -> Arc<AtomicBool> {
        self.away.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, a test says more with the rest than without.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Queues {
    /// Queues in the memory of this process, for tests: they keep every promise of the other backends except that of outliving
    /// the process, and that of [`tx.enqueue`](crate::Enqueue), which is an error with them.
    ///
    /// Their clock is that of tokio, so a test with paused time (`#[tokio::test(start_paused = true)]`) needs no patience for
    /// delays, retries and leases. There is no bound on how much they hold but the memory.
    pub fn memory() -> Self {
        Self::on(Memory::new(), None)
    }
}

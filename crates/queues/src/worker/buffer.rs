//! Jobs in hand that nobody has begun. The [slots](super::slots) say how many there may be.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::session::Held;

/// Those who wait for a job are woken by who brings it, as many as there are jobs. If one that takes a job woke the next, that one would stand
/// behind it on its thread, and wait for a handler that computes.
pub(super) struct Buffer {
    jobs: Mutex<VecDeque<Held>>,
    /// One permit for each job.
    ready: Semaphore,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { jobs: Mutex::default(), ready: Semaphore::new(0) }
    }
}

impl Buffer {
    pub(super) fn put(&self, jobs: impl ExactSizeIterator<Item = Held>) {
        let count = jobs.len();
        self.lock().extend(jobs);
        self.ready.add_permits(count);
    }

    /// The oldest job, once there is one. Dropping the future leaves it there.
    pub(super) async fn take(&self) -> Option<Held> {
        self.ready.acquire().await.ok()?.forget();
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Held>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

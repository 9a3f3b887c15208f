//! What a worker and a running attempt tell each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::Progress;

/// Why an attempt should come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cancellation {
    /// The worker stops, and waits for a while.
    Stopping,
    /// The worker's lease is over: others may have the job by now. What the attempt says of it is refused.
    Lost,
    /// Somebody has asked for it. After [`cancel_grace`](crate::Config::cancel_grace) the attempt is broken off, and the job is
    /// cancelled; also if the handler fails before that.
    Asked,
    /// The attempt has ended, by itself or since its time was over: this is heard by tasks that it left behind.
    Over,
}

/// Shared by the worker and all clones of an attempt's context.
#[derive(Debug, Default)]
pub(crate) struct Link {
    ended: CancellationToken,
    why: OnceLock<Cancellation>,
    /// What was said since the last beat.
    progress: Mutex<Option<Progress>>,
    complete: AtomicBool,
    refused: AtomicBool,
}

impl Link {
    /// The first reason stays.
    pub(crate) fn cancel(&self, why: Cancellation) {
        self.why.get_or_init(|| why);
        self.ended.cancel();
    }

    pub(crate) fn cancellation(&self) -> Option<Cancellation> {
        self.why.get().copied()
    }

    pub(crate) async fn cancelled(&self) -> Cancellation {
        self.ended.cancelled().await;
        self.cancellation().unwrap_or(Cancellation::Over)
    }

    pub(crate) fn report(&self, progress: Progress) {
        *self.progress() = Some(progress);
    }

    /// What could not be passed on, unless there is news by now.
    pub(crate) fn report_older(&self, progress: Progress) {
        self.progress().get_or_insert(progress);
    }

    pub(crate) fn take_progress(&self) -> Option<Progress> {
        self.progress().take()
    }

    fn progress(&self) -> MutexGuard<'_, Option<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An own transaction has completed the job: nothing that the handler says can change that.
    pub(crate) fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// An own transaction was refused, since the job may be another worker's.
    pub(crate) fn set_refused(&self) {
        self.refused.store(true, Ordering::Release);
    }

    /// Whether its effect was refused, and none came after that: then it is not done, whatever the handler says.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire) && !self.is_complete()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }
}

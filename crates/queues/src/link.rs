//! What a worker and a running attempt tell each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::Progress;

/// Why an attempt should come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cancellation {
    /// The worker stops, and waits for a while.
    Stopping,
    /// The worker's lease is over, or a [transaction](crate::JobContext::tx) of the attempt was refused since the job is no longer the
    /// worker's: others may have it by now. What the attempt says of it is refused.
    Lost,
    /// Somebody has asked for it. After [`cancel_grace`](crate::Config::cancel_grace) the attempt is broken off, and the job is
    /// cancelled; also if the handler fails before that.
    Asked,
    /// The attempt has ended, by itself or since its time was over, which is heard by tasks that it left behind; or the job turned out
    /// to have been completed by another attempt.
    Over,
}

/// Shared by the worker and all clones of an attempt's context.
#[derive(Debug, Default)]
pub(crate) struct Link {
    ended: CancellationToken,
    asked: CancellationToken,
    why: Mutex<Option<Cancellation>>,
    /// What was said since the last beat.
    progress: Mutex<Option<Progress>>,
    complete: AtomicBool,
    refused: AtomicBool,
}

impl Link {
    /// The first reason stays; but that the job is to be cancelled counts for more than that it may be lost, since a refused transaction is no
    /// proof of that, and nobody asks twice.
    pub(crate) fn cancel(&self, why: Cancellation) {
        {
            let mut first = self.why.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_none() || (*first, why) == (Some(Cancellation::Lost), Cancellation::Asked) {
                *first = Some(why);
            }
            if *first == Some(Cancellation::Asked) {
                self.asked.cancel();
            }
        }
        self.ended.cancel();
    }

    pub(crate) fn cancellation(&self) -> Option<Cancellation> {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn cancelled(&self) -> Cancellation {
        self.ended.cancelled().await;
        self.cancellation().unwrap_or(Cancellation::Over)
    }

    /// Until somebody has asked for the end of the job.
    pub(crate) async fn asked(&self) {
        self.asked.cancelled().await;
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

    /// Another attempt has completed the job. The handler hears of it: what it still does is for nothing.
    pub(crate) fn found_complete(&self) {
        if !self.complete.swap(true, Ordering::AcqRel) {
            self.cancel(Cancellation::Over);
        }
    }

    /// An own transaction was refused, since the job may be another worker's. The handler hears of it, unless it has completed the job
    /// before.
    pub(crate) fn set_refused(&self) {
        self.refused.store(true, Ordering::Release);
        if !self.is_complete() {
            self.cancel(Cancellation::Lost);
        }
    }

    /// Whether its effect was refused, and none came after that: then it is not done, whatever the handler says.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire) && !self.is_complete()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays_unless_a_job_that_may_be_lost_is_cancelled() {
        let link = Link::default();
        link.set_refused();
        assert_eq!(link.cancelled().await, Cancellation::Lost);
        link.cancel(Cancellation::Asked);
        link.asked().await;
        for later in [Cancellation::Over, Cancellation::Lost, Cancellation::Stopping] {
            link.cancel(later);
            assert_eq!(link.cancellation(), Some(Cancellation::Asked));
        }
    }
}

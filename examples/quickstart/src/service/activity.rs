//! What jobs and consumers have done in this process: for progress bars and for the summary.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts since the start of the process. The truth is in the database; this is how fast it comes about.
#[derive(Debug, Default)]
pub(crate) struct Activity(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    done: Done,
    first_job: Option<Instant>,
}

/// A look at an [`Activity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Index jobs that succeeded.
    pub jobs: u64,
    /// Chunks of those jobs.
    pub chunks: u64,
    /// Chunks whose content the tenant had already, so that nothing was embedded for them.
    pub duplicates: u64,
    /// Effects of events that were committed.
    pub effects: u64,
    /// From the begin of the first job to the end of the last.
    pub working: Duration,
}

impl Activity {
    /// A look at the counts.
    pub(crate) fn done(&self) -> Done {
        self.with(|inner| inner.done)
    }

    pub(super) fn job_began(&self) {
        self.with(|inner| *inner.first_job.get_or_insert_with(Instant::now));
    }

    pub(super) fn indexed(&self, chunks: u64, duplicates: u64) {
        self.with(|Inner { done, first_job }| {
            done.jobs += 1;
            done.chunks += chunks;
            done.duplicates += duplicates;
            done.working = first_job.map_or(Duration::ZERO, |first| first.elapsed());
        });
    }

    pub(super) fn took_effect(&self) {
        self.with(|inner| inner.done.effects += 1);
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! Which of its histories a database goes on with: a standby that takes over, or a restore, begins another, and may lack what the one before had
//! acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::Error;

/// The server's timeline under which lanes were read: what was done since is known in this process, and another timeline may not have it.
#[derive(Clone, Default)]
pub(crate) struct Timeline(Arc<AtomicI32>);

/// No server's: they are counted from 1.
const UNKNOWN: i32 = 0;

impl Timeline {
    /// `None` before the first beat, and where the server does not tell.
    pub(crate) fn get(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|known| *known != UNKNOWN)
    }

    pub(crate) fn set(&self, now: Option<i32>) {
        self.0.store(now.unwrap_or(UNKNOWN), Ordering::SeqCst);
    }

    /// Whether the server goes on with another than before.
    pub(crate) fn is_other(&self, now: Option<i32>) -> bool {
        self.get().is_some_and(|before| Some(before) != now)
    }
}

/// The server that has the database now is another than the one on which lanes were read.
pub(crate) fn taken_over() -> Error {
    Error::Unsafe(
        "another server has taken over the database, or it was restored: what had its effect just before may be forgotten, and the lanes begin \
            anew where the database has them"
            .to_owned(),
    )
}

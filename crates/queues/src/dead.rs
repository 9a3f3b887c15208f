use std::fmt;

use shared_core::TenantId;
use time::OffsetDateTime;

use crate::JobId;

/// A job that will not be tried again by itself. It stays until it is [redriven](crate::Queues::redrive).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The job; it keeps its id when it is redriven.
    pub job_id: JobId,
    /// Its name, `domain:action`.
    pub name: String,
    /// Its queue.
    pub queue: String,
    /// Whose job it is.
    pub tenant: TenantId,
    /// How often it was attempted.
    pub attempts: u32,
    /// How many workers died while they held it.
    pub crashes: u32,
    /// Why it is dead.
    pub reason: Reason,
    /// The text of the last error, cut at 2,000 bytes. It is the handler's own, so it may tell of the payload.
    pub error: String,
    /// When.
    pub died_at: OffsetDateTime,
}

/// Why a job is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its handler said that no further attempt can mend it.
    Failed,
    /// Every attempt failed.
    Exhausted,
    /// Too many workers died while they held it.
    Crashed,
    /// Its payload can't be read as the job's type, or breaks the type's rules.
    Unreadable,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Exhausted, Self::Crashed, Self::Unreadable];

    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Exhausted => "exhausted",
            Self::Crashed => "crashed",
            Self::Unreadable => "unreadable",
        }
    }

    /// The reason of this word.
    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    pub(crate) fn from_str(word: &str) -> Self {
        [Self::Exhausted, Self::Crashed, Self::Unreadable]
            .into_iter()
            .find(|reason| reason.as_str() == word)
            .unwrap_or(Self::Failed)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

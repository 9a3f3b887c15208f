//! What changes among the members.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use shared_core::Backoff;
use uuid::Uuid;

use super::{Registered, Registry, SIGNAL};

/// The first wait behind a change: members often come and go together. It doubles up to a third of the lease.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// A change among the healthy members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is there.
    Joined(Registered),
    /// It has left, or given no sign of life within its lease. This is what was known of it.
    Left(Registered),
}

/// The changes among the healthy members, one by one. See [`Registry::watch`].
///
/// It runs nothing by itself: the table is read while [`next`](Self::next) waits. A member that comes and goes between two looks is not
/// seen.
#[derive(Debug)]
pub struct Watch {
    registry: Registry,
    known: HashMap<Uuid, Registered>,
    changes: VecDeque<Change>,
    /// Looks since the last change, and failed ones in a row.
    quiet: u32,
    failures: u32,
    has_looked: bool,
}

impl Watch {
    pub(super) fn new(registry: Registry) -> Self {
        let (known, changes) = (HashMap::new(), VecDeque::new());
        Self { registry, known, changes, quiet: 0, failures: 0, has_looked: false }
    }

    /// The next change; waits for it, and through outages of the database. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Change {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return change;
            }
            self.wait().await;
            self.look().await;
        }
    }

    async fn wait(&mut self) {
        if !self.has_looked {
            return;
        }
        let longest = self.registry.lease / 3;
        let wait = match self.failures {
            0 => FIRST_WAIT.saturating_mul(1 << self.quiet.min(16)).min(longest),
            failures => Backoff::new(FIRST_WAIT, longest).delay(failures),
        };
        let signal = self.registry.db.signal(SIGNAL);
        // Until then, or until somebody in this process has come or left.
        let _ = tokio::time::timeout(wait, signal.notified()).await;
    }

    async fn look(&mut self) {
        match self.registry.members().await {
            Ok(members) => {
                (self.failures, self.has_looked) = (0, true);
                self.compare(members);
                self.quiet = if self.changes.is_empty() { self.quiet.saturating_add(1) } else { 0 };
            }
            Err(error) => {
                (self.failures, self.has_looked) = (self.failures.saturating_add(1), true);
                tracing::warn!("the registry can't be read: {error}");
            }
        }
    }

    /// Turns what is there now into changes.
    fn compare(&mut self, members: Vec<Registered>) {
        let mut gone = std::mem::take(&mut self.known);
        for member in members.into_iter().filter(|member| member.is_healthy) {
            if gone.remove(&member.instance).is_none() {
                self.changes.push_back(Change::Joined(member.clone()));
            }
            self.known.insert(member.instance, member);
        }
        self.changes.extend(gone.into_values().map(Change::Left));
    }
}

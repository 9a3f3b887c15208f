use std::fmt;
use std::sync::Arc;

use shared_db::Db;

use crate::Error;
use crate::backend::Backend;
use crate::schedule::Troubles;

/// The queues: where jobs are enqueued, seen and steered, and what a [`Worker`](crate::Worker) works from.
///
/// Clones share everything.
#[derive(Clone)]
pub struct Queues {
    pub(crate) backend: Arc<dyn Backend>,
    /// What handlers get as the door to their tenant.
    pub(crate) db: Option<Db>,
    /// What workers have said of schedules that can't be fired.
    pub(crate) troubles: Arc<Troubles>,
}

/// How many jobs are in which state, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting behind limits and ordering keys.
    pub waiting: u64,
    /// Waiting for their time: delayed, or to be tried again.
    pub scheduled: u64,
    /// Held by a worker, running or about to.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
}

impl Backlog {
    /// Nothing is left to do. Dead letters don't count: nobody works on them.
    pub fn is_settled(&self) -> bool {
        self.ready + self.waiting + self.scheduled + self.running == 0
    }
}

impl Queues {
    /// Queues on a backend.
    pub(crate) fn on(backend: impl Backend, db: Option<Db>) -> Self {
        Self { backend: Arc::new(backend), db, troubles: Arc::default() }
    }

    /// The same, with a database for what handlers do to their tenant's rows; for queues that are not in that database themselves. A
    /// transaction there [enqueues](crate::Enqueue) nothing into them, unless it is by an [outbox](Self::with_outbox).
    pub fn with_db(mut self, db: &Db) -> Self {
        self.db = Some(db.clone());
        self
    }

    /// Counts the jobs of all queues: fine for a test, or a probe every some seconds.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        let mut all = Backlog::default();
        for queue in self.backend.queues().await? {
            all.ready += queue.ready;
            all.waiting += queue.waiting;
            all.scheduled += queue.scheduled;
            all.running += queue.running;
            all.dead += queue.dead;
        }
        Ok(all)
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queues({:?})", self.backend)
    }
}

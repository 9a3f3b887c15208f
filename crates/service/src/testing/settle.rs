use std::time::{Duration, Instant};

use shared_db::{Db, statements};

use super::{SETTLE_PATIENCE, TestService};

statements! {
    const PUBLISHED: Statement<(), i64> = "select count(*) from shared_events.log";
}

/// How often to look: small against what tests wait for, large against what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl<S: Clone + Send + Sync + 'static> TestService<S> {
    /// Waits until everything that was published is consumed, through a broker too, and every job is done, whatever follows from
    /// them included.
    ///
    /// # Panics
    /// If a job went to the dead letters or an event was parked, or if it takes longer than 30 s: with what is stuck.
    pub async fn settle(&self) {
        let (start, queues) = (Instant::now(), self.running.queues());
        loop {
            let before = published(self.db()).await;
            let events = self.running.backlog().await.unwrap_or_else(|error| panic!("{error}"));
            let jobs = queues.backlog().await.unwrap_or_else(|error| panic!("{error}"));
            assert!(events.parked == 0 && jobs.dead == 0, "something failed for good: {events:?}, {jobs:?}");
            // A job that ended between the two counts may have published: then there is more to wait for.
            if events.waiting == 0 && jobs.is_settled() && published(self.db()).await == before {
                return;
            }
            assert!(
                start.elapsed() < SETTLE_PATIENCE,
                "not settled after {SETTLE_PATIENCE:?}: {events:?}, {jobs:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn published(db: &Db) -> i64 {
    db.system().one(&PUBLISHED, ()).await.unwrap_or_else(|error| panic!("{error}"))
}

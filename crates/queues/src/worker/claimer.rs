//! Takes jobs, as many as can soon be run.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use shared_core::{Backoff, fault};
use shared_db::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::session::{Held, Session};
use crate::meters::METERS;
use crate::postgres::SIGNAL;

/// A worker that found less than it asked for looks again after this, then after twice as long, up to [`Config::poll`](crate::Config::poll).
const FIRST_POLL: Duration = Duration::from_millis(10);

/// Runs until the session stops.
pub(super) async fn run<S: Send + Sync + 'static>(session: Arc<Session<S>>, buffer: mpsc::Sender<Held>) {
    let claimer = Claimer { claim: 0, turn: 0, doubtful: Vec::new(), promoted: None, session, buffer };
    claimer.run().await;
}

struct Claimer<S> {
    session: Arc<Session<S>>,
    buffer: mpsc::Sender<Held>,
    /// The number of the last claim. With the incarnation it is the fence.
    claim: i64,
    /// The queue to begin with.
    turn: usize,
    /// Claims whose answer was lost: the server may think that their jobs are here.
    doubtful: Vec<i64>,
    promoted: Option<Instant>,
}

impl<S: Send + Sync + 'static> Claimer<S> {
    async fn run(mut self) {
        let session = self.session.clone();
        let signal = session.shared.store.db.signal(SIGNAL);
        let (mut failures, backoff) = (0, Backoff::new(Duration::from_millis(100), Duration::from_secs(5)));
        let mut idle = FIRST_POLL;
        loop {
            let most = tokio::select! {
                biased;
                () = session.stopping.cancelled() => return,
                most = session.slots.room() => most,
            };
            // Not in a `select`: a claim that is dropped half-way leaves its jobs in doubt.
            let pause = match self.take(most).await {
                Ok(taken) => {
                    failures = 0;
                    if taken == most {
                        continue;
                    }
                    idle = if taken > 0 { FIRST_POLL } else { (idle * 2).min(session.shared.config.poll) };
                    // Workers that fell idle together need not look together.
                    idle.mul_f64(rand::rng().random_range(0.5..=1.0))
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "a worker could not take jobs; it tries again");
                    // Long enough that the server has ended what was under way.
                    Duration::from_millis(100) + backoff.delay(failures)
                }
            };
            tokio::select! {
                biased;
                () = session.stopping.cancelled() => return,
                () = signal.notified(), if failures == 0 => idle = FIRST_POLL,
                () = sleep(pause) => {}
            }
        }
    }

    /// One round over the queues, beginning with another one each time.
    async fn take(&mut self, most: usize) -> Result<usize, Error> {
        let session = self.session.clone();
        let queues = &session.shared.queues;
        self.tidy().await?;
        let mut taken = 0;
        self.turn += 1;
        for queue in queues.iter().cycle().skip(self.turn % queues.len().max(1)).take(queues.len()) {
            if taken == most {
                break;
            }
            taken += self.claim(queue, most - taken).await?;
        }
        Ok(taken)
    }

    async fn claim(&mut self, queue: &'static str, most: usize) -> Result<usize, Error> {
        let session = self.session.clone();
        self.claim += 1;
        self.doubtful.push(self.claim);
        let jobs = session.shared.store.claim(queue, most, session.incarnation(), self.claim).await?;
        self.doubtful.pop();
        if jobs.is_empty() {
            return Ok(0);
        }
        fault::point("queues.worker.claimed");
        METERS.claimed(queue, jobs.len());
        session.slots.took(jobs.len());
        let (count, at) = (jobs.len(), Instant::now());
        for job in jobs {
            // There is room for all that the slots allow; a closed channel means the end.
            if self.buffer.send(Held { claim: self.claim, job, at }).await.is_err() {
                break;
            }
        }
        Ok(count)
    }

    /// Gives doubtful claims back, and makes ready what is due.
    async fn tidy(&mut self) -> Result<(), Error> {
        let shared = &self.session.shared;
        if !self.doubtful.is_empty() {
            shared.store.give_back(self.session.incarnation(), &self.doubtful).await?;
            self.doubtful.clear();
        }
        if self.promoted.is_none_or(|at| at.elapsed() >= shared.config.poll) {
            for queue in &shared.queues {
                while shared.store.promote(queue).await? {}
            }
            self.promoted = Some(Instant::now());
        }
        Ok(())
    }
}

//! Takes jobs, as many as can soon be run.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt;
use shared_core::{Backoff, fault};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::session::{Held, Session};
use crate::Error;
use crate::backend::Claim;
use crate::meters::METERS;

/// A worker that found less than it asked for looks again after this, then after twice as long, up to [`Config::poll`](crate::Config::poll).
const FIRST_POLL: Duration = Duration::from_millis(10);

/// After a claim whose answer was lost it is given back no sooner than this: the server has ended by then what was under way.
const IN_DOUBT: Duration = Duration::from_millis(100);

/// Claims for one worker. Two may be under way at once: while work abounds, the second hides the round trip of the first.
pub(super) struct Claimer<S> {
    session: Arc<Session<S>>,
    buffer: mpsc::Sender<Held>,
    /// The number of the last claim. With the incarnation it is the fence.
    claim: AtomicI64,
    /// The first has found as much as it asked for: there is more.
    more: Notify,
    /// Claims whose answer was lost: the backend may think that their jobs are here.
    doubtful: Mutex<Vec<Doubtful>>,
}

struct Doubtful {
    line: usize,
    claim: i64,
    since: Instant,
}

impl<S: Send + Sync + 'static> Claimer<S> {
    pub(super) fn new(session: Arc<Session<S>>, buffer: mpsc::Sender<Held>) -> Arc<Self> {
        Arc::new(Self {
            session,
            buffer,
            claim: AtomicI64::new(0),
            more: Notify::new(),
            doubtful: Mutex::default(),
        })
    }

    /// Looks for jobs until the session stops: again at once after a full batch, else when the backend has news or some time
    /// has passed.
    pub(super) async fn lead(self: Arc<Self>) {
        let session = &self.session;
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let (mut failures, mut idle, mut promoted, mut turn) = (0, FIRST_POLL, None, 0);
        while let Some(most) = self.room().await {
            turn += 1;
            // Not in a `select`: a claim that is dropped half-way leaves its jobs in doubt.
            let round = async {
                // The room for a claim that is not made is free again.
                self.tidy(&mut promoted).await.inspect_err(|_| session.slots.unused(most))?;
                self.take(most, turn).await
            };
            let pause = match round.await {
                Ok(taken) if taken == most => {
                    (failures, idle) = (0, FIRST_POLL);
                    self.more.notify_one();
                    continue;
                }
                Ok(taken) => {
                    failures = 0;
                    idle = if taken > 0 { FIRST_POLL } else { (idle * 2).min(session.shared.config.poll) };
                    // Workers that fell idle together need not look together.
                    idle.mul_f64(rand::rng().random_range(0.5..=1.0))
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "a worker could not take jobs; it tries again");
                    IN_DOUBT + backoff.delay(failures)
                }
            };
            if failures > 0 {
                session.pause(pause).await;
            } else if self.news(pause).await {
                idle = FIRST_POLL;
            }
        }
    }

    /// Helps while there is more than one claim at a time can bring.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut turn = 0;
        loop {
            tokio::select! {
                biased;
                () = self.session.stopping.cancelled() => return,
                () = self.more.notified() => {}
            }
            loop {
                let Some(most) = self.room().await else { return };
                turn += 1;
                match self.take(most, turn).await {
                    Ok(taken) if taken == most => {}
                    // The first one goes on, and says what is wrong.
                    _ => break,
                }
            }
        }
    }

    /// How many jobs to take, once it is worth it; `None` when the session stops.
    async fn room(&self) -> Option<usize> {
        tokio::select! {
            biased;
            () = self.session.stopping.cancelled() => None,
            most = self.session.slots.room() => Some(most),
        }
    }

    /// Waits for so long at most, and returns whether the backend had news before.
    async fn news(&self, most: Duration) -> bool {
        let shared = &self.session.shared;
        let (start, ended) = (Instant::now(), async {
            // A backend that has nothing to wait for returns at once.
            shared.backend().wait(&shared.lines, most).await;
        });
        tokio::select! {
            biased;
            () = self.session.stopping.cancelled() => return false,
            () = ended => {}
        }
        start.elapsed() < most
    }

    /// One round over the queues, beginning with another one each time. The room that is not used is free again.
    async fn take(&self, most: usize, turn: usize) -> Result<usize, Error> {
        let lines = self.session.shared.lines.len();
        let (mut taken, mut failed) = (0, None);
        for at in 0..lines {
            if taken == most {
                break;
            }
            // One queue that can't be reached does not keep the others from being served.
            match self.claim((turn + at) % lines, most - taken).await {
                Ok(jobs) => taken += jobs,
                Err(error) => failed = Some(error),
            }
        }
        self.session.slots.unused(most - taken);
        failed.map_or(Ok(taken), Err)
    }

    async fn claim(&self, line: usize, most: usize) -> Result<usize, Error> {
        let (session, shared) = (&self.session, &self.session.shared);
        let (queue, worker) = (&shared.lines[line], session.incarnation());
        let number = self.claim.fetch_add(1, Ordering::Relaxed) + 1;
        let claimed = shared.backend().claim(Claim { queue, most, worker, number }).await;
        let jobs = claimed.inspect_err(|_| self.doubt(line, number))?;
        if jobs.is_empty() {
            return Ok(0);
        }
        fault::point("queues.worker.claimed");
        METERS.claimed(queue, jobs.len());
        let (count, at) = (jobs.len(), Instant::now());
        for job in jobs {
            // There is room for all that the slots allow; a closed channel means the end.
            if self.buffer.send(Held { line, claim: number, job, at }).await.is_err() {
                break;
            }
        }
        Ok(count)
    }

    fn doubt(&self, line: usize, claim: i64) {
        let doubtful = Doubtful { line, claim, since: Instant::now() };
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner).push(doubtful);
    }

    /// Gives doubtful claims back, and makes ready what is due.
    async fn tidy(&self, promoted: &mut Option<Instant>) -> Result<(), Error> {
        let shared = &self.session.shared;
        for (line, claims) in self.old_doubts() {
            let given = shared.backend().give_back(self.session.incarnation(), &shared.lines[line], &claims);
            if let Err(error) = given.await {
                claims.iter().for_each(|claim| self.doubt(line, *claim));
                return Err(error);
            }
        }
        if promoted.is_none_or(|at| at.elapsed() >= shared.config.poll) {
            for queue in &shared.lines {
                while shared.backend().promote(queue).await? {}
            }
            *promoted = Some(Instant::now());
        }
        Ok(())
    }

    /// Takes out the claims that were in doubt for long enough, by queue.
    fn old_doubts(&self) -> Vec<(usize, Vec<i64>)> {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old: Vec<(usize, Vec<i64>)> = Vec::new();
        doubtful.retain(|one| {
            if one.since.elapsed() < IN_DOUBT {
                return true;
            }
            match old.iter_mut().find(|(line, _)| *line == one.line) {
                Some((_, claims)) => claims.push(one.claim),
                None => old.push((one.line, vec![one.claim])),
            }
            false
        });
        old
    }
}

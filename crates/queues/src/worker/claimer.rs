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
    /// How many claims there were of each queue.
    claims: Vec<AtomicI64>,
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
            claims: session.shared.lines.iter().map(|_| AtomicI64::new(0)).collect(),
            session,
            buffer,
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
        let (start, mut taken, mut failed) = (Instant::now(), 0, None);
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
        if taken > 0 {
            self.session.slots.claimed(start.elapsed());
        }
        self.session.slots.unused(most - taken);
        failed.map_or(Ok(taken), Err)
    }

    async fn claim(&self, line: usize, most: usize) -> Result<usize, Error> {
        let (session, shared) = (&self.session, &self.session.shared);
        let (queue, worker) = (&shared.lines[line], session.incarnation());
        let nth = self.claims[line].fetch_add(1, Ordering::Relaxed) + 1;
        let number = number(nth, line, self.claims.len());
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

/// The number of a queue's nth claim. With the incarnation it is the fence, so no two claims have the same. Each queue has blocks of sixteen
/// for itself: counted through, a worker that claims from two queues in turn would begin with the lowest priority in one of them alone.
fn number(nth: i64, line: usize, lines: usize) -> i64 {
    let block = Claim::LOWEST_FIRST_EVERY;
    (nth / block * lines as i64 + line as i64) * block + nth % block
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn of_each_queue_one_claim_in_sixteen_begins_with_the_lowest_priority() {
        for lines in 1..20 {
            let mut all = HashSet::new();
            for line in 0..lines {
                let numbers: Vec<i64> = (1..=160).map(|nth| number(nth, line, lines)).collect();
                assert_eq!(
                    numbers.iter().filter(|number| *number % Claim::LOWEST_FIRST_EVERY == 0).count(),
                    10
                );
                all.extend(numbers);
            }
            assert_eq!(all.len(), 160 * lines, "no two claims have the same number");
        }
    }
}

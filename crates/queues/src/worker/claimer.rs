//! Takes jobs, as many as can soon be run.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use shared_core::{Backoff, fault};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::buffer::Buffer;
use super::session::{Held, Session};
use crate::Error;
use crate::backend::Claim;
use crate::meters::METERS;

/// A worker that found less than it asked for looks again after this, then after twice as long, up to [`Config::poll`](crate::Config::poll).
const FIRST_POLL: Duration = Duration::from_millis(10);

/// When a claim whose answer was lost is given back. More than once, since the server may still be at it: it ends a statement after
/// `statement_timeout`, 30 s if nothing else is said.
const GIVEN_BACK_AFTER: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

/// How long a queue that fails is left alone, for the first time and at most.
const SHORTEST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Claims for one worker. Two may be under way at once: while work abounds, the second hides the round trip of the first.
pub(super) struct Claimer<S> {
    session: Arc<Session<S>>,
    buffer: Arc<Buffer>,
    lines: Vec<Line>,
    /// The first has found as much as it asked for: there is more.
    more: Notify,
}

/// A queue from which it claims. One that fails is left alone for a while, and holds up no other.
#[derive(Default)]
struct Line {
    /// How many claims there were.
    claims: AtomicI64,
    /// Claims whose answer was lost: the backend may think that their jobs are here.
    doubtful: Mutex<Vec<Doubtful>>,
    trouble: Mutex<Trouble>,
}

struct Doubtful {
    claim: i64,
    since: Instant,
    /// How often it was given back.
    given_back: usize,
}

#[derive(Default)]
struct Trouble {
    failures: u32,
    until: Option<Instant>,
}

impl<S: Send + Sync + 'static> Claimer<S> {
    pub(super) fn new(session: Arc<Session<S>>, buffer: Arc<Buffer>) -> Arc<Self> {
        let lines = session.shared.lines.iter().map(|_| Line::default()).collect();
        Arc::new(Self { session, buffer, lines, more: Notify::new() })
    }

    /// Looks for jobs until the session stops: again at once after a full batch, else when the backend has news or some time
    /// has passed.
    pub(super) async fn lead(self: Arc<Self>) {
        let session = &self.session;
        let (mut idle, mut promoted, mut turn) = (FIRST_POLL, None, 0);
        while let Some(most) = self.room().await {
            turn += 1;
            // Not in a `select`: a claim that is dropped half-way leaves its jobs in doubt.
            self.tidy(&mut promoted).await;
            let taken = self.take(most, turn).await;
            if taken == most {
                idle = FIRST_POLL;
                self.more.notify_one();
                continue;
            }
            idle = if taken > 0 { FIRST_POLL } else { (idle * 2).min(session.shared.config.poll) };
            // Workers that fell idle together need not look together.
            let pause = idle.mul_f64(rand::rng().random_range(0.5..=1.0));
            if let Some(rest) = self.rest() {
                session.pause(rest).await;
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
                if self.take(most, turn).await < most {
                    break;
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

    /// One round over the queues, beginning with another one each time. Returns how many jobs it took; the room that is not used is free
    /// again.
    async fn take(&self, most: usize, turn: usize) -> usize {
        let (start, mut taken) = (Instant::now(), 0);
        for at in 0..self.lines.len() {
            let line = (turn + at) % self.lines.len();
            if taken == most {
                break;
            }
            if self.lines[line].is_resting() {
                continue;
            }
            match self.claim(line, most - taken).await {
                Ok(jobs) => {
                    taken += jobs;
                    self.lines[line].works();
                }
                Err(error) => self.failed(line, &error),
            }
        }
        if taken > 0 {
            self.session.slots.claimed(start.elapsed());
        }
        self.session.slots.unused(most - taken);
        taken
    }

    async fn claim(&self, line: usize, most: usize) -> Result<usize, Error> {
        let (session, shared) = (&self.session, &self.session.shared);
        let (queue, worker) = (&shared.lines[line], session.incarnation());
        let nth = self.lines[line].claims.fetch_add(1, Ordering::Relaxed) + 1;
        let number = number(nth, line, self.lines.len());
        session.holding.claiming(number);
        let claimed = shared.backend().claim(Claim { queue, most, worker, number }).await;
        session.holding.claimed(number, claimed.iter().flatten().map(|claimed| claimed.job));
        let jobs = claimed.inspect_err(|_| self.lines[line].doubt(number))?;
        if jobs.is_empty() {
            return Ok(0);
        }
        fault::point("queues.worker.claimed");
        METERS.claimed(queue, jobs.len());
        let (count, at) = (jobs.len(), Instant::now());
        self.buffer.put(jobs.into_iter().map(|job| Held { line, claim: number, job, at }));
        Ok(count)
    }

    /// Gives doubtful claims back, and makes ready what is due.
    async fn tidy(&self, promoted: &mut Option<Instant>) {
        let is_time = promoted.is_none_or(|at| at.elapsed() >= self.session.shared.config.poll);
        if is_time {
            *promoted = Some(Instant::now());
        }
        for (at, line) in self.lines.iter().enumerate().filter(|(_, line)| !line.is_resting()) {
            if let Err(error) = self.tidy_line(at, line, is_time).await {
                self.failed(at, &error);
            }
        }
    }

    async fn tidy_line(&self, at: usize, line: &Line, promote: bool) -> Result<(), Error> {
        let shared = &self.session.shared;
        let (queue, old) = (&shared.lines[at], line.old_doubts());
        if !old.is_empty() {
            shared.backend().give_back(self.session.incarnation(), queue, &old).await?;
            line.given_back(&old);
        }
        while promote && shared.backend().promote(queue).await? {}
        Ok(())
    }

    fn failed(&self, line: usize, error: &Error) {
        let (queue, failures) = (&self.session.shared.lines[line], self.lines[line].rests());
        tracing::warn!(%error, %queue, failures, "a worker could not take jobs; it tries again");
    }

    /// How long to wait if there is no queue to claim from at present.
    fn rest(&self) -> Option<Duration> {
        let rests = self.lines.iter().map(Line::rest).collect::<Option<Vec<_>>>()?;
        rests.into_iter().min()
    }
}

impl Line {
    fn doubt(&self, claim: i64) {
        lock(&self.doubtful).push(Doubtful { claim, since: Instant::now(), given_back: 0 });
    }

    /// Claims that it is time to give back.
    fn old_doubts(&self) -> Vec<i64> {
        let is_old = |one: &&Doubtful| one.since.elapsed() >= GIVEN_BACK_AFTER[one.given_back];
        lock(&self.doubtful).iter().filter(is_old).map(|one| one.claim).collect()
    }

    fn given_back(&self, claims: &[i64]) {
        lock(&self.doubtful).retain_mut(|one| {
            one.given_back += usize::from(claims.contains(&one.claim));
            one.given_back < GIVEN_BACK_AFTER.len()
        });
    }

    fn works(&self) {
        *lock(&self.trouble) = Trouble::default();
    }

    /// It has failed, and is left alone for a while. How often it has failed in a row.
    fn rests(&self) -> u32 {
        let mut trouble = lock(&self.trouble);
        trouble.failures += 1;
        trouble.until =
            Some(Instant::now() + Backoff::new(SHORTEST_REST, LONGEST_REST).delay(trouble.failures));
        trouble.failures
    }

    fn is_resting(&self) -> bool {
        self.rest().is_some()
    }

    /// For how long it is left alone yet.
    fn rest(&self) -> Option<Duration> {
        let until = lock(&self.trouble).until?;
        Some(until.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

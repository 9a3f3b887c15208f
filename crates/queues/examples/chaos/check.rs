//! Whether what was promised was kept.
//!
//! Order and limits are judged by the attempts whose effect was accepted: of the others a worker may have begun some when it had
//! lost its lease without having noticed. That is what fences are for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use shared_queues::Reason;
use uuid::Uuid;

use super::history::{Attempted, History};
use super::plan::{Fate, Lane, PACE, PER_HOST, Place, Plan, SHARED};
use super::restarts::{Restarts, percentile};

/// What was found. Each line of a list is a broken promise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledged, and neither done nor a dead letter.
    pub lost: Vec<String>,
    /// With more than one effect.
    pub twice: Vec<String>,
    /// Effects of attempts whose job another attempt had begun before the commit.
    pub stale: Vec<String>,
    /// Jobs that began before the one before them of their key had ended.
    pub unordered: Vec<String>,
    /// Moments at which more jobs ran, or had begun, than a limit allows.
    pub beyond_limits: Vec<String>,
    /// Dead letters without a reason in the plan or in the crashes.
    pub wrongly_dead: Vec<String>,
    /// The time within which 99 of a hundred jobs of killed workers ran again, if it is too long.
    pub late: Vec<String>,
    /// Jobs that were dead by their workers' crashes; that is allowed.
    pub crashed: usize,
    /// The same, of jobs in Redis whose effect is in the database.
    pub untold: usize,
    /// If the server forgets a claim, its attempt may be the one that counts: once all the same.
    pub overtaken: usize,
    /// Jobs that were lost as the server's settings allow it.
    pub in_window: usize,
    /// For how long before the outage the oldest of them had been acknowledged.
    pub window: Duration,
    pub restarts: Restarts,
}

impl Verdict {
    pub(crate) fn of(plan: &Plan, history: &History) -> Self {
        let mut verdict = Self { restarts: Restarts::of(plan, history), ..Self::default() };
        verdict.count_effects(plan, history);
        verdict.find_lost(plan, history);
        verdict.check_restarts(plan);
        let accepted = accepted(history);
        // What a server has forgotten it can't keep in order.
        if !plan.forgets() {
            verdict.check_order(plan, &accepted);
            verdict.check_limits(plan, history, &accepted);
        }
        verdict
    }

    /// The promises that can be broken, and how they were.
    pub(crate) fn broken(&self) -> [(&'static str, &[String]); 7] {
        [
            ("lost", &self.lost),
            ("effects twice", &self.twice),
            ("effects of stale workers", &self.stale),
            ("out of order", &self.unordered),
            ("beyond limits", &self.beyond_limits),
            ("wrongly dead", &self.wrongly_dead),
            ("late after a kill", &self.late),
        ]
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.broken().iter().all(|(_, found)| found.is_empty())
    }

    fn count_effects(&mut self, plan: &Plan, history: &History) {
        let mut seen = HashSet::new();
        // One that stood still may begin a job before it knows that it has lost it.
        let rightly = history.attempts.iter().filter(|attempt| !history.stood_still(attempt, plan.beat));
        let last_begun: HashMap<u64, i64> = rightly.map(|attempt| (attempt.n, attempt.began)).collect();
        let began: HashMap<Uuid, i64> =
            history.attempts.iter().map(|attempt| (attempt.id, attempt.began)).collect();
        for effect in &history.effects {
            if !seen.insert(effect.n) {
                self.twice.push(format!("job {}", effect.n));
            }
            let last = last_begun.get(&effect.n).copied().unwrap_or_default();
            let own = began.get(&effect.attempt).copied().unwrap_or_default();
            if own < last && last < effect.at {
                match plan.forgets() {
                    true => self.overtaken += 1,
                    false => self.stale.push(format!(
                        "job {}: begun again {} us before the commit",
                        effect.n,
                        effect.at - last
                    )),
                }
            }
        }
    }

    fn find_lost(&mut self, plan: &Plan, history: &History) {
        let done: HashSet<u64> = history.effects.iter().map(|effect| effect.n).collect();
        let dead: HashSet<u64> = history.dead.iter().map(|(n, _)| *n).collect();
        for (&n, &at) in &history.promised {
            if done.contains(&n) || dead.contains(&n) {
                continue;
            }
            // While a server goes down it still acknowledges, and what it has answered by then is read here later.
            let outage = history.incidents.outages.iter().find(|outage| at < outage.up);
            let before = outage.map(|outage| Duration::from_micros((outage.down - at).max(0).unsigned_abs()));
            match (before, outage.and_then(|outage| outage.forgotten_since)) {
                (Some(before), Some(since)) if at >= since => {
                    self.in_window += 1;
                    self.window = self.window.max(before);
                }
                _ => self.lost.push(format!("job {n}, {:?}, {before:?} before an outage", plan.job(n).lane)),
            }
        }
        for &(n, reason) in &history.dead {
            match (reason, plan.job(n).fate) {
                // The database knows that it is done, and nobody has lived to tell Redis.
                (Reason::Crashed, _) if done.contains(&n) && plan.place != Place::Postgres => {
                    self.untold += 1
                }
                (Reason::Crashed, _) if !done.contains(&n) => self.crashed += 1,
                (Reason::Failed, Fate::Hopeless) if !done.contains(&n) => {}
                _ => {
                    let done = if done.contains(&n) { "done, and " } else { "" };
                    self.wrongly_dead.push(format!("job {n}: {done}dead, {reason:?}"));
                }
            }
        }
    }

    fn check_restarts(&mut self, plan: &Plan) {
        let p99 = percentile(&self.restarts.clear, 99)
            .map(|took| Duration::from_micros(took.max(0).unsigned_abs()));
        if let Some(p99) = p99.filter(|p99| *p99 > plan.soon) {
            self.late.push(format!("p99 {p99:.2?}, {:?} are promised", plan.soon));
        }
    }

    fn check_order(&mut self, plan: &Plan, accepted: &[Attempted]) {
        let mut keys: BTreeMap<Lane, Vec<&Attempted>> = BTreeMap::new();
        for attempt in accepted {
            let lane = plan.job(attempt.n).lane;
            if let Lane::Ordered { .. } = lane {
                keys.entry(lane).or_default().push(attempt);
            }
        }
        for (key, mut attempts) in keys {
            attempts.sort_unstable_by_key(|attempt| attempt.n);
            for pair in attempts.windows(2) {
                if pair[1].began < end(pair[0]) {
                    self.unordered.push(format!("{key:?}: {} before {}", pair[1].n, pair[0].n));
                }
            }
        }
    }

    fn check_limits(&mut self, plan: &Plan, history: &History, accepted: &[Attempted]) {
        let mut lanes: BTreeMap<Lane, Vec<&Attempted>> = BTreeMap::new();
        for attempt in accepted {
            lanes.entry(plan.job(attempt.n).lane).or_default().push(attempt);
        }
        for (lane, attempts) in lanes {
            match lane {
                Lane::None | Lane::Ordered { .. } => {}
                Lane::Shared => self.check_concurrency(lane, &attempts, SHARED),
                Lane::Host(_) => self.check_concurrency(lane, &attempts, PER_HOST),
                Lane::Paced => self.check_pace(&attempts, history.limited_since),
            }
        }
    }

    fn check_concurrency(&mut self, lane: Lane, attempts: &[&Attempted], most: u32) {
        // An end comes before a beginning at the same moment.
        let begins = attempts.iter().map(|attempt| (attempt.began, 1));
        let mut moments: Vec<(i64, i64)> =
            attempts.iter().map(|attempt| (end(attempt), -1)).chain(begins).collect();
        moments.sort_unstable();
        let mut running = 0;
        for (_, change) in moments {
            running += change;
            if running > i64::from(most) && change > 0 {
                self.beyond_limits.push(format!("{lane:?}: {running} at once, {most} are allowed"));
            }
        }
    }

    /// From the first moment on no more have begun than the bucket held and got. What has begun may have waited in a worker, so
    /// shorter times say nothing.
    fn check_pace(&mut self, attempts: &[&Attempted], since: i64) {
        let mut begins: Vec<i64> = attempts.iter().map(|attempt| attempt.began).collect();
        begins.sort_unstable();
        for (before, began) in begins.into_iter().enumerate() {
            let seconds = (began - since) as f64 / 1e6;
            if (before + 1) as f64 > f64::from(PACE) * (1.0 + seconds) {
                self.beyond_limits.push(format!("{} began within {seconds:.2} s", before + 1));
            }
        }
    }
}

/// The attempts whose effect was accepted, unless another one of the same job had begun meanwhile.
fn accepted(history: &History) -> Vec<Attempted> {
    let effects: HashSet<Uuid> = history.effects.iter().map(|effect| effect.attempt).collect();
    let last: HashMap<u64, Uuid> = history.attempts.iter().map(|attempt| (attempt.n, attempt.id)).collect();
    let counts = |attempt: &&Attempted| effects.contains(&attempt.id) && last[&attempt.n] == attempt.id;
    history.attempts.iter().filter(counts).copied().collect()
}

/// An attempt without an end counts as a moment.
fn end(attempt: &Attempted) -> i64 {
    attempt.ended.unwrap_or(attempt.began)
}

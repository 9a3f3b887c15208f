//! How soon the jobs of killed workers ran again.

use shared_queues::Reason;

use super::faults::Outage;
use super::history::History;
use super::plan::{Lane, Plan};

/// From the kill to the beginning of the next attempt of each job that was in the middle of one; microseconds, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    /// Those that had nothing else to wait for.
    pub clear: Vec<i64>,
    /// Those that waited for a limit too, or for a server that was away.
    pub hindered: Vec<i64>,
    /// Jobs that had spent their crash budget, and are dead letters.
    pub given_up: usize,
    /// Other jobs that never ran again.
    pub never: usize,
    /// Those with nothing to wait for that took longer than 99 of a hundred may, and how many workers were killed or stopped meanwhile: one
    /// of these may have taken the job, and not begun it.
    pub late: Vec<Late>,
}

/// A job that ran again later than [`Plan::soon`] after its worker was killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    pub n: u64,
    pub took: i64,
    pub struck_meanwhile: usize,
}

impl Restarts {
    pub(crate) fn of(plan: &Plan, history: &History) -> Self {
        let mut restarts = Self::default();
        let mut open: Vec<_> = history.attempts.iter().filter(|attempt| attempt.ended.is_none()).collect();
        for &(worker, killed, gone) in &history.incidents.kills {
            let (struck, rest) =
                open.into_iter().partition(|attempt| attempt.worker == worker && attempt.began < gone);
            open = rest;
            let struck: Vec<&super::history::Attempted> = struck;
            for attempt in struck {
                let mut later = history.attempts.iter().skip_while(|next| next.began < gone);
                let Some(next) = later.find(|next| next.n == attempt.n) else {
                    match history.dead.contains(&(attempt.n, Reason::Crashed)) {
                        true => restarts.given_up += 1,
                        false => restarts.never += 1,
                    }
                    continue;
                };
                let was_away = |outage: &Outage| outage.down < next.began && killed < outage.up;
                let limited = !matches!(plan.job(attempt.n).lane, Lane::None | Lane::Ordered { .. });
                let hindered = limited || history.incidents.outages.iter().any(was_away);
                let took = next.began - killed;
                if hindered {
                    restarts.hindered.push(took);
                    continue;
                }
                restarts.clear.push(took);
                if took > plan.soon.as_micros() as i64 {
                    let struck_meanwhile = history.struck_between(killed, next.began);
                    restarts.late.push(Late { n: attempt.n, took, struck_meanwhile });
                }
            }
        }
        restarts.clear.sort_unstable();
        restarts.hindered.sort_unstable();
        restarts
    }
}

/// So many of a hundred take no longer than this.
pub(crate) fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied()
}

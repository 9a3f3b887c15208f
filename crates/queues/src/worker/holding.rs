//! Which jobs the worker has in hand: from the answer of their claim until they are settled.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::JobId;
use crate::backend::Settled;

/// Kept claim by claim and settlement by settlement, so that a job costs no lock of its own.
#[derive(Default)]
pub(super) struct Holding(Mutex<State>);

#[derive(Default)]
struct State {
    /// Claims on their way: which jobs they bring is not known yet.
    open: HashSet<i64>,
    /// How often each is in hand: twice where a server forgot that it gave it out.
    jobs: HashMap<JobId, usize>,
}

impl Holding {
    /// A claim leaves. No two have the same number.
    pub(super) fn claiming(&self, claim: i64) {
        self.state().open.insert(claim);
    }

    /// It has brought these jobs, or its answer is lost and it brings none.
    pub(super) fn claimed(&self, claim: i64, jobs: impl IntoIterator<Item = JobId>) {
        let mut state = self.state();
        for job in jobs {
            *state.jobs.entry(job).or_default() += 1;
        }
        state.open.remove(&claim);
    }

    /// The server has answered to what became of them.
    pub(super) fn settled(&self, all: &[Settled]) {
        let mut state = self.state();
        for one in all {
            if let Entry::Occupied(mut times) = state.jobs.entry(one.job) {
                *times.get_mut() -= 1;
                if *times.get() == 0 {
                    times.remove();
                }
            }
        }
    }

    /// Of what the server takes for the worker's, that of which the worker knows nothing. A job that is in hand by another claim is none: it
    /// would run a second time beside the first.
    pub(super) fn strays(&self, mut held: Vec<(JobId, i64)>) -> Vec<(JobId, i64)> {
        let state = self.state();
        held.retain(|(job, claim)| !state.jobs.contains_key(job) && !state.open.contains(claim));
        held
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::Fate;

    #[test]
    fn a_stray_is_what_no_claim_has_brought_or_what_was_settled() {
        let (holding, job, other) = (Holding::default(), JobId::new(), JobId::new());
        let strays = |held: &[(JobId, i64)]| holding.strays(held.to_vec());
        assert_eq!(strays(&[(job, 1)]), [(job, 1)]);
        holding.claiming(1);
        assert_eq!(strays(&[(job, 1)]), [], "its answer is on its way");
        holding.claimed(1, [job]);
        assert_eq!(strays(&[(job, 1), (other, 1)]), [(other, 1)]);
        assert_eq!(strays(&[(job, 7)]), [], "the server has forgotten the later claim, and it runs");
        // It was given out once more, and both have ended.
        holding.claiming(2);
        holding.claimed(2, [job]);
        let ended = |claim| Settled::new(claim, job, Fate::Later(Duration::ZERO));
        holding.settled(&[ended(1)]);
        assert_eq!(strays(&[(job, 1)]), []);
        holding.settled(&[ended(2)]);
        assert_eq!(strays(&[(job, 1)]), [(job, 1)]);
        holding.claiming(3);
        holding.claimed(3, []);
        assert_eq!(strays(&[(job, 3)]), [(job, 3)], "its answer was lost");
    }
}

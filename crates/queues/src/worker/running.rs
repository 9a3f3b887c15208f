//! The attempts that run at this moment, and what is to be said to them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::link::{Cancellation, Link};
use crate::{JobId, Progress};

#[derive(Default)]
pub(super) struct Running(Mutex<State>);

#[derive(Default)]
struct State {
    attempts: HashMap<JobId, Arc<Link>>,
    /// Jobs in hand that somebody wants cancelled, begun or not.
    asked: HashSet<JobId>,
    /// Why nothing is to go on.
    end: Option<Cancellation>,
}

impl Running {
    /// An attempt begins; it may be cancelled already.
    pub(super) fn begin(&self, job: JobId) -> Begun<'_> {
        let link = Arc::new(Link::default());
        let mut state = self.state();
        let why = if state.asked.contains(&job) { Some(Cancellation::Asked) } else { state.end };
        state.attempts.insert(job, link.clone());
        drop(state);
        if let Some(why) = why {
            link.cancel(why);
        }
        Begun { running: self, job, link }
    }

    /// These jobs are to be cancelled: all of which the backend knows at this moment.
    pub(super) fn ask(&self, jobs: Vec<JobId>) {
        let mut state = self.state();
        state.asked = jobs.into_iter().collect();
        for job in &state.asked {
            if let Some(link) = state.attempts.get(job) {
                link.cancel(Cancellation::Asked);
            }
        }
    }

    /// Tells all attempts, and those that may still begin.
    pub(super) fn end(&self, why: Cancellation) {
        let mut state = self.state();
        state.end = Some(why);
        state.attempts.values().for_each(|link| link.cancel(why));
    }

    /// What attempts have said of their progress since it was last asked, at most so many of them. The rest is kept for later.
    pub(super) fn progress(&self, most: usize) -> Vec<(JobId, Progress)> {
        let said = |(job, link): (&JobId, &Arc<Link>)| Some((*job, link.take_progress()?));
        self.state().attempts.iter().filter_map(said).take(most).collect()
    }

    /// Puts back what could not be told, unless there is news.
    pub(super) fn untold(&self, progress: Vec<(JobId, Progress)>) {
        let state = self.state();
        for (job, progress) in progress {
            if let Some(link) = state.attempts.get(&job) {
                link.report_older(progress);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running attempt. However it ends, also by being dropped, what it left running hears of it.
pub(super) struct Begun<'a> {
    running: &'a Running,
    job: JobId,
    pub(super) link: Arc<Link>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut state = self.running.state();
        // It may be in hand a second time, where a server forgot that it gave it out.
        if state.attempts.get(&self.job).is_some_and(|link| Arc::ptr_eq(link, &self.link)) {
            state.attempts.remove(&self.job);
        }
        drop(state);
        self.link.cancel(Cancellation::Over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_reaches_jobs_that_run_and_jobs_that_begin_later() {
        let (running, early, late, other) = (Running::default(), JobId::new(), JobId::new(), JobId::new());
        let begun = running.begin(early);
        running.ask(vec![early, late]);
        assert_eq!(begun.link.cancelled().await, Cancellation::Asked);
        assert_eq!(running.begin(late).link.cancelled().await, Cancellation::Asked);
        assert_eq!(running.begin(other).link.cancellation(), None);
    }

    #[tokio::test]
    async fn the_first_reason_stays() {
        let running = Running::default();
        let begun = running.begin(JobId::new());
        running.end(Cancellation::Stopping);
        let link = begun.link.clone();
        drop(begun);
        assert_eq!(link.cancelled().await, Cancellation::Stopping);
        assert_eq!(running.begin(JobId::new()).link.cancellation(), Some(Cancellation::Stopping));
    }

    #[tokio::test]
    async fn a_job_that_is_here_twice_is_told_to_the_second_when_the_first_has_ended() {
        let (running, job) = (Running::default(), JobId::new());
        let (first, second) = (running.begin(job), running.begin(job));
        drop(first);
        running.end(Cancellation::Lost);
        assert_eq!(second.link.cancellation(), Some(Cancellation::Lost));
    }

    #[tokio::test]
    async fn progress_is_told_once_and_the_latest_of_it() {
        let (running, job) = (Running::default(), JobId::new());
        let begun = running.begin(job);
        begun.link.report(Progress::new(0.1, "first"));
        begun.link.report(Progress::new(0.2, "second"));
        let told = running.progress(10);
        assert_eq!(told, [(job, Progress::new(0.2, "second"))]);
        assert!(running.progress(10).is_empty());
        running.untold(told);
        assert_eq!(running.progress(10).len(), 1, "it is told again");
    }
}

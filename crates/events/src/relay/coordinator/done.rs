//! What came of the work that was in hand.

use tokio::time::Instant;

use super::super::work::{Done, Outcome, Passed};
use super::{BACKOFF, Coordinator};
use crate::Lane;

impl Coordinator {
    fn done(&mut self, done: Done) {
        // What it told before comes before.
        while let Ok(passed) = self.passing.1.try_recv() {
            self.passed(passed);
        }
        match done {
            Done::Ended => {}
            Done::Retried(Ok(retried)) => {
                self.is_retrying = false;
                if let Some(next) = retried.next {
                    self.due_in(next.as_secs_f64());
                }
            }
            Done::Retried(Err(error)) => {
                self.is_retrying = false;
                self.retry = Some(Instant::now() + BACKOFF.delay(1));
                self.failed(&error);
            }
            Done::Of { lane, grant, count, outcome } => {
                self.in_hand -= count;
                self.came_of(lane, grant, outcome);
            }
        }
    }

    /// A lane that is still at work has come so far.
    pub(super) fn passed(&mut self, passed: Passed) {
        let Passed { lane, grant, at, floor, parked } = passed;
        self.machine.moved(lane, grant, at, floor);
        if parked > 0 {
            self.due_in(0.0);
        }
    }

    /// Those that ended meanwhile, so that what they need next is looked for at once.
    pub(super) fn all_done(&mut self, done: Done) {
        self.done(done);
        while let Some(done) = self.works.try_join_next() {
            self.done(done.unwrap_or(Done::Ended));
        }
    }

    fn came_of(&mut self, lane: Lane, grant: u64, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Reached { at, parked, floor }) => {
                self.machine.done(lane, grant, at, floor);
                if parked > 0 {
                    self.due_in(0.0);
                }
            }
            Some(Outcome::Page(next)) => self.has_read(lane, grant, next.map(|next| *next)),
            Some(Outcome::Delivered { of, is_done, parked }) => {
                if parked > 0 {
                    self.due_in(0.0);
                }
                self.delivered(lane, grant, of, is_done);
            }
            Some(Outcome::Asked { floor, back }) => {
                self.machine.asked(lane, grant, floor, back);
            }
            Some(Outcome::Fenced { floor }) => {
                self.machine.fenced(lane, grant, floor);
            }
            Some(Outcome::Unread(error)) => {
                self.machine.undone(lane, grant);
                self.failed(&error);
            }
            Some(Outcome::Nothing) => {}
            None if self.is_for_sink() => self.machine.undone(lane, grant),
            None => self.read_again(lane, grant),
            Some(Outcome::Failed(error)) => {
                match self.is_for_sink() {
                    true => self.machine.fenced(lane, grant, None),
                    false => self.read_again(lane, grant),
                }
                self.failed(&error);
            }
        }
    }
}

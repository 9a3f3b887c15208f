//! One life of a worker under one name: its tasks, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::buffer::Buffer;
use super::chores::Chore;
use super::claimer::Claimer;
use super::holding::Holding;
use super::running::Running;
use super::slots::Slots;
use super::{LAST_WORDS, Shared, StopReport, attempt, keeper, settler, sure_until};
use crate::Error;
use crate::backend::Claimed;
use crate::link::Cancellation;

/// A job in hand.
pub(super) struct Held {
    /// The place of its queue in [`Shared::lines`](super::Shared).
    pub(super) line: usize,
    pub(super) claim: i64,
    pub(super) job: Claimed,
    /// When it was claimed.
    pub(super) at: Instant,
}

pub(super) struct Session<S> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) slots: Slots,
    pub(super) holding: Holding,
    pub(super) running: Running,
    /// No further job is begun.
    pub(super) stopping: CancellationToken,
    /// Attempts that ended.
    pub(super) finished: AtomicU64,
    incarnation: Uuid,
    /// Until when its jobs are surely its own, by its own clock. The keeper moves it on.
    sure: watch::Sender<Instant>,
}

pub(super) enum End {
    Stopped(StopReport),
    /// The lease ended, or was about to: nothing of it runs any more.
    Lost,
}

impl<S: Send + Sync + 'static> Session<S> {
    /// Registers a new incarnation.
    pub(super) async fn open(shared: Arc<Shared<S>>) -> Result<Arc<Self>, Error> {
        let (incarnation, registered) = (Uuid::new_v4(), Instant::now());
        shared.backend().register(incarnation, &shared.lines, shared.config.lease).await?;
        Ok(Arc::new(Self {
            slots: Slots::new(&shared.config),
            holding: Holding::default(),
            running: Running::default(),
            stopping: CancellationToken::new(),
            finished: AtomicU64::new(0),
            incarnation,
            sure: watch::Sender::new(sure_until(registered, shared.config.lease)),
            shared,
        }))
    }

    pub(super) fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    /// Until when its jobs are surely its own.
    pub(super) fn sure_until(&self) -> Instant {
        *self.sure.borrow()
    }

    /// The same, to be looked at later.
    pub(super) fn sure(&self) -> watch::Receiver<Instant> {
        self.sure.subscribe()
    }

    /// Waits until its jobs are surely its own, which they are as long as the keeper is in time. `false` if the session stops.
    pub(super) async fn is_sure(&self) -> bool {
        if Instant::now() < self.sure_until() {
            return !self.stopping.is_cancelled();
        }
        let mut sure = self.sure.subscribe();
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            sure = sure.wait_for(|sure| Instant::now() < *sure) => sure.is_ok(),
        }
    }

    /// The lease was renewed by a message that left at this moment.
    pub(super) fn renewed(&self, sent: Instant) {
        self.sure.send_replace(sure_until(sent, self.shared.config.lease));
    }

    /// Works until `stop` says for how long to wait for the rest.
    pub(super) async fn run(self: Arc<Self>, stop: &mut oneshot::Receiver<Duration>) -> End {
        let (mut work, settler) = self.spawn();
        let session = self.clone();
        let mut keeper = std::pin::pin!(keeper::run(&session));
        let patience = tokio::select! {
            // The sender lives in the handle, whose end ends this task as well.
            patience = &mut *stop => patience.unwrap_or_default(),
            () = &mut keeper => {
                self.break_off(&mut work, Cancellation::Lost).await;
                return End::Lost;
            }
            ended = work.join_next() => {
                tracing::error!(?ended, "a part of the worker ended by itself; it begins anew");
                self.break_off(&mut work, Cancellation::Lost).await;
                return End::Lost;
            }
        };
        self.end(Cancellation::Stopping);
        let before = self.finished.load(Ordering::Relaxed);
        let aborted = tokio::select! {
            // Nothing is left to hand back.
            () = &mut keeper => {
                let aborted = self.break_off(&mut work, Cancellation::Lost).await;
                return End::Stopped(StopReport { aborted, ..self.report(before) });
            }
            aborted = self.drain(&mut work, patience) => aborted,
        };
        let settled = timeout(LAST_WORDS, settler).await.is_ok_and(|ended| ended.is_ok());
        let retired =
            timeout(LAST_WORDS, self.shared.backend().retire(self.incarnation, &self.shared.lines)).await;
        let report = StopReport { aborted, ..self.report(before) };
        End::Stopped(match retired {
            Ok(Ok(handed_back)) => StopReport { handed_back, released: settled, ..report },
            _ => report,
        })
    }

    /// What can be said at any end, if so many attempts had ended before the worker was to stop.
    fn report(&self, before: u64) -> StopReport {
        StopReport {
            finished: self.finished.load(Ordering::Relaxed) - before,
            refused: self.shared.refused.load(Ordering::Relaxed),
            ..StopReport::default()
        }
    }

    /// Everything runs in tasks that end with the set or the handle.
    fn spawn(self: &Arc<Self>) -> (JoinSet<()>, AbortOnDropHandle<()>) {
        let (outgoing, settled) = settler::open(self);
        let buffer = Arc::new(Buffer::default());
        let mut work = JoinSet::new();
        let claimer = Claimer::new(self.clone(), buffer.clone());
        work.spawn(claimer.clone().lead());
        work.spawn(claimer.follow());
        work.spawn(keeper::listen(self.clone()));
        for chore in Chore::ALL {
            work.spawn(chore.run(self.clone()));
        }
        for _ in 0..self.shared.config.concurrency {
            work.spawn(attempt::run(self.clone(), buffer.clone(), outgoing.clone()));
        }
        (work, AbortOnDropHandle::new(tokio::spawn(settled)))
    }

    /// Waits for the tasks, which end by themselves after their job, and returns how many jobs had to be broken off.
    async fn drain(&self, work: &mut JoinSet<()>, patience: Duration) -> u64 {
        let all_ended = async { while work.join_next().await.is_some() {} };
        if timeout(patience, all_ended).await.is_ok() {
            return 0;
        }
        self.break_off(work, Cancellation::Stopping).await
    }

    /// No further job is begun, and those that run hear why.
    fn end(&self, why: Cancellation) {
        self.running.end(why);
        self.stopping.cancel();
    }

    /// Ends all tasks, and returns in how many of them a job was running.
    async fn break_off(&self, work: &mut JoinSet<()>, why: Cancellation) -> u64 {
        let running = self.slots.running() as u64;
        self.end(why);
        work.shutdown().await;
        running
    }

    /// Waits this long, and returns whether the session goes on.
    pub(super) async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            () = sleep(wait) => true,
        }
    }
}

//! One life of a worker under one name: its tasks, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::slots::Slots;
use super::{LAST_WORDS, Shared, StopReport, attempt, claimer, keeper, settler};
use crate::Error;
use crate::postgres::Claimed;

/// A job in hand.
pub(super) struct Held {
    pub(super) claim: i64,
    pub(super) job: Claimed,
    /// When it was claimed.
    pub(super) at: Instant,
}

pub(super) struct Session<S> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) slots: Slots,
    /// No further job is begun.
    pub(super) stopping: CancellationToken,
    /// Attempts that ended.
    pub(super) finished: AtomicU64,
    incarnation: Uuid,
    /// Before which moment it was registered.
    registered: Instant,
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
        shared.store.register(incarnation, shared.config.lease).await?;
        Ok(Arc::new(Self {
            slots: Slots::new(&shared.config),
            stopping: CancellationToken::new(),
            finished: AtomicU64::new(0),
            incarnation,
            registered,
            shared,
        }))
    }

    pub(super) fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    /// Works until `stop` says for how long to wait for the rest.
    pub(super) async fn run(self: Arc<Self>, stop: &mut oneshot::Receiver<Duration>) -> End {
        let (mut work, settler) = self.spawn();
        let (session, registered) = (self.clone(), self.registered);
        let mut keeper = std::pin::pin!(keeper::run(&session, registered));
        let patience = tokio::select! {
            // The sender lives in the handle, whose end ends this task as well.
            patience = &mut *stop => patience.unwrap_or_default(),
            () = &mut keeper => {
                self.break_off(&mut work).await;
                return End::Lost;
            }
            ended = work.join_next() => {
                tracing::error!(?ended, "a part of the worker ended by itself; it begins anew");
                self.break_off(&mut work).await;
                return End::Lost;
            }
        };
        self.stopping.cancel();
        let before = self.finished.load(Ordering::Relaxed);
        let aborted = tokio::select! {
            // Nothing is left to hand back.
            () = &mut keeper => {
                let aborted = self.break_off(&mut work).await;
                return End::Stopped(StopReport { aborted, ..self.report(before) });
            }
            aborted = self.drain(&mut work, patience) => aborted,
        };
        let settled = timeout(LAST_WORDS, settler).await.is_ok_and(|ended| ended.is_ok());
        let retired = timeout(LAST_WORDS, self.shared.store.retire(self.incarnation)).await;
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
        let (buffer_in, buffer_out) = mpsc::channel(self.slots.most());
        let (settled_in, settled_out) = mpsc::channel(self.slots.most());
        let buffer = Arc::new(Mutex::new(buffer_out));
        let mut work = JoinSet::new();
        work.spawn(claimer::run(self.clone(), buffer_in));
        work.spawn(keeper::sweep(self.clone()));
        for _ in 0..self.shared.config.concurrency {
            work.spawn(attempt::run(self.clone(), buffer.clone(), settled_in.clone()));
        }
        (work, AbortOnDropHandle::new(tokio::spawn(settler::run(self.clone(), settled_out))))
    }

    /// Waits for the tasks, which end by themselves after their job, and returns how many jobs had to be broken off.
    async fn drain(&self, work: &mut JoinSet<()>, patience: Duration) -> u64 {
        let all_ended = async { while work.join_next().await.is_some() {} };
        if timeout(patience, all_ended).await.is_ok() {
            return 0;
        }
        self.break_off(work).await
    }

    /// Ends all tasks, and returns in how many of them a job was running.
    async fn break_off(&self, work: &mut JoinSet<()>) -> u64 {
        let running = self.slots.running() as u64;
        self.stopping.cancel();
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

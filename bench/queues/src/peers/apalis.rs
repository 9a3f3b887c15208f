//! A worker of apalis, on whichever backend.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::apalis::prelude::BoxDynError;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::payload::Payload;
use crate::seen;

/// It runs as in a program whose `main` awaits it: on a thread of its own, with its tasks on those of the runtime. What it is as a
/// future can't be sent to other threads.
pub(super) struct Worker {
    waiting: Option<Box<dyn FnOnce() + Send>>,
    running: Option<JoinHandle<()>>,
    stop: oneshot::Sender<()>,
}

impl Worker {
    /// The worker is what runs until the given signal.
    pub(super) fn new<F: Future<Output = ()>>(run: impl FnOnce(Stopped) -> F + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let waiting = move || Handle::current().block_on(run(Stopped(stopped)));
        Self { waiting: Some(Box::new(waiting)), running: None, stop }
    }

    pub(super) fn start(&mut self) {
        self.running = self.waiting.take().map(spawn_blocking);
    }

    /// One that does not end in time is left behind: it has no job.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        if let Some(running) = self.running {
            let _ = tokio::time::timeout(Duration::from_secs(5), running).await;
        }
    }
}

pub(super) struct Stopped(oneshot::Receiver<()>);

impl Stopped {
    pub(super) async fn signal(self) -> std::io::Result<()> {
        let _ = self.0.await;
        Ok(())
    }
}

/// Each start is another worker.
pub(super) fn name() -> String {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    format!("bench-{}", STARTED.fetch_add(1, Ordering::Relaxed))
}

pub(super) async fn handle(job: Payload) -> Result<(), BoxDynError> {
    seen::job(job.at);
    Ok(())
}

//! The server goes back to an earlier state while a worker lives: a replica became the primary before it had everything, or a file that
//! was not written in time was read again.

use std::sync::Arc;
use std::time::Duration;

use shared_core::Failure;
use shared_queues::{JobContext, Jobs, Worker};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Bench, Note, config, on_servers, until};
use crate::tables::Earlier;

#[tokio::test]
async fn a_job_whose_end_is_forgotten_runs_again_although_its_worker_lives() {
    on_servers(async |bench| {
        bench.enqueue_notes(0..1).await;
        let (begins, mut begun) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let _worker = start(&bench, begins, gate.clone()).await;
        assert_eq!(begun.recv().await, Some(1));
        let earlier = Earlier::of(&bench).await;
        gate.close();
        bench.settle().await;

        earlier.comes_back(&bench).await;
        until("it runs again", async || !begun.is_empty()).await;
        assert_eq!(begun.recv().await, Some(1), "and no attempt is counted");
        bench.settle().await;
        assert!(begun.is_empty(), "once more, and not again");
    })
    .await;
}

/// Whose job waits at the gate, and tells which attempt it is.
async fn start(bench: &Bench, begins: mpsc::UnboundedSender<u32>, gate: Arc<Semaphore>) -> Worker {
    let wait = move |_: Note, cx: JobContext| {
        let (begins, gate) = (begins.clone(), gate.clone());
        async move {
            let _ = begins.send(cx.attempt());
            let _ = gate.acquire().await;
            Ok::<(), Failure>(())
        }
    };
    // Its lease outlives the test: nobody else gives its jobs back.
    let config = shared_queues::Config { lease: Duration::from_secs(200), ..config() };
    Worker::start(&bench.queues, (), Jobs::new().handle(wait), config).await.unwrap()
}

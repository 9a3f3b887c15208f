//! A worker that was silent for too long has lost its jobs, whatever it thinks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared_core::Failure;
use shared_queues::{Cancellation, Config, Error, JobContext, Jobs, Queues, Worker};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::support::{Act, Note, The, WRITE, bench, config, gated, on_servers, probe, tenant, the, until};
use crate::tables::{expire_workers, remove_workers};

/// It beats so seldom that it does not notice in this test that it was taken out.
fn slow_beat() -> Config {
    Config { beat: Duration::from_secs(60), lease: Duration::from_secs(200), ..config() }
}

#[tokio::test]
async fn a_late_outcome_is_refused_and_counted() {
    on_servers(async |bench| {
        bench.enqueue_notes(0..1).await;
        let stale = gated(Act::FailOnce);
        let silent = bench.worker(&stale, slow_beat()).await;
        stale.started(1).await;
        expire_workers(&bench).await;

        let second = gated(Act::Write);
        let rescuer = bench.worker(&second, config()).await;
        second.started(1).await;

        // Now both hold the job. The first one says that it failed: that must not touch the second one's lease.
        stale.open();
        let report = silent.stop(Duration::from_secs(5)).await;
        assert_eq!((report.refused, report.handed_back, report.released), (1, 0, true));
        let backlog = bench.backlog().await;
        assert_eq!((backlog.running, backlog.scheduled, backlog.ready), (1, 0, 0));

        second.open();
        bench.settle().await;
        assert_eq!(bench.ledger().await, [0]);
        assert_eq!(rescuer.stop(Duration::from_secs(5)).await.refused, 0);
    })
    .await;
}

/// Where the lease and the effect are in one database. Where they are not: `frozen.rs`.
#[tokio::test]
async fn a_late_effect_is_rolled_back_with_its_completion() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    let stale = gated(Act::WriteAndComplete);
    let silent = bench.worker(&stale, slow_beat()).await;
    stale.started(1).await;
    expire_workers(&bench).await;

    let second = gated(Act::WriteAndComplete);
    let _rescuer = bench.worker(&second, config()).await;
    second.started(1).await;
    stale.open();
    assert_eq!(silent.stop(Duration::from_secs(5)).await.refused, 1);
    assert_eq!(bench.ledger().await, Vec::<i64>::new(), "the stale worker's row was not committed");

    second.open();
    bench.settle().await;
    assert_eq!(bench.ledger().await, [0]);
}

/// A handler that is late: when it may go on, and what it heard after its effect was refused.
struct Late {
    begun: Notify,
    go_on: Notify,
    heard: mpsc::UnboundedSender<Option<Cancellation>>,
}

async fn late(job: Note, cx: JobContext, late: The<Late>) -> Result<(), Failure> {
    late.begun.notify_one();
    late.go_on.notified().await;
    let write = async || -> Result<_, Error> {
        cx.tx(async |tx| Ok::<_, Error>(tx.execute(&WRITE, (cx.job_id(), job.n)).await?)).await
    };
    assert_eq!(cx.cancellation(), None, "nobody has told it before");
    assert!(matches!(write().await, Err(Error::NotYours { .. })));
    late.heard.send(cx.cancellation())?;
    Ok(())
}

#[tokio::test]
async fn whose_effect_is_refused_hears_that_the_job_is_not_its_own() {
    on_servers(async |bench| {
        bench.enqueue_notes(0..1).await;
        let (heard, mut hears) = mpsc::unbounded_channel();
        let stale = the(Late { begun: Notify::new(), go_on: Notify::new(), heard });
        let silent = bench.start(stale.clone(), Jobs::new().handle(late), slow_beat()).await;
        stale.begun.notified().await;
        expire_workers(&bench).await;
        let _rescuer = bench.worker(&probe(Act::WriteAndComplete), config()).await;
        bench.settle().await;

        stale.go_on.notify_one();
        // The fence is looked at, or, where it is elsewhere, the mark of the other attempt is found.
        let why = hears.recv().await.unwrap();
        assert!(matches!(why, Some(Cancellation::Lost | Cancellation::Over)), "{why:?}");
        assert_eq!(silent.stop(Duration::from_secs(5)).await.refused, 1);
        assert_eq!(bench.ledger().await, [0]);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_was_taken_out_breaks_off_its_jobs_and_begins_anew() {
    on_servers(async |bench| {
        bench.enqueue_notes(0..1).await;
        let probe = gated(Act::Write);
        let config = Config { beat: Duration::from_millis(200), crash_budget: 100, ..config() };
        let worker = bench.worker(&probe, config).await;
        probe.started(1).await;
        // Not only expired: who beats before anybody sweeps lives on.
        remove_workers(&bench).await;
        // The same worker, under another name, runs it again, and none of its attempts has failed.
        probe.started(2).await;
        assert_eq!(probe.runs()[1].attempt, 1);
        probe.open();
        bench.settle().await;
        assert_eq!(bench.ledger().await, [0]);
        assert!(worker.stop(Duration::from_secs(5)).await.released);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_is_taken_out_while_it_stops_does_not_wait_for_lost_jobs() {
    on_servers(async |bench| {
        bench.enqueue_notes(0..1).await;
        let hanging = gated(Act::Hang);
        let worker = bench.worker(&hanging, config()).await;
        hanging.started(1).await;
        let stopping = tokio::spawn(worker.stop(Duration::from_secs(600)));
        crate::tables::remove_workers(&bench).await;
        let report = stopping.await.unwrap();
        assert_eq!((report.finished, report.aborted, report.released), (0, 1, false));
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_was_taken_out_claims_nothing() {
    on_servers(async |bench| {
        let idle = probe(Act::Write);
        let silent = bench.worker(&idle, slow_beat()).await;
        until("it is registered", async || crate::tables::workers(&bench).await == 1).await;
        crate::tables::remove_workers(&bench).await;
        bench.enqueue_notes(0..1).await;
        let report = silent.stop(Duration::from_secs(5)).await;
        assert_eq!((report.finished, idle.runs().len(), bench.backlog().await.ready), (0, 0, 1));
    })
    .await;
}

/// As a process that was stopped, or a machine that was frozen: time has passed, and nobody has told it.
#[tokio::test(start_paused = true)]
async fn a_worker_that_stood_still_begins_no_job_that_others_may_have() {
    let queues = Queues::memory();
    let tenant = tenant();
    let (runs, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(10)));
    let handler = {
        let (runs, gate) = (runs.clone(), gate.clone());
        move |job: Note| {
            let (runs, gate) = (runs.clone(), gate.clone());
            async move {
                runs.lock().unwrap().push(job.n);
                gate.acquire().await.unwrap().forget();
                Ok::<_, Failure>(())
            }
        }
    };
    let config = Config { concurrency: 1, ..Config::default() };
    let lease = config.lease;
    let worker = Worker::start(&queues, (), Jobs::new().handle(handler), config).await.unwrap();
    let enqueue = async |numbers: std::ops::Range<i64>| {
        queues.tenant(&tenant).enqueue_all(numbers.map(|n| Note { n })).await.unwrap();
    };
    // Quick jobs first, so that it takes jobs ahead.
    enqueue(0..10).await;
    until("they are done", async || queues.backlog().await.unwrap().is_settled()).await;
    enqueue(10..12).await;
    until("one runs, and one is taken ahead", async || {
        runs.lock().unwrap().len() == 11 && queues.backlog().await.unwrap().running == 2
    })
    .await;

    gate.add_permits(1);
    tokio::time::advance(lease).await;
    until("the other one runs", async || runs.lock().unwrap().contains(&11)).await;
    // Time enough for the keeper to break it off, if it was begun too late.
    tokio::time::advance(lease / 3).await;
    gate.add_permits(10);
    until("all is done", async || queues.backlog().await.unwrap().is_settled()).await;
    assert_eq!(runs.lock().unwrap().iter().filter(|n| **n == 11).count(), 1);
    worker.stop(Duration::from_secs(5)).await;
}

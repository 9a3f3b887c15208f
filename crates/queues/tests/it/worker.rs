//! Workers share the work, whatever the jobs are like.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_queues::{Config, Enqueue, Error, Job, Jobs, Worker};
use validator::Validate;

use crate::support::{Act, Note, The, bench, config, note, probe, until};

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:bulk", queue = "bulk")]
struct Bulk {}

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:note", version = 2)]
struct NewerNote {
    n: i64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_do_five_thousand_jobs_once_each() {
    let bench = bench().await;
    bench.enqueue_notes(0..5000).await;
    let probe = probe(Act::WriteAndComplete);
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(bench.worker(&probe, config()).await);
    }
    bench.settle().await;
    for worker in workers {
        let report = worker.stop(Duration::from_secs(5)).await;
        assert_eq!((report.refused, report.aborted, report.released), (0, 0, true));
    }
    assert_eq!(bench.ledger().await, (0..5000).collect::<Vec<i64>>());
    let ids: HashSet<_> = probe.runs().iter().map(|run| run.job).collect();
    assert_eq!((ids.len(), probe.runs().len()), (5000, 5000));
}

#[tokio::test]
async fn a_worker_serves_the_queues_of_all_its_jobs() {
    let bench = bench().await;
    bench.enqueue(Bulk {}).await;
    bench.enqueue(Note { n: 1 }).await;
    let jobs = Jobs::new().handle(note).handle(async |_: Bulk| Ok::<(), Failure>(()));
    let worker = Worker::start(&bench.db, probe(Act::Write), jobs, config()).await.unwrap();
    bench.settle().await;
    drop(worker);
    assert_eq!(bench.backlog().await.dead, 0);
}

#[tokio::test]
async fn jobs_of_another_program_or_a_newer_one_are_put_back_without_an_attempt() {
    let bench = bench().await;
    bench.enqueue(NewerNote { n: 1 }).await;
    let old = bench.worker(&probe(Act::Write), config()).await;
    until("it is put back", async || bench.backlog().await.scheduled == 1).await;
    old.stop(Duration::from_secs(5)).await;
    let backlog = bench.backlog().await;
    assert_eq!((backlog.ready, backlog.running, backlog.dead), (0, 0, 0));
    assert_eq!(crate::tables::attempts(&bench).await, [0]);
}

#[tokio::test]
async fn an_unreadable_job_is_a_dead_letter_and_blocks_nobody() {
    let bench = bench().await;
    bench.enqueue(Note { n: 1 }).await;
    bench.enqueue(Note { n: 2 }).await;
    bench.enqueue(Note { n: 3 }).await;
    crate::tables::spoil(&bench, 1, r#"{"n":"one"}"#).await;
    crate::tables::spoil(&bench, 2, r#"{"n":-2}"#).await;

    let _worker = bench.worker(&probe(Act::Write), config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, [3]);
    let mut letters = bench.queues.dead_letters(10).await.unwrap();
    letters.sort_by(|a, b| a.error.cmp(&b.error));
    assert_eq!(letters[0].error, "`n` breaks the rule `range`");
    assert!(letters[1].error.starts_with("the payload can't be read: invalid type"), "{}", letters[1].error);
    assert!(
        letters
            .iter()
            .all(|letter| letter.reason == shared_queues::Reason::Unreadable && letter.attempts == 0)
    );
}

#[tokio::test]
async fn two_handlers_for_one_job_and_bad_settings_are_refused() {
    let bench = bench().await;
    let twice = Jobs::<The<crate::support::Probe>>::new().handle(note).handle(note);
    let refused = Worker::start(&bench.db, probe(Act::Write), twice, config()).await;
    assert!(matches!(refused, Err(Error::TwoHandlers { job: "test:note", .. })));

    let short = Config { lease: Duration::from_secs(1), ..Config::default() };
    let refused = Worker::start(&bench.db, probe(Act::Write), Jobs::new().handle(note), short).await;
    assert!(matches!(refused, Err(Error::Config(_))));
}

#[tokio::test]
async fn an_idle_worker_is_woken_by_a_commit_in_its_process() {
    let bench = bench().await;
    let probe = probe(Act::Write);
    let _worker = bench.worker(&probe, Config { poll: Duration::from_secs(60), ..config() }).await;
    for n in 0..20 {
        let enqueue = async |tx: &mut shared_db::TenantTx| tx.enqueue(Note { n }).await;
        bench.db.tenant(&bench.tenant).tx(enqueue).await.unwrap();
        probe.started(n as usize + 1).await;
    }
    bench.settle().await;
}

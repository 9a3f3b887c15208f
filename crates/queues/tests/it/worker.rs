//! Workers share the work, whatever the jobs are like.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared_core::{Actor, AssumedTenant, Context, Failure, InTenant};
use shared_queues::{Config, Error, Job, JobContext, Jobs, NewJob, State, Worker};
use validator::Validate;

use crate::support::{Act, Note, Probe, The, bench, config, everywhere, note, probe, the, until};

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:bulk", queue = "bulk")]
struct Bulk {}

/// A note of the next version.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:note", version = 2, upcast = "with_title")]
struct NewerNote {
    n: i64,
    title: String,
}

fn with_title(version: u32, mut note: Value) -> Result<Value, Failure> {
    if note["n"] == 13 {
        return Err(Failure::dead("there is no thirteenth"));
    }
    note["title"] = format!("from version {version}").into();
    Ok(note)
}

/// What is no note, under the name of one.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:note")]
struct Spoilt {
    n: Value,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_do_a_thousand_jobs_once_each() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..1000).await;
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
        assert_eq!(bench.ledger().await, (0..1000).collect::<Vec<i64>>());
        let ids: HashSet<_> = probe.runs().iter().map(|run| run.job).collect();
        assert_eq!((ids.len(), probe.runs().len()), (1000, 1000));
    })
    .await;
}

#[tokio::test]
async fn a_worker_serves_the_queues_of_all_its_jobs_and_those_it_is_told() {
    everywhere(async |bench| {
        bench.enqueue(Bulk {}).await;
        bench.enqueue(Note { n: 1 }).await;
        bench.enqueue(NewJob::of(Note { n: 2 }).queue("night")).await;
        let bulk = async |_: Bulk| Ok::<(), Failure>(());
        let jobs = Jobs::new().handle(note).handle(bulk).from_queue("night");
        let _worker = bench.start(probe(Act::Write), jobs, config()).await;
        bench.settle().await;
        assert_eq!((bench.ledger().await, bench.backlog().await.dead), (vec![1, 2], 0));
    })
    .await;
}

#[tokio::test]
async fn whoever_asked_for_a_job_is_known_where_it_runs() {
    everywhere(async |bench| {
        let asking = Context::new(bench.tenant.context().tenant(), Actor::new("ada"))
            .with_delegate(Actor::new("support"));
        let proof = AssumedTenant::continuing(asking.clone(), "a test has no token");
        bench.queues.tenant(&proof).enqueue(Note { n: 1 }).await.unwrap();
        let seen = the(Mutex::new(None));
        let handler =
            async |_: Note, cx: JobContext, seen: The<Mutex<Option<Context>>>| -> Result<(), Failure> {
                *seen.lock().unwrap() = Some(cx.context().clone());
                Ok(())
            };
        let _worker = bench.start(seen.clone(), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        let seen = seen.lock().unwrap().clone().unwrap();
        assert_eq!((seen.tenant(), seen.actor()), (asking.tenant(), asking.actor()));
        assert_eq!((seen.delegate(), seen.correlation()), (asking.delegate(), asking.correlation()));
    })
    .await;
}

#[tokio::test]
async fn jobs_of_another_program_or_a_newer_one_are_put_back_without_an_attempt() {
    everywhere(async |bench| {
        let job = bench.enqueue(NewerNote { n: 1, title: String::new() }).await;
        let old = bench.worker(&probe(Act::Write), config()).await;
        until("it is put back", async || bench.backlog().await.scheduled == 1).await;
        old.stop(Duration::from_secs(5)).await;
        let backlog = bench.backlog().await;
        assert_eq!((backlog.ready, backlog.running, backlog.dead), (0, 0, 0));
        assert_eq!((bench.job(job).await.state, bench.job(job).await.attempts), (State::Scheduled, 0));
    })
    .await;
}

#[tokio::test]
async fn an_older_payload_is_made_a_newer_one() {
    everywhere(async |bench| {
        bench.enqueue(Note { n: 1 }).await;
        bench.enqueue(NewerNote { n: 2, title: "its own".into() }).await;
        bench.enqueue(Note { n: 13 }).await;
        let titles = the(Mutex::new(HashSet::new()));
        let handler = async |job: NewerNote, titles: The<Mutex<HashSet<String>>>| -> Result<(), Failure> {
            titles.lock().unwrap().insert(format!("{} {}", job.n, job.title));
            Ok(())
        };
        let _worker = bench.start(titles.clone(), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        let expected = ["1 from version 1", "2 its own"].map(str::to_owned);
        assert_eq!(*titles.lock().unwrap(), HashSet::from(expected));
        let error = &bench.dead_letters().await[0].error;
        assert_eq!(error, "the payload of version 1 can't be made one of version 2: there is no thirteenth");
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_job_is_a_dead_letter_and_blocks_nobody() {
    everywhere(async |bench| {
        bench.enqueue(Spoilt { n: "one".into() }).await;
        bench.enqueue(Spoilt { n: (-2).into() }).await;
        bench.enqueue(Note { n: 3 }).await;

        let _worker = bench.worker(&probe(Act::Write), config()).await;
        bench.settle().await;
        assert_eq!(bench.ledger().await, [3]);
        let mut letters = bench.dead_letters().await;
        letters.sort_by(|a, b| a.error.cmp(&b.error));
        assert_eq!(letters[0].error, "`n` breaks the rule `range`");
        assert!(
            letters[1].error.starts_with("the payload can't be read: invalid type"),
            "{}",
            letters[1].error
        );
        let unreadable = shared_queues::Reason::Unreadable;
        assert!(letters.iter().all(|letter| letter.reason == unreadable && letter.attempts == 0));
    })
    .await;
}

#[tokio::test]
async fn two_handlers_for_one_job_and_bad_settings_are_refused() {
    let bench = bench().await;
    let twice = Jobs::<The<Probe>>::new().handle(note).handle(note);
    let refused = Worker::start(&bench.queues, probe(Act::Write), twice, config()).await;
    assert!(matches!(refused, Err(Error::TwoHandlers { job: "test:note", .. })));

    let short = Config { lease: Duration::from_secs(1), ..Config::default() };
    let refused = Worker::start(&bench.queues, probe(Act::Write), Jobs::new().handle(note), short).await;
    assert!(matches!(refused, Err(Error::Config(_))));
}

#[tokio::test]
async fn an_idle_worker_is_woken_by_its_process() {
    everywhere(async |bench| {
        let probe = probe(Act::Write);
        let _worker = bench.worker(&probe, Config { poll: Duration::from_secs(60), ..config() }).await;
        for n in 0..20 {
            bench.enqueue(Note { n }).await;
            probe.started(n as usize + 1).await;
        }
        bench.settle().await;
    })
    .await;
}

//! A job is there if, and only if, its transaction committed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{Actor, AssumedTenant, Context, Failure, InTenant, TraceParent, trace};
use shared_db::TenantTx;
use shared_queues::{
    Enqueue, Enqueued, Error, Job, JobContext, JobId, Jobs, LimitKey, MAX_JOBS_PER_TRANSACTION, MAX_PAYLOAD,
    NewJob, Queues, Unique,
};
use tracing::Instrument;
use validator::Validate;

use crate::support::{
    Act, Backend, Note, The, WRITE, bench, bench_on, config, everywhere, probe, the, until,
};
use crate::trace::RECORDER;

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:text")]
struct Text {
    text: String,
}

#[tokio::test]
async fn rolled_back_means_no_job() {
    let bench = bench().await;
    let mut tx = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    tx.enqueue(Note { n: 1 }).await.unwrap();
    tx.rollback().await;

    let mut dropped = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    dropped.enqueue(Note { n: 2 }).await.unwrap();
    drop(dropped);

    assert!(bench.backlog().await.is_settled());
}

#[tokio::test]
async fn committed_means_it_runs_once_in_its_tenant_and_context() {
    let bench = bench().await;
    let asking =
        Context::new(bench.tenant.context().tenant(), Actor::new("ada")).with_delegate(Actor::new("support"));
    let proof = AssumedTenant::continuing(asking.clone(), "a test has no token");
    // Each is written in a way of its own.
    let enqueue = async |one: NewJob<Note>, many: Vec<NewJob<Note>>| -> Result<Vec<JobId>, Error> {
        let door = bench.db.tenant(&proof);
        let mut jobs = vec![door.tx(async |tx| tx.enqueue(one).await).await?];
        jobs.extend(door.tx(async |tx| tx.enqueue_all(many).await).await?);
        Ok(jobs.into_iter().map(Enqueued::job_id).collect())
    };
    let note = |n| NewJob::of(Note { n });
    let unique = note(10).unique(Unique::reject("ten"));
    LazyLock::force(&RECORDER);
    let caller = TraceParent::new(7, 7, true);
    let span = trace::continuing(caller, || tracing::info_span!("caller"));
    let jobs = enqueue(note(7), vec![note(8), note(9), unique]).instrument(span).await.unwrap();

    let seen = the(Mutex::new(Vec::new()));
    let handler =
        async |job: Note, cx: JobContext, seen: The<Mutex<Vec<JobContext>>>| -> Result<(), Failure> {
            cx.tenant()?.execute(&WRITE, (cx.job_id(), job.n)).await?;
            seen.lock().unwrap().push(cx);
            Ok(())
        };
    let worker = bench.start(seen.clone(), Jobs::new().handle(handler), config()).await;
    bench.settle().await;
    assert!(worker.stop(Duration::from_secs(5)).await.released);

    assert_eq!(bench.ledger().await, [7, 8, 9, 10]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen.iter().map(JobContext::job_id).collect::<HashSet<_>>(), HashSet::from_iter(jobs));
    for cx in seen.iter() {
        assert_eq!((cx.attempt(), cx.idempotency_key()), (1, cx.job_id().to_string()));
        let context = cx.context();
        assert_eq!((context.tenant(), context.actor()), (asking.tenant(), asking.actor()));
        assert_eq!((context.delegate(), context.correlation()), (asking.delegate(), asking.correlation()));
        assert_eq!(context.traceparent().map(|at| at.trace_id()), caller.map(|at| at.trace_id()));
    }
}

/// The program's workers take jobs from elsewhere: one in the tables of the transaction would wait for nobody.
#[tokio::test]
async fn a_transaction_enqueues_only_where_the_program_has_queues() {
    let elsewhere = [
        Backend::Memory,
        #[cfg(feature = "redis")]
        Backend::Redis,
    ];
    for backend in elsewhere {
        let bench = bench_on(backend).await;
        let door = bench.db.tenant(&bench.tenant);
        let one = async |tx: &mut TenantTx| tx.enqueue(Note { n: 1 }).await.map(drop);
        let many = async |tx: &mut TenantTx| tx.enqueue_all([Note { n: 2 }, Note { n: 3 }]).await.map(drop);
        for refused in [door.tx(one).await.unwrap_err(), door.tx(many).await.unwrap_err()] {
            let said = refused.to_string();
            assert!(said.contains("test:note") && said.contains("`Queues::postgres(&db)`"), "{said}");
        }
        let here = Queues::postgres(&bench.db);
        door.tx(one).await.unwrap();
        door.tx(many).await.unwrap();
        assert_eq!((here.backlog().await.unwrap().ready, bench.backlog().await.ready), (3, 0));
    }
}

#[tokio::test]
async fn a_savepoint_that_is_undone_takes_its_jobs_along() {
    let bench = bench().await;
    let mut tx = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    tx.enqueue(Note { n: 1 }).await.unwrap();
    let undone = tx.savepoint(async |tx| -> Result<(), Error> {
        tx.enqueue(Note { n: 2 }).await?;
        tx.enqueue(Note { n: -1 }).await.map(drop)
    });
    assert!(matches!(undone.await, Err(Error::Invalid { .. })));
    tx.enqueue(Note { n: 3 }).await.unwrap();
    tx.commit().await.unwrap();

    let probe = probe(Act::Write);
    let _worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, [1, 3]);
}

#[tokio::test]
async fn a_delayed_job_waits_for_its_time() {
    let bench = bench().await;
    let note = NewJob::of(Note { n: 1 }).after(Duration::from_millis(300));
    let enqueue = async |tx: &mut TenantTx| tx.enqueue(note).await;
    let start = std::time::Instant::now();
    bench.db.tenant(&bench.tenant).tx(enqueue).await.unwrap();
    assert_eq!(bench.backlog().await.scheduled, 1);

    let probe = probe(Act::Write);
    let _worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(bench.ledger().await, [1]);
}

#[tokio::test]
async fn what_breaks_a_rule_or_is_too_large_is_refused_before_it_is_sent() {
    let bench = bench().await;
    let mut tx = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    let refused = tx.enqueue(Note { n: -1 }).await.unwrap_err();
    assert_eq!(refused.to_string(), "job `test:note` was not enqueued: `n` breaks the rule `range`");

    let text = "x".repeat(MAX_PAYLOAD);
    let refused = tx.enqueue(Text { text }).await.unwrap_err();
    assert!(matches!(refused, Error::PayloadTooLarge { size, limit: MAX_PAYLOAD, .. } if size > MAX_PAYLOAD));

    for _ in 0..MAX_JOBS_PER_TRANSACTION {
        tx.enqueue(Note { n: 1 }).await.unwrap();
    }
    assert!(matches!(tx.enqueue(Note { n: 1 }).await, Err(Error::TooManyJobs { .. })));
    tx.commit().await.unwrap();
    assert_eq!(bench.backlog().await.ready, MAX_JOBS_PER_TRANSACTION as u64);
}

/// The longest text that fits: `{"text":".."}` has eleven bytes beside it.
fn longest() -> Text {
    Text { text: "x".repeat(MAX_PAYLOAD - 11) }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_on_each_backend_and_the_largest_that_does_runs() {
    everywhere(async |bench| {
        let producer = bench.queues.tenant(&bench.tenant);
        let larger = || Text { text: longest().text + "x" };
        let refused = producer.enqueue(larger()).await.unwrap_err();
        let is_larger =
            |error: &Error| matches!(error, Error::PayloadTooLarge { size, .. } if *size == MAX_PAYLOAD + 1);
        assert!(is_larger(&refused), "{refused}");
        assert!(is_larger(&producer.enqueue_all([longest(), larger()]).await.unwrap_err()));
        assert!(matches!(producer.enqueue(Note { n: -1 }).await, Err(Error::Invalid { .. })));
        let long = NewJob::of(Note { n: 1 }).order_by("k".repeat(201));
        assert!(matches!(producer.enqueue(long).await, Err(Error::Unfit { .. })));
        assert!(bench.backlog().await.is_settled(), "nothing was written");

        bench.enqueue(longest()).await;
        let size = the(AtomicUsize::new(0));
        let measure = async |job: Text, size: The<AtomicUsize>| {
            size.store(job.text.len(), Ordering::Relaxed);
            Ok::<_, Failure>(())
        };
        let _worker = bench.start(size.clone(), Jobs::new().handle(measure), config()).await;
        bench.settle().await;
        assert_eq!(size.load(Ordering::Relaxed), MAX_PAYLOAD - 11);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_open_holds_its_keys_and_one_that_is_undone_never_had_them() {
    let bench = bench().await;
    let door = bench.db.tenant(&bench.tenant);
    let unique = |n| NewJob::of(Note { n }).unique(Unique::reject("one"));
    let mut first = door.begin().await.unwrap();
    let job = first.enqueue(unique(1)).await.unwrap().job_id();
    let refused = first.enqueue(unique(2)).await.unwrap_err();
    assert!(matches!(refused, Error::Duplicate { existing, .. } if existing == job));

    let mut second = door.begin().await.unwrap();
    let mut waiting = Box::pin(second.enqueue(unique(3)));
    let early = tokio::time::timeout(Duration::from_millis(50), waiting.as_mut()).await;
    assert!(early.is_err(), "it did not wait for the first");
    first.rollback().await;
    assert!(waiting.await.unwrap().is_inserted());
    second.commit().await.unwrap();
    assert_eq!(bench.backlog().await.ready, 1);
}

#[tokio::test]
async fn many_are_answered_in_their_order() {
    let bench = bench().await;
    let jobs = [None, Some("a"), Some("a"), None, Some("b"), Some("a")].map(|key| {
        let note = NewJob::of(Note { n: 1 });
        match key {
            Some(key) => note.unique(Unique::existing(key)),
            None => note,
        }
    });
    let enqueue = async |tx: &mut TenantTx| tx.enqueue_all(jobs).await;
    let answers = bench.db.tenant(&bench.tenant).tx(enqueue).await.unwrap();
    let new: Vec<bool> = answers.iter().map(|answer| answer.is_inserted()).collect();
    assert_eq!(new, [true, true, false, true, true, false]);
    assert_eq!(answers[5], Enqueued::Existing(answers[1].job_id()));
    assert_eq!(bench.backlog().await.ready, 4);
}

#[tokio::test]
async fn what_has_a_lane_waits_in_it_also_from_a_transaction() {
    let bench = bench().await;
    let jobs = [
        NewJob::of(Note { n: 1 }),
        NewJob::of(Note { n: 2 }).order_by("k"),
        NewJob::of(Note { n: 3 }).limit(LimitKey::named("free")),
        NewJob::of(Note { n: 4 }).order_by("k").unique(Unique::debounce("x")),
        NewJob::of(Note { n: 5 }).order_by("k").after(Duration::from_secs(3600)),
    ];
    let enqueue = async |tx: &mut TenantTx| tx.enqueue_all(jobs).await;
    bench.db.tenant(&bench.tenant).tx(enqueue).await.unwrap();
    let backlog = bench.backlog().await;
    assert_eq!((backlog.ready, backlog.waiting, backlog.scheduled), (1, 3, 1));
    let _worker = bench.worker(&probe(Act::Write), config()).await;
    until("all but the delayed one ran", async || bench.ledger().await == [1, 2, 3, 4]).await;
}

/// So many sessions of the database wait for a lock.
async fn waiting_for_locks(bench: &crate::support::Bench, sessions: i64) {
    let (admin, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    let _driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let count = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    until("the callers wait for each other", async || {
        admin.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == sessions
    })
    .await;
}

fn keyed(keys: &'static str) -> impl Iterator<Item = NewJob<Note>> + Send {
    keys.chars().map(|key| match key {
        '-' => NewJob::of(Note { n: 0 }),
        key => NewJob::of(Note { n: 1 }).unique(Unique::existing(key.to_string())),
    })
}

/// A third one holds `c` until two others wait, of which each needs what the other one locks first if it goes job by job.
#[tokio::test]
async fn callers_with_the_same_keys_in_other_orders_do_not_deadlock() {
    let bench = bench().await;
    let producer = bench.queues.tenant(&bench.tenant);
    for in_transactions in [false, true] {
        let mut third = bench.db.tenant(&bench.tenant).begin().await.unwrap();
        third.enqueue_all(keyed("c")).await.unwrap();
        let enqueue = async |keys: &'static str| -> Result<Vec<Enqueued>, Error> {
            match in_transactions {
                false => producer.enqueue_all(keyed(keys)).await,
                true => {
                    let mut tx = bench.db.tenant(&bench.tenant).begin().await?;
                    let answers = tx.enqueue_all(keyed(keys)).await?;
                    tx.commit().await?;
                    Ok(answers)
                }
            }
        };
        let (first, second, ()) = futures_util::join!(
            enqueue("b-c-a"),
            async {
                waiting_for_locks(&bench, 1).await;
                enqueue("a-b").await
            },
            async {
                waiting_for_locks(&bench, 2).await;
                third.rollback().await;
            }
        );
        let answers: Vec<bool> = first.unwrap().iter().map(|answer| answer.is_inserted()).collect();
        // The second time they are there.
        let new = !in_transactions;
        assert_eq!(answers, [new, true, new, true, new], "in the order of the jobs");
        assert_eq!(
            second.unwrap().iter().map(|answer| answer.is_inserted()).collect::<Vec<_>>(),
            [false, true, false]
        );
    }
}

#[tokio::test]
async fn jobs_that_are_enqueued_one_by_one_at_once_each_have_their_answer() {
    let bench = bench().await;
    let others = crate::support::tenant();
    let producers = [bench.queues.tenant(&bench.tenant), bench.queues.tenant(&others)];
    let one = async |n: i64| {
        let producer = &producers[n as usize % 2];
        (n, producer.enqueue(Note { n }).await.unwrap())
    };
    let answers = futures_util::future::join_all((0..300).map(one)).await;
    assert_eq!(bench.backlog().await.ready, 300);
    for (n, answer) in answers {
        assert!(answer.is_inserted());
        let job = bench.job(answer.job_id()).await;
        let tenant = if n % 2 == 0 { &bench.tenant } else { &others };
        assert_eq!(job.tenant, tenant.context().tenant());
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nobody_elses_job_along() {
    let bench = bench().await;
    let producer = bench.queues.tenant(&bench.tenant);
    for round in 0..20 {
        let (mut impatient, mut patient) = (Vec::new(), Vec::new());
        for n in 0..10 {
            impatient.push(Box::pin(producer.enqueue(Note { n })));
            patient.push(producer.enqueue(Note { n }));
        }
        // They have begun, and some of them lead.
        for one in &mut impatient {
            assert!(futures_util::poll!(one).is_pending());
        }
        let all = futures_util::future::join_all(patient);
        let leave = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            drop(impatient);
        };
        let (answers, ()) = futures_util::join!(all, leave);
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_inserted()));
    }
    assert!(bench.backlog().await.ready >= 200);
}

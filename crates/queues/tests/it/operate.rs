//! What operators do, while workers work.

use std::time::{Duration, Instant};

use shared_core::InTenant;
use shared_queues::{Cancelled, DeadFilter, JobFilter, Limit, Reason, ScheduleEdit, State};

use crate::support::{Act, Note, bench, config, everywhere, gated, probe, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_looked_through_and_brought_back() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..30).await;
        let failing = bench.worker(&probe(Act::Fail), config()).await;
        bench.settle().await;
        failing.stop(Duration::from_secs(5)).await;
        let exhausted = DeadFilter::new().name("test:note").reason(Reason::Exhausted);
        let letters = bench.queues.dead_letters(&exhausted, 100).await.unwrap();
        assert_eq!(letters.len(), 30);
        assert!(
            letters
                .iter()
                .all(|letter| letter.attempts == 3 && letter.tenant == bench.tenant.context().tenant())
        );
        assert_eq!(bench.queues.dead_letters(&exhausted.clone().queue("bulk"), 100).await.unwrap(), []);

        assert_eq!(bench.queues.discard(exhausted.clone(), 5).await.unwrap(), 5);
        let start = Instant::now();
        let back = bench.queues.redrive(exhausted).at_rate(20).await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1), "twenty at once, and the others a second later");
        assert_eq!(back.len(), 25);
        let probe = probe(Act::Write);
        let working = bench.worker(&probe, config()).await;
        bench.settle().await;
        working.stop(Duration::from_secs(5)).await;
        assert!(probe.runs().iter().all(|run| run.attempt == 1), "all attempts are before them again");
        let mut done: Vec<_> = probe.runs().iter().map(|run| run.job).collect();
        let mut expected = back.clone();
        done.sort_unstable();
        expected.sort_unstable();
        assert_eq!(done, expected);
        assert_eq!(bench.dead_letters().await, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_paused_and_limited_under_its_workers() {
    everywhere(async |bench| {
        let queue = bench.queues.queue("default");
        queue.pause().await.unwrap();
        let jobs = [bench.enqueue(Note { n: 1 }).await, bench.enqueue(Note { n: 2 }).await];
        let probe = gated(Act::Write);
        let worker = bench.worker(&probe, config()).await;
        let status = queue.status().await.unwrap().unwrap();
        assert!(status.paused && status.ready == 2 && status.running == 0);
        assert_eq!(bench.queues.cancel(jobs[1]).await.unwrap(), Cancelled::Removed);
        assert_eq!(bench.queues.job(jobs[1]).await.unwrap(), None);

        queue.limit(Some(Limit::concurrency(1))).await.unwrap();
        let third = bench.enqueue(Note { n: 3 }).await;
        queue.resume().await.unwrap();
        probe.started(1).await;
        let running = JobFilter::new().state(State::Running);
        assert_eq!(bench.queues.search(&running, 10).await.unwrap()[0].job_id, jobs[0]);
        assert_eq!(bench.job(third).await.state, State::Ready);
        let limits = bench.queues.limits(None, 10).await.unwrap();
        assert!(limits.iter().any(|limit| limit.of_queue && limit.name == "default" && limit.running == 1));
        queue.limit(None).await.unwrap();
        until("the third runs beside the first", async || probe.runs().len() == 2).await;
        probe.open();
        bench.settle().await;
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

/// Postgres stores no NUL in a text and can't be asked for one, so nothing has such a name: that is the answer, on every backend.
#[tokio::test]
async fn a_name_that_nothing_can_have_is_not_there() {
    everywhere(async |bench| {
        let (queues, nul) = (&bench.queues, "a\0b");
        bench.enqueue(Note { n: 1 }).await;
        for filter in [JobFilter::new().queue(nul), JobFilter::new().name(nul)] {
            assert_eq!(queues.search(&filter, 10).await.unwrap(), []);
        }
        for filter in [DeadFilter::new().queue(nul), DeadFilter::new().name(nul)] {
            assert_eq!(queues.dead_letters(&filter, 10).await.unwrap(), []);
            assert_eq!(queues.redrive(filter.clone()).await.unwrap(), []);
            assert_eq!(queues.discard(filter, 10).await.unwrap(), 0);
        }
        let schedules = queues.schedules();
        assert_eq!(schedules.list(Some(nul)).await.unwrap(), []);
        for (queue, name) in [(nul, "nightly"), ("default", nul)] {
            assert!(!schedules.pause(queue, name).await.unwrap());
            assert!(!schedules.resume(queue, name).await.unwrap());
            assert!(!schedules.remove(queue, name).await.unwrap());
            assert_eq!(schedules.edit(queue, name, ScheduleEdit::new()).await.unwrap(), None);
        }
        assert_eq!(queues.queue(nul).status().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..5).await;
        let all = bench.queues.search(&JobFilter::new(), 10).await.unwrap();
        let first = bench.queues.search(&JobFilter::new(), 3).await.unwrap();
        let rest = JobFilter::new().after(first[2].job_id);
        assert_eq!([first, bench.queues.search(&rest, 3).await.unwrap()].concat(), all);

        let failing = bench.worker(&probe(Act::Die), config()).await;
        bench.settle().await;
        failing.stop(Duration::from_secs(5)).await;
        let all = bench.queues.dead_letters(&DeadFilter::new(), 10).await.unwrap();
        let first = bench.queues.dead_letters(&DeadFilter::new(), 3).await.unwrap();
        let rest = DeadFilter::new().after(&first[2]);
        assert_eq!([first, bench.queues.dead_letters(&rest, 3).await.unwrap()].concat(), all);
        assert_eq!(all.len(), 5);
    })
    .await;
}

/// Postgres goes from tenant to tenant, and not for ever.
#[tokio::test]
async fn who_comes_behind_ten_thousand_paused_tenants_has_a_turn() {
    let bench = bench().await;
    let (admin, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    let _driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let paused = "
        with paused as materialized (select lpad(to_hex(n), 32, '0')::uuid as id, n from generate_series(1, 10100) n),
             share as (insert into shared_queues.share (queue, tenant_id, paused) select 'default', id, true from paused)
        insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
        select 'default', 1, id, n, gen_random_uuid() from paused";
    admin.batch_execute(paused).await.unwrap();
    bench.enqueue(Note { n: 1 }).await;
    let probe = probe(Act::Write);
    let _worker = bench.worker(&probe, config()).await;
    probe.started(1).await;
}

/// Postgres looks for a job in one table after the other, and meanwhile it may go from one behind to one in front.
#[tokio::test]
async fn a_job_that_is_brought_back_while_somebody_looks_for_it_is_found() {
    let bench = bench().await;
    let job = bench.enqueue(Note { n: 1 }).await;
    let failing = bench.worker(&probe(Act::Die), config()).await;
    bench.settle().await;
    failing.stop(Duration::from_secs(5)).await;

    let (admin, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    let _driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    admin.batch_execute("begin; lock shared_queues.dead").await.unwrap();
    let bring_back = async {
        // It is not among those that live, and now it is looked for among the dead.
        until("somebody looks for it", async || {
            let waiting = "select count(*) from pg_locks where relation = 'shared_queues.dead'::regclass and not granted
                            and database = (select oid from pg_database where datname = current_database())";
            admin.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        let bring_back = "
            with back as (delete from shared_queues.dead returning job_id, tenant_id, queue, name, version, payload, context, band, enqueued_at),
                 body as (
                     insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, enqueued_at, due_at)
                     select job_id, 1, tenant_id, queue, name, version, payload, context, band, enqueued_at, now() from back)
            insert into shared_queues.ready (queue, band, tenant_id, position, job_id) select queue, band, tenant_id, 1, job_id from back;
            commit";
        admin.batch_execute(bring_back).await.unwrap();
    };
    let (found, ()) = futures_util::future::join(bench.queues.job(job), bring_back).await;
    assert_eq!(found.unwrap().map(|job| job.state), Some(State::Ready));
}

use time::OffsetDateTime;

use super::*;
use crate::backend::{DeadFilter, JobFilter, Schedules, StoredSchedule};
use crate::dead::Reason;
use crate::limit::Limit;
use crate::schedule::MissedRuns;

fn same(rig: &Rig, unique: Unique, payload: &str) -> Entry {
    Entry { unique: Some(unique), ..rig.entry(payload) }
}

async fn answers(rig: &Rig, entries: Vec<Entry>) -> Vec<Enqueued> {
    rig.backend.enqueue(entries).await.unwrap()
}

#[tokio::test]
async fn the_same_job_is_one_job_while_it_lives() {
    let mut rig = Rig::new().await;
    let unique = || Unique::existing("k");
    let batch = answers(&rig, vec![same(&rig, unique(), "1"), same(&rig, unique(), "2")]).await;
    let job = batch[0].job_id();
    assert_eq!(batch, [Enqueued::Inserted(job), Enqueued::Existing(job)]);
    assert_eq!(rig.claim(9).await.len(), 1);
    assert_eq!(answers(&rig, vec![same(&rig, unique(), "3")]).await, [Enqueued::Existing(job)]);
    assert!(rig.settle(job, done()).await);
    assert!(answers(&rig, vec![same(&rig, unique(), "4")]).await[0].is_inserted());
    let throttled = || Unique::throttle("t", HOUR);
    let first = answers(&rig, vec![same(&rig, throttled(), "5")]).await[0].job_id();
    assert_eq!(rig.backend.cancel(first).await.unwrap(), crate::Cancelled::Removed);
    assert_eq!(answers(&rig, vec![same(&rig, throttled(), "6")]).await, [Enqueued::Existing(first)]);
}

#[tokio::test]
async fn a_debounced_job_has_the_last_payload_and_begins_its_delay_anew() {
    let mut rig = Rig::new().await;
    let entry = |payload: &str, delay| Entry { delay, ..same(&rig, Unique::debounce("k"), payload) };
    let first = answers(&rig, vec![entry("1", HOUR)]).await[0].job_id();
    assert_eq!(answers(&rig, vec![entry("2", HOUR)]).await, [Enqueued::Replaced(first)]);
    assert_eq!(rig.state(first).await, Some(State::Scheduled));
    assert_eq!(answers(&rig, vec![entry("3", Duration::ZERO)]).await, [Enqueued::Replaced(first)]);
    assert_eq!(rig.state(first).await, Some(State::Ready));
    assert_eq!(answers(&rig, vec![entry("4", HOUR)]).await, [Enqueued::Replaced(first)]);
    assert_eq!(rig.state(first).await, Some(State::Scheduled));
    let last = entry("5", Duration::ZERO);
    assert_eq!(answers(&rig, vec![last]).await, [Enqueued::Replaced(first)]);
    let after = same(&rig, Unique::debounce("k"), "6");
    assert_eq!(rig.next(9).await, ["5"]);
    assert!(answers(&rig, vec![after]).await[0].is_inserted(), "it runs already");
}

#[tokio::test]
async fn the_latest_waits_while_one_runs() {
    let mut rig = Rig::new().await;
    let entry = |payload: &str| Entry {
        order: Some("unique:test:job:k".to_owned()),
        ..same(&rig, Unique::keep_latest("k"), payload)
    };
    let (first, more) = (entry("1"), [entry("2"), entry("3")]);
    let first = answers(&rig, vec![first]).await[0].job_id();
    assert_eq!(rig.next(9).await, ["1"]);
    let answers = answers(&rig, more.to_vec()).await;
    let second = answers[0].job_id();
    assert_eq!(answers, [Enqueued::Inserted(second), Enqueued::Replaced(second)]);
    assert!(rig.next(9).await.is_empty());
    rig.claims -= 1;
    assert!(rig.settle(first, done()).await);
    assert_eq!(rig.next(9).await, ["3"]);
}

#[tokio::test]
async fn paused_is_paused_for_a_queue_and_for_a_tenant() {
    let mut rig = Rig::new().await;
    let other = TenantId::new();
    let lane = Entry { order: Some("k".to_owned()), ..rig.entry("lane") };
    rig.put([rig.entry("mine"), Entry { tenant: other, ..rig.entry("other") }, lane]).await;
    rig.backend.set_paused("a", None, true).await.unwrap();
    assert!(rig.next(9).await.is_empty());
    rig.backend.set_paused("a", None, false).await.unwrap();
    rig.backend.set_paused("a", Some(rig.tenant), true).await.unwrap();
    assert_eq!(rig.next(9).await, ["other"]);
    rig.put([rig.entry("more")]).await;
    assert!(rig.next(9).await.is_empty());
    assert_eq!(rig.backend.queues().await.unwrap()[0].ready, 2);
    rig.backend.set_paused("a", Some(rig.tenant), false).await.unwrap();
    assert_eq!(rig.next(9).await, ["mine", "lane", "more"]);
}

#[tokio::test]
async fn a_queue_has_a_limit_of_its_own() {
    let mut rig = Rig::new().await;
    rig.put_named(&["1", "2", "3", "4"]).await;
    let limit = Limit::rate(3, HOUR).and_concurrency(2);
    rig.backend.set_queue_limit("a", Some(limit)).await.unwrap();
    let jobs = rig.claim(9).await;
    assert_eq!(jobs.len(), 2);
    assert!(rig.settle(jobs[0].job, done()).await);
    assert_eq!(rig.next(9).await.len(), 1, "one place, and the last token");
    rig.backend.retire(rig.worker, &queues()).await.unwrap();
    rig.restart().await;
    assert!(rig.next(9).await.is_empty());
    let status = rig.backend.limits(None, 9).await.unwrap().remove(0);
    assert_eq!((status.of_queue, &*status.name, status.limit), (true, "a", Some(limit)));
    rig.backend.set_queue_limit("a", None).await.unwrap();
    assert_eq!(rig.next(9).await.len(), 3);
}

#[tokio::test]
async fn dead_letters_are_found_and_live_again_elsewhere() {
    let mut rig = Rig::new().await;
    let jobs = rig.put_named(&["1", "2", "3"]).await;
    rig.claim(9).await;
    for (job, reason) in jobs.iter().zip([Reason::Failed, Reason::Exhausted, Reason::Unreadable]) {
        assert!(rig.settle(*job, Fate::Dead(reason, format!("{reason}"))).await);
    }
    let all = rig.backend.dead(&DeadFilter::default(), 9).await.unwrap();
    assert_eq!(all.iter().map(|letter| letter.job_id).collect::<Vec<_>>(), [jobs[2], jobs[1], jobs[0]]);
    assert_eq!((all[0].attempts, all[1].attempts, &*all[1].error), (0, 1, "exhausted"));
    let failed = DeadFilter { reason: Some(Reason::Failed), ..DeadFilter::default() };
    assert_eq!(rig.backend.redrive(&failed, Some("b"), 9).await.unwrap(), [jobs[0]]);
    assert_eq!(rig.claim_from("b", 9).await[0].payload, "1");
    assert_eq!(rig.backend.redrive(&DeadFilter::default(), None, 1).await.unwrap(), [jobs[1]]);
    let again = rig.claim(9).await;
    assert_eq!((again[0].job, again[0].attempts), (jobs[1], 0));
    assert_eq!(rig.backend.discard(&DeadFilter::default(), 9).await.unwrap(), 1);
    assert_eq!(rig.state(jobs[2]).await, None);
}

#[tokio::test]
async fn jobs_are_found_by_what_they_are() {
    let mut rig = Rig::new().await;
    let ready = rig.put_named(&["1", "2"]).await;
    let later = rig.put([Entry { delay: HOUR, ..rig.entry("later") }]).await;
    let lane = Entry { order: Some("k".to_owned()), queue: "b".into(), ..rig.entry("lane") };
    let waiting = rig.put([lane]).await;
    rig.claim(1).await;
    let found = async |filter: JobFilter| -> Vec<JobId> {
        rig.backend.search(&filter, 9).await.unwrap().into_iter().map(|view| view.job_id).collect()
    };
    let of = |state| JobFilter { state: Some(state), ..JobFilter::default() };
    assert_eq!(found(JobFilter::default()).await, [waiting[0], later[0], ready[1], ready[0]]);
    assert_eq!(found(of(State::Running)).await, [ready[0]]);
    assert_eq!(found(of(State::Ready)).await, [ready[1]]);
    assert_eq!(found(of(State::Scheduled)).await, later);
    assert_eq!(found(of(State::Waiting)).await, waiting);
    assert_eq!(found(JobFilter { queue: Some("b".to_owned()), ..JobFilter::default() }).await, waiting);
    assert!(found(JobFilter { tenant: Some(TenantId::new()), ..JobFilter::default() }).await.is_empty());
}

#[tokio::test]
async fn a_slot_is_fired_by_one() {
    let rig = Rig::new().await;
    let slot = OffsetDateTime::from_unix_timestamp(1_000_000).unwrap();
    let schedule = StoredSchedule {
        name: "nightly".to_owned(),
        cron: "0 3 * * *".to_owned(),
        zone: "Europe/Zurich".to_owned(),
        missed: MissedRuns::Each,
        paused: false,
        entry: Entry {
            job: JobId::from_uuid(Uuid::nil()),
            limits: vec![LimitKey::by("host", "x")],
            ..same(&rig, Unique::throttle("k", HOUR), "1")
        },
        next: slot,
    };
    rig.backend.put_schedule(&schedule).await.unwrap();
    assert_eq!(rig.backend.schedules(None).await.unwrap(), std::slice::from_ref(&schedule));
    let (now, due) = rig.backend.due_schedules("a").await.unwrap();
    assert_eq!(due, std::slice::from_ref(&schedule));
    let next = now + HOUR;
    let racers = (0..16).map(|_| rig.backend.fire(&schedule, slot, next, vec![rig.entry("fired")]));
    let fired = futures_util::future::try_join_all(racers).await.unwrap();
    assert_eq!(fired.iter().filter(|fired| fired.is_some()).count(), 1);
    assert_eq!(rig.backend.queues().await.unwrap()[0].ready, 1);
    assert!(rig.backend.due_schedules("a").await.unwrap().1.is_empty());
    rig.backend.put_schedule(&schedule).await.unwrap();
    assert!(rig.backend.due_schedules("a").await.unwrap().1.is_empty(), "it keeps its next slot");
    assert!(rig.backend.set_schedule_paused("a", "nightly", true).await.unwrap());
    assert!(rig.backend.schedules(Some("a")).await.unwrap()[0].paused);
    assert!(rig.backend.remove_schedule("a", "nightly").await.unwrap());
    assert!(!rig.backend.remove_schedule("a", "nightly").await.unwrap());
}

#[tokio::test]
async fn a_worker_that_waits_is_woken() {
    let mut rig = Rig::new().await;
    rig.put_named(&["1"]).await;
    // The marker of the first job, which nobody waited for.
    rig.backend.wait(&queues(), LONG).await;
    assert_eq!(rig.next(1).await, ["1"]);
    rig.backend.wait(&queues(), Duration::from_millis(200)).await;
    let woken = async {
        rig.backend.wait(&queues(), LONG).await;
    };
    tokio::join!(woken, rig.put_named(&["2"]));
    assert_eq!(rig.next(1).await, ["2"]);
}

/// The marker lies in the server, so it does not matter who leaves it.
#[tokio::test]
async fn a_worker_that_waits_hears_of_what_others_bring_back() {
    let mut rig = Rig::new().await;
    let prefix = rig._database.as_ref().unwrap().prefix().to_owned();
    let elsewhere = RedisBackend::new(&rig.redis, &prefix);
    let job = rig.put_named(&["1"]).await.remove(0);
    rig.claim(1).await;
    assert!(rig.settle(job, Fate::Dead(Reason::Failed, "no".to_owned())).await);
    let wait = async || {
        let (queues, patience) = (queues(), Duration::from_secs(30));
        tokio::time::timeout(patience, rig.backend.wait(&queues, LONG)).await.unwrap();
    };
    wait().await; // for the marker of the job, which nobody heard
    tokio::join!(wait(), async { elsewhere.set_paused("a", None, false).await.unwrap() });
    tokio::join!(wait(), async { elsewhere.set_paused("a", Some(rig.tenant), false).await.unwrap() });
    tokio::join!(wait(), async {
        assert_eq!(elsewhere.redrive(&DeadFilter::default(), None, 9).await.unwrap(), [job]);
    });
}

/// A worker that has just worked looks again soon, in pauses that are shorter than a server's own. It hears of jobs in them too.
#[tokio::test]
async fn a_short_wait_listens_too() {
    let rig = Rig::new().await;
    rig.put_named(&["1"]).await;
    rig.backend.wait(&queues(), Duration::from_millis(10)).await;
    let marker = shared_db::redis::cmd("EXISTS").arg(rig.backend.keys.wake("a")).to_owned();
    let mut connection = rig.redis.get().await.unwrap();
    assert!(!connection.command::<bool>(&marker).await.unwrap(), "the marker was heard");
}

/// Queues, limits and the registry lie on several nodes.
#[tokio::test]
async fn everything_goes_in_a_cluster_too() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    let redis = connect(&cluster).await;
    let mut rig = Rig::on(redis, "cluster").await;
    rig.backend.set_limit("host", None, Some(Limit::concurrency(2))).await.unwrap();
    for queue in ["a", "b"] {
        let entry = |at: i32| Entry {
            queue: queue.into(),
            limits: vec![LimitKey::by("host", format!("{at}"))],
            ..rig.entry("x")
        };
        rig.put((0..20).map(|at| entry(at % 5))).await;
        assert_eq!(rig.claim_from(queue, 50).await.len(), if queue == "a" { 10 } else { 0 });
    }
    rig.put_named(&["plain"]).await;
    tokio::time::timeout(LONG, rig.backend.wait(&queues(), LONG)).await.unwrap();
    let job = rig.claim(1).await.remove(0);
    assert!(rig.settle(job.job, Fate::Dead(Reason::Failed, "no".to_owned())).await);
    assert_eq!(rig.backend.redrive(&DeadFilter::default(), Some("b"), 1).await.unwrap(), [job.job]);
    assert_eq!(rig.claim_from("b", 1).await[0].job, job.job);
    assert_eq!(rig.backend.queues().await.unwrap().iter().map(|queue| queue.running).sum::<u64>(), 11);
    assert_eq!(rig.backend.retire(rig.worker, &queues()).await.unwrap(), 11);
}

/// As after a failover to a server that had nothing yet.
#[tokio::test]
async fn a_server_that_forgot_the_queues_learns_of_those_in_use() {
    let mut rig = Rig::new().await;
    rig.backend.registered_for = Duration::ZERO;
    rig.put_named(&["1"]).await;
    let forget = async |rig: &Rig| {
        let _: i64 = rig.redis.command(cmd("DEL").arg(rig.backend.keys.registry())).await.unwrap();
        assert!(rig.backend.queues().await.unwrap().is_empty());
    };
    forget(&rig).await;
    rig.put_named(&["2"]).await;
    let names = async |rig: &Rig| -> Vec<String> {
        rig.backend.queues().await.unwrap().into_iter().map(|status| status.queue).collect()
    };
    assert_eq!(names(&rig).await, ["a"], "by whoever enqueues");
    forget(&rig).await;
    rig.backend.promote("b").await.unwrap();
    assert_eq!(names(&rig).await, ["b"], "by a worker, each time that it looks at what is due");

    // Each of them has to say so only now and then.
    rig.backend.registered_for = super::super::REGISTERED_FOR;
    forget(&rig).await;
    rig.backend.promote("b").await.unwrap();
    assert!(rig.backend.queues().await.unwrap().is_empty());
}

/// As a Redis leaves it that carried out a part of a script: `Queues::redis` says when.
#[tokio::test]
async fn a_count_below_none_is_none() {
    let rig = Rig::new().await;
    rig.put_named(&["1"]).await;
    let settings = format!("{}:settings", rig.backend.keys.queue("a"));
    let _: i64 = rig.redis.command(cmd("HINCRBY").arg(settings).arg("waiting").arg(-1)).await.unwrap();
    let status = rig.backend.queues().await.unwrap().into_iter().find(|status| status.queue == "a").unwrap();
    assert_eq!((status.ready, status.waiting), (1, 0));
}

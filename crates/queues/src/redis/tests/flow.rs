use shared_db::redis::Script;

use super::*;
use crate::Progress;
use crate::backend::DeadFilter;
use crate::dead::Reason;

#[tokio::test]
async fn jobs_are_claimed_in_order_under_a_fence_and_settled_once() {
    let mut rig = Rig::new().await;
    let jobs = rig.put_named(&["1", "2", "3"]).await;
    let claimed = rig.claim(2).await;
    assert_eq!(claimed.iter().map(|job| job.job).collect::<Vec<_>>(), jobs[..2]);
    assert_eq!((claimed[0].tenant, &*claimed[0].name, &*claimed[0].context), (rig.tenant, "test:job", "{}"));
    assert_eq!(rig.state(jobs[0]).await, Some(State::Running));
    assert_eq!(rig.state(jobs[2]).await, Some(State::Ready));
    assert!(!rig.settle_in("a", 7, jobs[0], done()).await, "another claim's fence");
    let twice: Vec<_> = (0..2).map(|_| Settled::new(rig.claims, jobs[0], done())).collect();
    assert_eq!(rig.backend.settle(rig.worker, "a", &twice).await.unwrap(), [jobs[0]]);
    assert!(rig.settle(jobs[1], done()).await);
    assert!(!rig.settle(jobs[1], done()).await);
    assert_eq!(rig.state(jobs[1]).await, None);
    let status = rig.backend.queues().await.unwrap().remove(0);
    assert_eq!((status.ready, status.running, status.oldest.is_some()), (1, 0, true));
}

#[tokio::test]
async fn a_batch_of_any_size_goes_in_and_comes_out() {
    let mut rig = Rig::new().await;
    let jobs = rig.put((0..700).map(|at| rig.entry(&at.to_string()))).await;
    let claimed: Vec<JobId> = rig.claim(600).await.into_iter().map(|job| job.job).collect();
    assert_eq!(claimed, jobs[..600]);
    let all: Vec<_> = claimed.iter().map(|job| Settled::new(rig.claims, *job, done())).collect();
    assert!(rig.backend.settle(rig.worker, "a", &all).await.unwrap().is_empty());
    assert_eq!(rig.claim(600).await.len(), 100);
}

#[tokio::test]
async fn urgent_jobs_come_first_and_now_and_then_the_others() {
    let mut rig = Rig::new().await;
    for (name, priority) in [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)] {
        rig.put([Entry { priority, ..rig.entry(name) }]).await;
    }
    assert_eq!(rig.next(1).await, ["high"]);
    let sixteenth = Claim { queue: "a", most: 1, worker: rig.worker, number: 16 };
    assert_eq!(rig.backend.claim(sixteenth).await.unwrap()[0].payload, "low");
    assert_eq!(rig.next(1).await, ["normal"]);
}

#[tokio::test]
async fn tenants_take_turns_by_weight() {
    let mut rig = Rig::new().await;
    let (heavy, light) = (TenantId::new(), TenantId::new());
    for tenant in [heavy, light] {
        rig.put((0..40).map(|_| Entry { tenant, ..rig.entry("x") })).await;
    }
    rig.backend.set_weight("a", heavy, 3).await.unwrap();
    let mut shares = (0, 0);
    for most in [1, 2, 3, 5, 1, 8] {
        for job in rig.claim(most).await {
            if job.tenant == heavy { shares.0 += 1 } else { shares.1 += 1 }
        }
    }
    assert_eq!(shares, (15, 5));
}

#[tokio::test]
async fn what_comes_back_has_its_old_place() {
    let mut rig = Rig::new().await;
    let jobs = rig.put_named(&["1", "2", "3", "4"]).await;
    assert_eq!(rig.next(3).await, ["1", "2", "3"]);
    assert!(rig.settle(jobs[0], retry(Duration::ZERO)).await);
    assert_eq!(rig.state(jobs[0]).await, Some(State::Scheduled));
    assert_eq!(rig.backend.give_back(rig.worker, "a", &[rig.claims]).await.unwrap(), 2);
    assert!(!rig.backend.promote("a").await.unwrap());
    let claimed = rig.claim(9).await;
    assert_eq!(claimed.iter().map(|job| &*job.payload).collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    assert_eq!(claimed.iter().map(|job| job.attempts).collect::<Vec<_>>(), [1, 0, 0, 0]);
    let view = rig.backend.job(jobs[0]).await.unwrap().unwrap();
    assert_eq!((view.error.as_deref(), view.attempts), (Some("not today"), 1));
}

#[tokio::test]
async fn a_silent_worker_loses_its_jobs_and_some_of_them_die() {
    let mut rig = Rig::new().await;
    let jobs = rig.put((0..600).map(|_| rig.entry("x"))).await;
    assert_eq!(rig.claim(600).await.len(), 600);
    let (lost, claims) = (rig.worker, rig.claims);
    rig.let_lease_end().await;
    let swept = rig.backend.sweep(&queues(), 2).await.unwrap();
    assert_eq!((swept.expired, swept.rescued, swept.dead), (1, 600, 0));
    assert!(!rig.settle_in("a", claims, jobs[0], done()).await);
    assert!(rig.claim(1).await.is_empty(), "it may not claim either");
    assert!(!rig.backend.renew(lost, &queues(), LONG, &[]).await.unwrap());
    rig.restart().await;
    assert_eq!(rig.claim(2).await[0].job, jobs[0]);
    rig.let_lease_end().await;
    let swept = rig.backend.sweep(&queues(), 2).await.unwrap();
    assert_eq!((swept.rescued, swept.dead), (0, 2));
    let letters = rig.backend.dead(&DeadFilter::default(), 10).await.unwrap();
    assert_eq!((letters[0].reason, letters[0].crashes, letters[0].attempts), (Reason::Crashed, 2, 0));
}

#[tokio::test]
async fn what_was_taken_over_counts_though_another_queue_fails() {
    let mut rig = Rig::new().await;
    rig.put_named(&["1", "2"]).await;
    assert_eq!(rig.claim(2).await.len(), 2);
    rig.let_lease_end().await;
    let workers = format!("{}:workers", rig.backend.keys.queue("b"));
    let _: () = rig.redis.command(cmd("SET").arg(workers).arg("of another type")).await.unwrap();
    let swept = rig.backend.sweep(&queues(), 2).await.unwrap();
    assert_eq!((swept.expired, swept.rescued), (1, 2));
    assert!(rig.backend.sweep(&queues(), 2).await.is_err(), "there is nothing else to tell");
}

#[tokio::test]
async fn who_retires_gives_everything_back_and_nothing_is_counted() {
    let mut rig = Rig::new().await;
    rig.put((0..300).map(|at| rig.entry(&at.to_string()))).await;
    rig.claim(300).await;
    assert_eq!(rig.backend.retire(rig.worker, &queues()).await.unwrap(), 300);
    assert_eq!(rig.backend.retire(rig.worker, &queues()).await.unwrap(), 0);
    assert!(rig.claim(1).await.is_empty());
    rig.restart().await;
    assert_eq!(rig.next(2).await, ["0", "1"]);
    assert_eq!(rig.backend.sweep(&queues(), 1).await.unwrap().dead, 0);
}

#[tokio::test]
async fn a_result_is_remembered_for_as_long_as_it_should() {
    let mut rig = Rig::new().await;
    let jobs = rig.put_named(&["1", "2"]).await;
    rig.claim(2).await;
    let result = |keep| Fate::Completed { result: Some("[7]".to_owned()), keep };
    assert!(rig.settle(jobs[0], result(HOUR)).await);
    assert!(rig.settle(jobs[1], result(Duration::from_millis(1))).await);
    let view = rig.backend.job(jobs[0]).await.unwrap().unwrap();
    assert_eq!((view.state, view.result.as_deref()), (State::Completed, Some("[7]")));
    while rig.state(jobs[1]).await.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.backend.prune(&queues(), KEEPS).await.unwrap(), (1, false));
    assert!(rig.state(jobs[0]).await.is_some());
}

#[tokio::test]
async fn progress_and_a_wish_to_cancel_reach_the_other_side() {
    let mut rig = Rig::new().await;
    let jobs = rig.put_named(&["1", "2"]).await;
    rig.claim(1).await;
    let half = Progress::new(0.5, "half of it");
    assert!(rig.backend.renew(rig.worker, &queues(), LONG, &[(jobs[0], half.clone())]).await.unwrap());
    assert_eq!(rig.backend.job(jobs[0]).await.unwrap().unwrap().progress, Some(half));
    assert_eq!(rig.backend.cancel(jobs[0]).await.unwrap(), crate::Cancelled::Asked);
    assert_eq!(rig.backend.cancel(jobs[1]).await.unwrap(), crate::Cancelled::Removed);
    assert_eq!(rig.backend.cancel(jobs[1]).await.unwrap(), crate::Cancelled::NotFound);
    assert_eq!(rig.backend.to_cancel(rig.worker, &queues()).await.unwrap(), [jobs[0]]);
    assert!(rig.settle(jobs[0], Fate::Cancelled { keep: HOUR }).await);
    assert!(rig.backend.to_cancel(rig.worker, &queues()).await.unwrap().is_empty());
    assert_eq!(rig.state(jobs[0]).await, Some(State::Cancelled));
    assert!(rig.claim(5).await.is_empty(), "what was removed is not claimed");
    assert!(rig.backend.queues().await.unwrap()[0].ready == 0);
}

/// What carries it may die before it knows that it arrived, and the job may have ended by then.
#[tokio::test]
async fn a_job_out_of_an_outbox_that_has_ended_does_not_come_back() {
    let mut rig = Rig::new().await;
    let entry = rig.entry("once");
    let bring = async |rig: &Rig, remember| rig.backend.enqueue_once(entry.clone(), remember).await.unwrap();
    assert_eq!(bring(&rig, HOUR).await, Enqueued::Inserted(entry.job));
    let job = rig.claim(1).await[0].job;
    assert!(rig.settle(job, done()).await);
    assert_eq!(bring(&rig, HOUR).await, Enqueued::Existing(entry.job));
    assert!(rig.claim(1).await.is_empty());
    // It is forgotten in time, by the prune that forgets all marks.
    let other = rig.entry("forgotten");
    rig.backend.enqueue_once(other.clone(), Duration::ZERO).await.unwrap();
    assert_eq!(rig.next(1).await, ["forgotten"]);
    assert!(rig.settle(other.job, done()).await);
    assert_eq!(rig.backend.prune(&super::queues(), KEEPS).await.unwrap().0, 1);
}

/// Takes five jobs of a line, and tells how many, and how many bodies were read for that.
static TAKE_FIVE: Script = Script::new(
    "queues_take_five",
    concat!(
        include_str!("../common.lua"),
        include_str!("../lines.lua"),
        "local read_many, bodies = many, 0
        many = function(key, fields)
          if key == BODIES then bodies = bodies + #fields end
          return read_many(key, fields)
        end
        local jobs = take(K .. ':ready:' .. ARGV[1], 5)
        return { #jobs, bodies }"
    ),
);

/// They may have 64 KiB each.
#[tokio::test]
async fn no_more_bodies_are_read_than_jobs_are_taken() {
    for cancelled in [3, 299] {
        let mut rig = Rig::new().await;
        let jobs = rig.put((0..300).map(|at| rig.entry(&at.to_string()))).await;
        assert_eq!(rig.next(1).await, ["0"]);
        assert!(rig.settle(jobs[0], retry(Duration::ZERO)).await);
        assert!(!rig.backend.promote("a").await.unwrap());
        assert_eq!(rig.backend.cancel(jobs[cancelled]).await.unwrap(), crate::Cancelled::Removed);
        let line = [[1].as_slice(), rig.tenant.as_uuid().as_bytes()].concat();
        let taken: (u64, u64) = rig.backend.run(rig.backend.on(&TAKE_FIVE, "a").arg(line)).await.unwrap();
        assert_eq!(taken, (5, 5), "where number {cancelled} of 300 was cancelled");
    }
}

use super::*;
use crate::limit::Limit;

fn ordered(rig: &Rig, key: &str, payload: &str) -> Entry {
    Entry { order: Some(key.to_owned()), ..rig.entry(payload) }
}

fn limited(rig: &Rig, limit: LimitKey, payload: &str) -> Entry {
    Entry { limits: vec![limit], ..rig.entry(payload) }
}

#[tokio::test]
async fn jobs_of_a_key_run_one_after_the_other_also_when_one_is_tried_again() {
    let mut rig = Rig::new().await;
    let jobs = rig.put([ordered(&rig, "k", "1"), ordered(&rig, "k", "2"), ordered(&rig, "l", "3")]).await;
    assert_eq!(rig.next(9).await, ["1", "3"]);
    let claim = rig.claims;
    assert!(rig.next(9).await.is_empty());
    assert!(rig.settle_in("a", claim, jobs[0], retry(HOUR)).await);
    assert_eq!(rig.state(jobs[0]).await, Some(State::Waiting));
    assert!(rig.next(9).await.is_empty(), "the second one waits for the first");
    assert_eq!(rig.backend.cancel(jobs[0]).await.unwrap(), crate::Cancelled::Removed);
    assert_eq!(rig.next(9).await, ["2"]);
    assert!(rig.settle(jobs[1], retry(Duration::ZERO)).await);
    assert_eq!(rig.next(9).await, ["2"], "due at once");
}

#[tokio::test]
async fn a_key_keeps_its_order_when_a_worker_dies() {
    let mut rig = Rig::new().await;
    rig.put([ordered(&rig, "k", "1"), ordered(&rig, "k", "2")]).await;
    assert_eq!(rig.next(9).await, ["1"]);
    rig.let_lease_end().await;
    rig.backend.sweep(&queues(), 9).await.unwrap();
    rig.restart().await;
    assert_eq!(rig.next(9).await, ["1"]);
    let job = rig.backend.give_back(rig.worker, "a", &[rig.claims]).await.unwrap();
    assert_eq!((job, rig.next(9).await), (1, vec!["1".to_owned()]));
}

#[tokio::test]
async fn a_limit_that_nobody_set_limits_nothing_and_is_counted() {
    let mut rig = Rig::new().await;
    rig.put((0..3).map(|_| limited(&rig, LimitKey::by("host", "x"), "1"))).await;
    assert_eq!(rig.next(9).await.len(), 3);
    let limits = rig.backend.limits(None, 9).await.unwrap();
    assert_eq!((limits[0].running, limits[0].limit), (3, None));
}

#[tokio::test]
async fn so_many_at_once_and_a_place_that_is_given_back_is_used() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("host", None, Some(Limit::concurrency(2))).await.unwrap();
    let jobs = rig.put((0..5).map(|at| limited(&rig, LimitKey::by("host", "x"), &at.to_string()))).await;
    rig.put([limited(&rig, LimitKey::by("host", "y"), "y"), rig.entry("free")]).await;
    assert_eq!(rig.next(9).await, ["0", "1", "y", "free"]);
    assert_eq!(rig.state(jobs[2]).await, Some(State::Waiting));
    let first = rig.claims;
    assert!(rig.next(9).await.is_empty());
    assert!(rig.settle_in("a", first, jobs[0], done()).await);
    assert_eq!(rig.next(9).await, ["2"]);
    assert!(rig.settle_in("a", first, jobs[1], retry(HOUR)).await, "a retry gives its place back too");
    assert_eq!(rig.next(9).await, ["3"]);
    let host: Vec<_> = rig.backend.limits(None, 9).await.unwrap();
    let x = host.iter().find(|limit| limit.key.as_deref() == Some("x")).unwrap();
    assert_eq!((x.running, x.limit), (2, Some(Limit::concurrency(2))));
}

/// Else each claim would admit as many as it takes, and there would be some that hold places and do not run.
#[tokio::test]
async fn no_more_are_let_through_than_a_claim_takes() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("host", None, Some(Limit::concurrency(2))).await.unwrap();
    rig.put((0..60).map(|at| limited(&rig, LimitKey::by("host", (at % 30).to_string()), "x"))).await;
    for _ in 0..3 {
        assert_eq!(rig.claim(10).await.len(), 10);
        let status = rig.backend.queues().await.unwrap().remove(0);
        assert_eq!((status.ready, status.waiting + status.running), (0, 60));
    }
    // Where others are ready, they and those that are let through are taken together.
    rig.put_named(&["free", "free"]).await;
    assert_eq!(rig.claim(10).await.len(), 10);
    assert_eq!(rig.backend.queues().await.unwrap()[0].ready, 0);
}

#[tokio::test]
async fn a_limit_that_is_changed_holds_for_jobs_that_wait() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("host", None, Some(Limit::concurrency(1))).await.unwrap();
    rig.put((0..5).map(|at| limited(&rig, LimitKey::named("host"), &at.to_string()))).await;
    assert_eq!(rig.next(9).await, ["0"]);
    rig.backend.set_limit("host", None, Some(Limit::concurrency(3))).await.unwrap();
    assert_eq!(rig.next(9).await, ["1", "2"]);
    rig.backend.set_limit("host", None, None).await.unwrap();
    assert_eq!(rig.next(9).await, ["3", "4"]);
}

#[tokio::test]
async fn tokens_are_spent_once_and_flow_in_again() {
    let mut rig = Rig::new().await;
    let three_an_hour = Limit::rate(3, HOUR);
    rig.backend.set_limit("api", None, Some(three_an_hour)).await.unwrap();
    let jobs = rig.put((0..9).map(|at| limited(&rig, LimitKey::named("api"), &at.to_string()))).await;
    assert_eq!(rig.next(9).await.len(), 3);
    assert!(rig.settle(jobs[0], done()).await);
    assert!(rig.next(9).await.is_empty(), "a token does not come back");
    rig.backend.set_limit("api", None, Some(Limit::rate(1, Duration::from_millis(1)))).await.unwrap();
    while rig.next(1).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_held_limit_lets_nothing_pass_until_it_is_over() {
    let mut rig = Rig::new().await;
    rig.put([limited(&rig, LimitKey::by("host", "x"), "x"), limited(&rig, LimitKey::by("host", "y"), "y")])
        .await;
    rig.backend.hold("host", Some("x"), HOUR).await.unwrap();
    assert_eq!(rig.next(9).await, ["y"]);
    let limits = rig.backend.limits(None, 9).await.unwrap();
    assert!(limits.iter().any(|limit| limit.held_for.is_some_and(|left| left > LONG)));
    rig.backend.hold("host", Some("x"), Duration::ZERO).await.unwrap();
    assert_eq!(rig.next(9).await, ["x"]);
}

/// Each key that was ever held would stay in what every claim may read.
#[tokio::test]
async fn a_hold_that_is_over_is_pruned() {
    let rig = Rig::new().await;
    rig.backend.introduce("a", true).await.unwrap();
    for key in 0..300 {
        rig.backend.hold("host", Some(&key.to_string()), Duration::from_millis(1)).await.unwrap();
    }
    rig.backend.hold("host", Some("x"), HOUR).await.unwrap();
    let rules = cmd("HLEN").arg(format!("{}:rules", rig.backend.keys.queue("a"))).to_owned();
    while rig.redis.command::<u64>(&rules).await.unwrap() > 1 {
        assert_eq!(rig.backend.prune(&queues(), KEEPS).await.unwrap().0, 0);
    }
    assert!(rig.backend.limits(None, 9).await.unwrap()[0].held_for.is_some(), "the other one goes on");
}

#[tokio::test]
async fn a_job_passes_all_its_limits_or_none() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("one", None, Some(Limit::concurrency(1))).await.unwrap();
    rig.backend.set_limit("two", None, Some(Limit::concurrency(1))).await.unwrap();
    let both = |payload: &str| Entry {
        limits: vec![LimitKey::named("one"), LimitKey::named("two")],
        ..rig.entry(payload)
    };
    let jobs = rig
        .put([
            limited(&rig, LimitKey::named("two"), "two"),
            both("both"),
            limited(&rig, LimitKey::named("one"), "one"),
        ])
        .await;
    let mut first = rig.next(9).await;
    first.sort();
    assert_eq!(first, ["one", "two"], "`both` takes no place in `one` while `two` is full");
    let claim = rig.claims;
    assert!(rig.settle_in("a", claim, jobs[0], done()).await);
    assert!(rig.next(9).await.is_empty());
    assert!(rig.settle_in("a", claim, jobs[2], done()).await);
    assert_eq!(rig.next(9).await, ["both"]);
}

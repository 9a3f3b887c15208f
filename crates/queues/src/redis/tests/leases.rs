//! Limits that several queues share, and what a dead client leaves.

use super::super::codec;
use super::super::scripts::LEASE;
use super::*;
use crate::limit::Limit;

fn shared(rig: &Rig, queue: &'static str, payload: &str) -> Entry {
    Entry { queue: queue.into(), limits: vec![LimitKey::named("shared")], ..rig.entry(payload) }
}

/// Neither queue is ever empty, and each is served after the other.
#[tokio::test]
async fn two_queues_share_a_limit_and_none_is_left_out() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("shared", None, Some(Limit::concurrency(1))).await.unwrap();
    rig.put([shared(&rig, "a", "x"), shared(&rig, "b", "x")]).await;
    let (mut turns, mut last) = (0, "");
    while turns < 3 {
        let mut running = Vec::new();
        for queue in ["a", "b"] {
            let some = rig.claim_from(queue, 9).await;
            running.extend(some.into_iter().map(|job| (queue, rig.claims, job.job)));
            rig.backend.promote(queue).await.unwrap();
        }
        assert!(running.len() <= 1, "one at once, over both queues");
        for (queue, claim, job) in running {
            turns += usize::from(queue != last);
            last = queue;
            rig.put([shared(&rig, queue, "x")]).await;
            assert!(rig.settle_in(queue, claim, job, done()).await);
        }
    }
}

#[tokio::test]
async fn many_claims_at_once_stay_within_a_shared_limit() {
    let rig = Rig::new().await;
    rig.backend.set_limit("shared", None, Some(Limit::concurrency(5))).await.unwrap();
    for queue in ["a", "b"] {
        rig.put((0..50).map(|_| shared(&rig, queue, "x"))).await;
    }
    let claims = (1..=14).map(|number| {
        let queue = if number % 2 == 0 { "a" } else { "b" };
        rig.backend.claim(Claim { queue, most: 10, worker: rig.worker, number })
    });
    let claimed: Vec<_> = futures_util::future::try_join_all(claims).await.unwrap();
    let most: usize = claimed.iter().map(Vec::len).sum();
    assert!((1..=5).contains(&most), "{most} at once");
}

#[tokio::test]
async fn what_a_queue_does_not_use_it_gives_back() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("shared", None, Some(Limit::concurrency(4))).await.unwrap();
    let jobs = rig.put((0..4).map(|_| shared(&rig, "a", "x"))).await;
    assert_eq!(rig.claim(4).await.len(), 4);
    let claim = rig.claims;
    for job in jobs {
        assert!(rig.settle_in("a", claim, job, done()).await);
    }
    rig.put((0..4).map(|_| shared(&rig, "b", "x"))).await;
    let mut claimed = 0;
    while claimed < 4 {
        rig.backend.promote("a").await.unwrap();
        claimed += rig.claim_from("b", 4).await.len();
    }
}

#[tokio::test]
async fn a_client_that_dies_with_a_question_costs_two_seconds_and_no_place() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("shared", None, Some(Limit::concurrency(2))).await.unwrap();
    rig.put((0..4).map(|_| shared(&rig, "a", "x"))).await;
    // It claims, and the answer about the limit never comes back to the queue.
    rig.claims += 1;
    let claim = Claim { queue: "a", most: 4, worker: rig.worker, number: rig.claims };
    let (claimed, questions) = rig.backend.claim_step(&claim, 4, false).await.unwrap();
    assert_eq!((claimed.len(), questions.len()), (0, 1));
    let mut claimed = Vec::new();
    while claimed.len() < 2 {
        claimed.extend(rig.claim(4).await);
    }
    assert_eq!(claimed.len(), 2);
    // The first answer would come now: it has a number that is over.
    assert!(!rig.backend.ask("a", questions).await.unwrap());
    assert!(rig.claim(4).await.is_empty());
}

/// Else each key that was ever used would be asked for every two seconds, for ever.
#[tokio::test]
async fn a_limit_that_nobody_uses_any_more_is_forgotten() {
    let mut rig = Rig::new().await;
    rig.backend.set_limit("host", None, Some(Limit::rate(9, HOUR).and_concurrency(4))).await.unwrap();
    let entry = rig.entry("x");
    let by_key = |key: i32| {
        let limits = vec![LimitKey::by("host", key.to_string())];
        Entry { job: JobId::new(), limits, ..entry.clone() }
    };
    let jobs = rig.put((0..30).map(by_key)).await;
    assert_eq!(rig.claim(30).await.len(), 30);
    let count = async |rig: &Rig, command: &str, key: &str| -> u64 {
        let key = format!("{}:{key}", rig.backend.keys.queue("a"));
        rig.redis.command(cmd(command).arg(key)).await.unwrap()
    };
    assert_eq!(count(&rig, "HLEN", "limits").await, 30);
    for job in jobs {
        assert!(rig.settle(job, done()).await);
    }
    while count(&rig, "HLEN", "limits").await + count(&rig, "ZCARD", "leased").await > 0 {
        rig.backend.promote("a").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await; // a condition is polled
    }
    // Whoever comes again is let through: the numbers of its questions are higher than before.
    rig.put([by_key(7)]).await;
    assert_eq!(rig.claim(1).await.len(), 1);
}

/// As if 15 s had passed since a queue has asked last: nothing else of the limit is touched.
async fn end_lease(rig: &Rig, limit: &[u8], queue: &str) {
    let mut held: Vec<u8> = rig.redis.command(cmd("HGET").arg(limit).arg(queue)).await.unwrap();
    // Behind the question's number and the units.
    held[12..20].copy_from_slice(&1_f64.to_be_bytes());
    let fields: i64 = rig.redis.command(cmd("HSET").arg(limit).arg(queue).arg(held)).await.unwrap();
    assert_eq!(fields, 0, "it was there");
}

/// After 15 s without a word from a queue its units are free for others; when it is back it keeps none of them, so what is too much is
/// what it has running.
#[tokio::test]
async fn a_lease_that_nobody_renewed_is_overshot_by_what_runs_and_by_no_more() {
    let rig = Rig::new().await;
    let home = rig.backend.keys.limit(b"shared");
    let rule = [1_u64.to_be_bytes().as_slice(), b"1", &codec::limit(Limit::concurrency(2))].concat();
    let lease = async |queue: &str, question: u32, held: i64, wanted: i64| -> i64 {
        let call = LEASE.keys([home.as_slice()]).arg(queue).arg(question).arg(held).arg(wanted).arg(0).arg(0);
        let answers: Vec<(i64, i64, i64, i64, i64)> =
            rig.backend.run(call.arg(rule.as_slice())).await.unwrap();
        answers[0].0
    };
    assert_eq!(lease("a", 1, 0, 9).await, 2);
    assert_eq!(lease("b", 1, 0, 9).await, 0);
    end_lease(&rig, &home, "qa").await;
    assert_eq!(lease("b", 2, 0, 9).await, 2);
    assert_eq!(lease("a", 2, 2, 9).await, 0, "its two jobs go on, and no third begins");
    assert_eq!(lease("b", 3, 2, 0).await, 2);
}

/// Each queue may use what it had leased before: as much as one of its claims asks for, and no more.
#[tokio::test]
async fn a_shared_rate_is_overshot_by_a_claim_of_each_queue_at_most() {
    const QUEUES: [&str; 4] = ["a", "b", "c", "d"];
    const BURST: u32 = 20;
    const CLAIM: usize = 7;
    let rig = Rig::new().await;
    let all: Vec<Arc<str>> = QUEUES.into_iter().map(Arc::from).collect();
    rig.backend.register(rig.worker, &all, LONG).await.unwrap();
    let period = Duration::from_millis(500);
    rig.backend.set_limit("shared", None, Some(Limit::rate(BURST, period))).await.unwrap();
    for queue in QUEUES {
        rig.put((0..200).map(|_| shared(&rig, queue, "x"))).await;
    }
    let (mut begun, mut number, start) = (0, 0, Instant::now());
    let mut of_each = [0; QUEUES.len()];
    while begun < 8 * BURST as usize {
        let claims = QUEUES.iter().enumerate().map(|(at, queue)| {
            let number = number + 1 + at as i64;
            rig.backend.claim(Claim { queue, most: CLAIM, worker: rig.worker, number })
        });
        let claimed = futures_util::future::try_join_all(claims).await.unwrap();
        number += QUEUES.len() as i64;
        for (at, jobs) in claimed.iter().enumerate() {
            of_each[at] += jobs.len();
            begun += jobs.len();
        }
        // The flow is counted generously: until after the claims, and from before the bucket was full.
        let flow = start.elapsed().as_secs_f64() / period.as_secs_f64() * f64::from(BURST);
        let most = f64::from(BURST) + flow + (QUEUES.len() * CLAIM) as f64;
        assert!(begun as f64 <= most, "{begun} began, and {most} may");
        for queue in QUEUES {
            rig.backend.promote(queue).await.unwrap();
        }
    }
    assert!(of_each.iter().all(|jobs| *jobs > 0), "none is left out: {of_each:?}");
}

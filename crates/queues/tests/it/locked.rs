//! What an admission may be held up by: a job that a producer has locked, and what is told of lanes.

use shared_queues::{LimitKey, NewJob};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Bench, Note, bench};

async fn client(bench: &Bench) -> (Client, AbortOnDropHandle<()>) {
    let (client, connection) = tokio_postgres::connect(&bench.url, NoTls).await.unwrap();
    (client, AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) })))
}

/// A producer's transaction that is open, and replaces the job that has waited longest.
async fn replaces_the_first(bench: &Bench) -> (Client, AbortOnDropHandle<()>) {
    let (producer, driver) = client(bench).await;
    let lock = "begin; select from shared_queues.waiting order by position limit 1 for update";
    producer.batch_execute(lock).await.unwrap();
    (producer, driver)
}

/// How many of so many claims of one job each have admitted it.
async fn admitted(bench: &Bench, claims: usize) -> i32 {
    let (worker, _driver) = client(bench).await;
    let mut all = 0;
    for _ in 0..claims {
        let row = worker.query_one("select admitted from shared_queues.admit('default', 1, null, 0)", &[]);
        all += row.await.unwrap().get::<_, i32>(0);
    }
    all
}

#[tokio::test]
async fn a_locked_job_holds_up_none_of_its_lane_without_order_nor_other_lanes() {
    let bench = bench().await;
    for host in ["a", "b"] {
        let jobs = (0..3).map(|n| NewJob::of(Note { n }).limit(LimitKey::by("host", host)));
        bench.queues.tenant(&bench.tenant).enqueue_all(jobs).await.unwrap();
    }
    let _producer = replaces_the_first(&bench).await;
    assert_eq!(admitted(&bench, 6).await, 5, "all but the one that is locked");
}

#[tokio::test]
async fn a_locked_job_of_an_ordered_lane_holds_up_no_other_lane() {
    let bench = bench().await;
    for key in ["a", "b", "c"] {
        let jobs = (0..3).map(|n| NewJob::of(Note { n }).order_by(key));
        bench.queues.tenant(&bench.tenant).enqueue_all(jobs).await.unwrap();
    }
    let producer = replaces_the_first(&bench).await;
    assert_eq!(admitted(&bench, 6).await, 2, "one of each other lane");
    producer.0.batch_execute("commit").await.unwrap();
    assert_eq!(admitted(&bench, 2).await, 1);
}

#[tokio::test]
async fn one_admission_opens_no_more_than_a_thousand_lanes_and_a_few() {
    let bench = bench().await;
    let jobs = (0..3000).map(|n| NewJob::of(Note { n }).order_by(n.to_string()));
    bench.queues.tenant(&bench.tenant).enqueue_all(jobs).await.unwrap();
    assert_eq!(admitted(&bench, 1).await, 1);
    let (admin, _driver) = client(&bench).await;
    let lanes = admin.query_one("select count(*) from shared_queues.lane", &[]).await.unwrap();
    let lanes = lanes.get::<_, i64>(0);
    assert!((1000..1064).contains(&lanes), "{lanes}");
}

#[tokio::test]
async fn what_is_told_of_lanes_has_bounds() {
    let bench = bench().await;
    let (admin, _driver) = client(&bench).await;
    let lanes = [
        "array[null]::uuid[]",
        "'{}'",
        "array_fill(gen_random_uuid(), array[65])",
        "array_fill(gen_random_uuid(), array[8, 8])",
    ];
    for lanes in lanes {
        let tell = format!(
            "insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
             values ('default', 1, gen_random_uuid(), true, {lanes})"
        );
        let refused = admin.batch_execute(&tell).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION), "{lanes}");
    }
}

//! What an admission may be held up by: a job that a producer has locked, what is told of lanes; and that locks are taken in one order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared_queues::{Cancelled, Limit, LimitKey, NewJob};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::support::{Bench, Note, bench, until};

/// Who waits for a lock.
const WAITING: &str =
    "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

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

/// A session in which an incarnation works, without a crate that tries again what the server has ended.
struct Hand {
    client: Client,
    id: Uuid,
    claims: i64,
    held: Vec<(Uuid, i64)>,
    _driver: AbortOnDropHandle<()>,
}

impl Hand {
    async fn of(bench: &Bench) -> Self {
        let (client, _driver) = client(bench).await;
        client.batch_execute("set lock_timeout = '10s'").await.unwrap();
        let id = Uuid::new_v4();
        let register = "insert into shared_queues.worker (incarnation, expires_at) values ($1, clock_timestamp() + interval '1 hour')";
        client.execute(register, &[&id]).await.unwrap();
        Self { client, id, claims: 0, held: Vec::new(), _driver }
    }

    async fn admit(&mut self, most: i32) -> usize {
        self.claims += 1;
        let admit = "select coalesce(taken, '{}') from shared_queues.admit('default', $1, $2, $3)";
        let row = self.client.query_one(admit, &[&most, &self.id, &self.claims]).await.unwrap();
        let jobs: Vec<Uuid> = row.get(0);
        self.held.extend(jobs.iter().map(|job| (*job, self.claims)));
        jobs.len()
    }

    /// As soon as there is anything: where a lane was locked, the next look is a moment later.
    async fn admit_some(&mut self) -> usize {
        let admit = async {
            loop {
                let jobs = self.admit(2).await;
                if jobs > 0 {
                    return jobs;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), admit).await.unwrap()
    }

    async fn settle(&mut self) -> usize {
        let (jobs, claims): (Vec<Uuid>, Vec<i64>) = self.held.drain(..).unzip();
        let settle = "
            select count(*) from shared_queues.settle($1, $2::uuid[], $3, array_fill('completed'::text, array[cardinality($2::uuid[])]),
                array_fill(0::bigint, array[cardinality($2::uuid[])]), array_fill(''::text, array[cardinality($2::uuid[])]),
                array_fill(''::text, array[cardinality($2::uuid[])]), array_fill(0::bigint, array[cardinality($2::uuid[])]))";
        let row = self.client.query_one(settle, &[&self.id, &jobs, &claims]).await.unwrap();
        usize::try_from(row.get::<_, i64>(0)).unwrap()
    }

    /// What an admission may do to a lane that it meets while somebody else moves it: the lane is locked, and none of its business.
    async fn lock_lane(&self, state: &str) {
        self.client.batch_execute("begin").await.unwrap();
        let lanes = "select from shared_queues.lane where state = $1 for update";
        assert_eq!(self.client.query(lanes, &[&state]).await.unwrap().len(), 1);
    }

    /// And what comes next.
    async fn lock_limits(&self) {
        self.client.query("select from shared_queues.limit_use for update", &[]).await.unwrap();
    }

    async fn end(&self) {
        self.client.batch_execute("commit").await.unwrap();
    }
}

#[tokio::test]
async fn who_frees_a_limit_does_not_wait_for_lanes_that_others_have_locked() {
    let bench = bench().await;
    bench.queues.set_limit("api", None, Some(Limit::concurrency(1))).await.unwrap();
    for key in ["a", "b"] {
        bench.enqueue(NewJob::of(Note { n: 1 }).order_by(key).limit(LimitKey::named("api"))).await;
    }
    let (mut settles, mut admits) = (Hand::of(&bench).await, Hand::of(&bench).await);
    assert_eq!((settles.admit(2).await, settles.admit(2).await), (1, 0), "the other one's lane is blocked");
    admits.lock_lane("blocked").await;
    assert_eq!(settles.settle().await, 1);
    admits.lock_limits().await;
    admits.end().await;
    assert_eq!(
        (admits.admit_some().await, admits.settle().await),
        (1, 1),
        "it opens the lane that nobody has opened"
    );
}

/// Else every claim of every queue would look at this limit, and lock it, for as long as the lane is locked.
#[tokio::test]
async fn a_limit_whose_lane_is_locked_is_not_due_at_once() {
    let bench = bench().await;
    bench.queues.set_limit("api", None, Some(Limit::concurrency(1))).await.unwrap();
    for key in ["a", "b"] {
        bench.enqueue(NewJob::of(Note { n: 1 }).order_by(key).limit(LimitKey::named("api"))).await;
    }
    let (mut settles, admits) = (Hand::of(&bench).await, Hand::of(&bench).await);
    assert_eq!((settles.admit(2).await, settles.admit(2).await), (1, 0), "the other one's lane is blocked");
    admits.lock_lane("blocked").await;
    let (admin, _driver) = client(&bench).await;
    let before: String = admin.query_one("select clock_timestamp()::text", &[]).await.unwrap().get(0);
    assert_eq!(settles.settle().await, 1);
    let is_later =
        "select opens_at >= $1::text::timestamptz + interval '20 milliseconds' from shared_queues.limit_use";
    assert!(admin.query_one(is_later, &[&before]).await.unwrap().get::<_, bool>(0));
    admits.end().await;
}

/// Whoever wakes lanes has their limits locked: so its time is by their number, and not by that of limits times lanes.
#[tokio::test]
async fn many_lanes_behind_many_limits_are_woken_in_one_pass() {
    let bench = bench().await;
    let (admin, _driver) = client(&bench).await;
    let block = "
        insert into shared_queues.limit_use (limit_key, name) select 'host' || chr(1) || k, 'host' from generate_series(1, 250) k;
        insert into shared_queues.lane (id, queue, tenant_id, ordered, state, turn, blocked_on)
        select gen_random_uuid(), 'default', gen_random_uuid(), false, 'blocked', n, 'host' || chr(1) || k
          from generate_series(1, 250) k cross join generate_series(1, 101) n";
    admin.batch_execute(block).await.unwrap();
    let wake =
        "select shared_queues.wake(array(select limit_key from shared_queues.limit_use order by limit_key))";
    let begun = std::time::Instant::now();
    admin.batch_execute(wake).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "a quarter of a second; five if each lane is compared with all that are woken"
    );
    let all = "select count(*) filter (where state = 'open'), count(*) filter (where state = 'blocked') from shared_queues.lane";
    let lanes = admin.query_one(all, &[]).await.unwrap();
    assert_eq!((lanes.get::<_, i64>(0), lanes.get::<_, i64>(1)), (25_000, 250), "a hundred of each");
    admin.batch_execute(wake).await.unwrap();
    let due = "select count(*) from shared_queues.limit_use where opens_at is not null";
    assert_eq!(admin.query_one(due, &[]).await.unwrap().get::<_, i64>(0), 0, "nobody waits any more");
}

#[tokio::test]
async fn who_waits_for_a_lane_holds_no_limit() {
    let bench = bench().await;
    bench.queues.set_limit("api", None, Some(Limit::concurrency(1))).await.unwrap();
    bench.enqueue(NewJob::of(Note { n: 1 }).order_by("a").limit(LimitKey::named("api"))).await;
    let (mut settles, admits) = (Hand::of(&bench).await, Hand::of(&bench).await);
    assert_eq!(settles.admit(2).await, 1);
    admits.lock_lane("busy").await;
    let settling = tokio::spawn(async move { settles.settle().await });
    let (admin, _driver) = client(&bench).await;
    until("it waits for the lane", async || !admin.query(WAITING, &[]).await.unwrap().is_empty()).await;
    admits.lock_limits().await;
    admits.end().await;
    assert_eq!(settling.await.unwrap(), 1);
}

/// Else the request would reach a job that nobody holds any more: whoever gets it next would drop it, whatever it has become.
#[tokio::test]
async fn who_cancels_a_job_that_is_just_given_back_waits_for_that() {
    let bench = bench().await;
    let job = bench.enqueue(NewJob::of(Note { n: 1 }).order_by("a")).await;
    let mut holder = Hand::of(&bench).await;
    assert_eq!(holder.admit(1).await, 1);
    let retire = format!("begin; select shared_queues.retire('{}')", holder.id);
    holder.client.batch_execute(&retire).await.unwrap();
    let queues = bench.queues.clone();
    let cancelling = tokio::spawn(async move { queues.cancel(job).await });
    let (admin, _driver) = client(&bench).await;
    let is_heard = async || cancelling.is_finished() || !admin.query(WAITING, &[]).await.unwrap().is_empty();
    until("it waits, or does not", is_heard).await;
    holder.end().await;
    assert_eq!(cancelling.await.unwrap().unwrap(), Cancelled::Removed);
}

/// Sessions that take jobs of few lanes and free the few limits of these, as fast as they can.
#[tokio::test(flavor = "multi_thread")]
async fn admissions_and_ends_at_once_deadlock_nowhere() {
    const JOBS: usize = 3000;
    let bench = bench().await;
    bench.queues.set_limit("host", None, Some(Limit::concurrency(2))).await.unwrap();
    bench.queues.set_limit("all", None, Some(Limit::concurrency(8))).await.unwrap();
    let job = |n: i64| {
        let job = NewJob::of(Note { n })
            .limit(LimitKey::by("host", (n % 3).to_string()))
            .limit(LimitKey::named("all"));
        if n % 2 == 0 { job.order_by((n % 7).to_string()) } else { job }
    };
    bench.queues.tenant(&bench.tenant).enqueue_all((0..JOBS as i64).map(job)).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let (mut hand, done) = (Hand::of(&bench).await, done.clone());
        sessions.push(tokio::spawn(async move {
            while done.load(Ordering::Relaxed) < JOBS {
                if hand.admit(4).await > 0 {
                    done.fetch_add(hand.settle().await, Ordering::Relaxed);
                }
            }
        }));
    }
    for session in sessions {
        tokio::time::timeout(Duration::from_secs(60), session).await.unwrap().unwrap();
    }
}

//! Two owners of one lane at once, as when one has slept through its lease: nothing happens twice, and nothing out of order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use shared_core::{Actor, AssumedTenant, Context, Failure, InTenant, TenantId};
use shared_db::{Db, MigrationSet, Step, TenantTx, bootstrap, statements};
use shared_devkit::{Postgres, Proxy, TestDatabase};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Executor, Turned, forget};
use crate::{Config, Envelope, Error, Event, Events, FromDelivery, Lane, Place, Received};

statements! {
    const SEE: Statement<(String, i64), ()> = "insert into it.seen (tenant_id, key, n) values ($tenant, $1, $2)";
    const SEEN: Statement<(String,), i64> = "select n from it.seen where tenant_id = $tenant and key = $1 order by place";
    const TICKS: Statement<(), ()> = "insert into shared_events.tick (tick, snap) select n, pg_current_snapshot() from generate_series(1, 10) as n";
    const FORGET: Statement<(i64,), ()> = "delete from shared_events.tick where tick >= $1";
    const LEFT: Statement<(), i64> = "select count(*) from shared_events.parked";
}

const TABLES: MigrationSet = MigrationSet::new(
    "it",
    &[Step::sql(
        1,
        "seen",
        "create table it.seen (tenant_id uuid not null, place bigint generated always as identity, key text not null, n bigint not null,
                               primary key (tenant_id, place));
         select shared_db.tenant_table('it.seen');",
    )],
)
.requires(&["shared_db"]);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "it.happened", version = 1, key = "key")]
struct Happened {
    key: String,
    n: i64,
}

/// Makes a call fail now and then.
#[derive(Clone)]
struct Calls {
    made: Arc<AtomicU64>,
    failing: u64,
}

impl FromDelivery<Calls> for Calls {
    fn from_delivery(_: &Context, state: &Calls) -> Self {
        state.clone()
    }
}

async fn see(tx: &mut TenantTx, happened: Received<Happened>, calls: Calls) -> Result<(), Failure> {
    tx.execute(&SEE, (&happened.key, happened.n)).await?;
    let call = calls.made.fetch_add(1, Ordering::SeqCst);
    if calls.failing > 0 && call.is_multiple_of(calls.failing) {
        Err(Failure::new("now and then"))
    } else {
        Ok(())
    }
}

const KEYS: [&str; 3] = ["a", "b", "c"];
const EVENTS: i64 = 60;

/// The lane's events, as every owner reads them: twenty of each key in turn.
fn events(tenant: TenantId, lane: Lane) -> Vec<Envelope> {
    let event = |place: i64| {
        let (key, n) = (KEYS[(place % 3) as usize].to_owned(), place / 3 + 1);
        let payload = serde_json::to_string(&Happened { key: key.clone(), n }).unwrap();
        Envelope {
            id: Uuid::now_v7(),
            name: Happened::NAME.to_owned(),
            version: 1,
            key,
            tenant,
            at: OffsetDateTime::UNIX_EPOCH,
            context: Context::new(tenant, Actor::new("a test")),
            payload,
            lane,
            place: Place::new(place / 10 + 1, place + 1),
            replay: false,
            xid: None,
        }
    };
    (0..EVENTS).map(event).collect()
}

/// A database with these tables, and the door to it.
async fn database() -> (TestDatabase, Db) {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let config = shared_db::Config::new(database.url());
    bootstrap(&config, &[crate::MIGRATIONS, TABLES]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    db.system().execute(&TICKS, ()).await.unwrap();
    (database, db)
}

fn executor(db: &Db, failing: u64) -> Executor {
    let calls = Calls { made: Arc::default(), failing };
    let bound = Events::new().handle("see", see).bind(calls).unwrap();
    let (first, longest) = (Duration::from_millis(1), Duration::from_millis(5));
    let config =
        Config { batch: 7, attempts: 100, retry_first: first, retry_longest: longest, ..Config::default() };
    Executor::new(db.clone(), bound, &config, CancellationToken::new())
}

/// An owner that delivers the lane from its start, in turns of random length, and what is parked in between.
async fn own(executor: &Executor, lane: Lane, events: &[Envelope], mut random: StdRng) {
    let mut rest = events;
    while !rest.is_empty() {
        let (turn, later) = rest.split_at(random.random_range(1..=rest.len().min(15)));
        executor.turn(lane, turn, &CancellationToken::new()).await.unwrap();
        if random.random_bool(0.5) {
            executor.retry(&[lane]).await.unwrap();
        }
        rest = later;
    }
}

/// Else it would have its effect once more with the tick that cuts it off then.
#[tokio::test]
async fn what_came_with_a_tick_that_the_database_forgot_has_no_effect() {
    let (_database, db) = database().await;
    let (tenant, lane) = (AssumedTenant::new(TenantId::new(), "a test"), Lane::new(5).unwrap());
    let events = events(tenant.context().tenant(), lane);
    let executor = executor(&db, 0);
    let turn = async |events| executor.turn(lane, events, &CancellationToken::new()).await;
    assert_eq!(turn(&events[..10]).await.unwrap().effects, 10);
    db.system().execute(&FORGET, (2,)).await.unwrap();
    assert!(matches!(turn(&events[10..11]).await, Err(Error::Unsafe(_))));
    assert!(matches!(turn(&events[10..]).await, Err(Error::Unsafe(_))));
    assert_eq!(db.tenant(&tenant).all(&SEEN, ("a",)).await.unwrap(), [1, 2, 3, 4]);
    assert_eq!(db.system().one(&LEFT, ()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_of_a_lane_do_nothing_twice_and_nothing_out_of_order() {
    let (_database, db) = database().await;
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    for (round, failing) in [0, 0, 3, 4, 5, 7].into_iter().enumerate() {
        let tenant = AssumedTenant::new(TenantId::new(), "a test");
        let lane = Lane::new(5).unwrap();
        let events = events(tenant.context().tenant(), lane);
        let (one, other) = (executor(&db, failing), executor(&db, failing));
        let random = |n: u64| StdRng::seed_from_u64(seed ^ (round as u64 * 10 + n));
        tokio::join!(own(&one, lane, &events, random(1)), own(&other, lane, &events, random(2)));
        while db.system().one(&LEFT, ()).await.unwrap() > 0 {
            let lanes = [lane];
            tokio::try_join!(one.retry(&lanes), other.retry(&lanes)).unwrap();
        }
        for key in KEYS {
            let seen = db.tenant(&tenant).all(&SEEN, (key,)).await.unwrap();
            assert_eq!(seen, Vec::from_iter(1..=EVENTS / 3), "{key}, round {round}, seed {seed}");
        }
    }
}

/// Two events of one key, whose writers have logs of their own and have drawn the same position.
fn of_two_writers(tenant: TenantId, lane: Lane) -> Vec<Envelope> {
    let mut events: Vec<Envelope> =
        events(tenant, lane).into_iter().filter(|event| event.key == "a").take(2).collect();
    events.iter_mut().zip(1..).for_each(|(event, tick)| event.place = Place::new(tick, 5));
    events
}

async fn run_all_that_is_parked(db: &Db, executor: &Executor, lane: Lane) {
    while db.system().one(&LEFT, ()).await.unwrap() > 0 {
        executor.retry(&[lane]).await.unwrap();
    }
}

#[tokio::test]
async fn parked_events_of_two_writers_with_the_same_position_are_both_kept() {
    let (_database, db) = database().await;
    let (lane, failing, mended) = (Lane::FIRST, executor(&db, 1).of_others(), executor(&db, 0).of_others());
    for in_order in [false, true] {
        let tenant = AssumedTenant::new(TenantId::new(), "a test");
        for event in of_two_writers(tenant.context().tenant(), lane) {
            let turned = match in_order {
                true => failing.turn(lane, &[event], &CancellationToken::new()).await.unwrap(),
                false => failing.once(&event).await.unwrap(),
            };
            assert_eq!(turned.parked, 1);
        }
        assert_eq!(db.system().one(&LEFT, ()).await.unwrap(), 2);
        run_all_that_is_parked(&db, &mended, lane).await;
        assert_eq!(db.tenant(&tenant).all(&SEEN, ("a",)).await.unwrap(), [1, 2], "in order: {in_order}");
    }
}

#[tokio::test]
async fn a_turn_takes_two_round_trips_and_those_of_its_consumers() {
    let (database, _) = database().await;
    let proxy = Proxy::to(database.url()).await.unwrap();
    let config = shared_db::Config { pool_size: 1, ..shared_db::Config::new(proxy.url(database.url())) };
    let db = Db::connect(&config).await.unwrap();
    // Longer than a busy machine needs to send what waits for no answer.
    proxy.to_client().delay(Duration::from_millis(40));
    let (lane, tenant) = (Lane::FIRST, TenantId::new());
    let bound = Events::new().handle("see", see).bind(Calls { made: Arc::default(), failing: 0 }).unwrap();
    let executor = Executor::new(db, bound, &Config::default(), CancellationToken::new());
    let events = events(tenant, lane);
    // The first time on a connection the statements are prepared.
    executor.turn(lane, &events[..1], &CancellationToken::new()).await.unwrap();
    let turn = async |events: &[Envelope]| {
        let turned = executor.turn(lane, events, &CancellationToken::new()).await.unwrap();
        assert_eq!(turned.effects, events.len() as u64);
    };
    assert_eq!(
        proxy.round_trips(turn(&events[1..2])).await,
        2 + 1,
        "one event, one statement of its consumer"
    );
    assert_eq!(proxy.round_trips(turn(&events[2..30])).await, 2 + 28);
}

#[tokio::test]
async fn marks_of_events_without_order_are_known_until_they_are_forgotten() {
    let (_database, db) = database().await;
    let event = events(TenantId::new(), Lane::FIRST).remove(0);
    let executor = executor(&db, 0);
    assert_eq!(executor.once(&event).await.unwrap(), Turned { effects: 1, ..Turned::default() });
    for younger in [3600.0, 60.0] {
        assert!(!forget(&db, "main", younger).await.unwrap(), "there is no more to forget");
        assert_eq!(executor.once(&event).await.unwrap(), Turned { known: 1, ..Turned::default() });
    }
    forget(&db, "other", 0.0).await.unwrap();
    assert_eq!(executor.once(&event).await.unwrap().known, 1, "those of other groups are theirs");
    forget(&db, "main", 0.0).await.unwrap();
    assert_eq!(executor.once(&event).await.unwrap().effects, 1);
}

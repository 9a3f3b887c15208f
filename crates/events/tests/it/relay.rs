//! A relay's life: one at a time reads, it stops when told, and it refuses what is not safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared_core::{Context, Failure};
use shared_db::{TenantTx, statements};
use shared_devkit::{Postgres, Proxy};
use shared_events::{Config, Error, Events, FromDelivery, Received, Relay};
use tokio::sync::Notify;

use crate::support::{Raised, World, connect, quick, raise, see, see_as, seeing, until};

statements! {
    const REACHED: Statement<(i16,), i64> = "select tick from shared_events.cursor where subscription = 'main' and lane = $1";
    const TICKS: Statement<(), i64> = "select count(*) from shared_events.tick";
    const EXPIRES: Statement<(), f64> = "
        select extract(epoch from min(expires))::float8 from shared_events.cursor where subscription = 'main' and owner is not null";
}

#[tokio::test]
async fn another_relay_takes_over() {
    let world = World::new().await;
    let first = world.relay(seeing()).await;
    let second = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    first.stop().await;
    world.raise("a").await;
    world.settled().await;
    let third = world.relay(seeing()).await;
    // It hands nothing on: its lease has to expire.
    drop(second);
    world.raise("a").await;
    world.settled().await;
    third.stop().await;
    assert_eq!(world.seen("see", "a").await, [1, 2, 3]);
}

/// Lets a consumer say that it runs, and that it was dropped half-way.
#[derive(Clone, Default)]
struct Watch {
    entered: Arc<Notify>,
    dropped: Arc<Notify>,
    may_finish: Arc<AtomicBool>,
}

impl FromDelivery<Watch> for Watch {
    fn from_delivery(_: &Context, state: &Watch) -> Self {
        state.clone()
    }
}

async fn watched(tx: &mut TenantTx, raised: Received<Raised>, watch: Watch) -> Result<(), Failure> {
    struct OnDrop(Arc<Notify>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    see(tx, raised).await?;
    if !watch.may_finish.load(Ordering::SeqCst) {
        let _on_drop = OnDrop(watch.dropped);
        watch.entered.notify_one();
        std::future::pending::<()>().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_that_has_lost_its_lease_delivers_no_more() {
    let world = World::new().await;
    let (watch, superuser) = (Watch::default(), world.superuser().await);
    let events = Events::new().handle("watched", watched);
    let relay = Relay::start(world.db.clone(), watch.clone(), events, quick()).await.unwrap();
    world.raise("a").await;
    watch.entered.notified().await;
    let taken =
        "update shared_events.cursor set epoch = epoch + 1, owner = gen_random_uuid(), expires = 'infinity'";
    superuser.batch_execute(taken).await.unwrap();
    // It finds out when it renews its lease, in the middle of a delivery: that one is rolled back.
    watch.dropped.notified().await;
    assert_eq!(world.seen("see", "a").await, Vec::<i64>::new());
    let lane = i16::from(world.lane("a").await.number());
    assert_eq!(world.db.system().one(&REACHED, (lane,)).await.unwrap(), 0);

    watch.may_finish.store(true, Ordering::SeqCst);
    superuser.batch_execute("update shared_events.cursor set expires = '-infinity'").await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1]);
    relay.stop().await;
}

#[tokio::test]
async fn nothing_runs_after_stop() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    for key in 0..50 {
        world.raise(&key.to_string()).await;
    }
    relay.stop().await;
    let status = world.db.status();
    assert_eq!(status.open, status.idle);
    let relay = world.relay(seeing()).await;
    world.settled().await;
    for key in 0..50 {
        assert_eq!(world.seen("see", &key.to_string()).await, [1]);
    }
    relay.stop().await;
}

#[tokio::test]
async fn an_idle_relay_makes_no_ticks() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    let ticks = world.db.system().one(&TICKS, ()).await.unwrap();
    for _ in 0..3 {
        // Until the lease was renewed: a dozen looks later.
        let expires = world.db.system().one(&EXPIRES, ()).await.unwrap();
        until(async || world.db.system().one(&EXPIRES, ()).await.unwrap() > expires).await;
    }
    assert_eq!(world.db.system().one(&TICKS, ()).await.unwrap(), ticks);
    relay.stop().await;
}

/// It looks 20 ms after it found something, and half as often each time: six times in the second and a half in which it could look 75 times.
#[tokio::test]
async fn an_idle_relay_looks_ever_more_rarely() {
    let world = World::new().await;
    let proxy = Proxy::to(world.database.url()).await.unwrap();
    let far = connect(&proxy.url(world.database.url()), 5).await;
    let (poll, lease) = (Duration::from_secs(1), Duration::from_secs(60));
    // Its upkeep comes once a minute.
    let config = Config { poll, lease, rewind: Duration::from_secs(3600), ..quick() };
    let relay = Relay::start(far, (), seeing(), config).await.unwrap();
    world.raise("a").await;
    // Not until its cursor is written, which is a second later: then it looks rarely already.
    until(async || world.seen("see", "a").await == [1]).await;
    let idle = tokio::time::sleep(Duration::from_millis(1500)); // time itself is tested: how often it looks in it
    let looks = proxy.round_trips(idle).await;
    assert!((5..40).contains(&looks), "{looks} round trips");
    // And finds what comes then, by its poll alone.
    world.raise("a").await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    relay.stop().await;
}

#[tokio::test]
async fn ticks_that_are_passed_are_forgotten() {
    let world = World::new().await;
    let many =
        "insert into shared_events.tick (snap) select pg_current_snapshot() from generate_series(1, 250)";
    world.superuser().await.batch_execute(many).await.unwrap();
    let config = Config { rewind: Duration::from_secs(1), ..quick() };
    let relay = Relay::start(world.db.clone(), (), seeing(), config).await.unwrap();
    world.raise("a").await;
    until(async || world.db.system().one(&TICKS, ()).await.unwrap() <= 2).await;
    relay.stop().await;
}

#[tokio::test]
async fn each_subscription_reads_the_whole_log() {
    let world = World::new().await;
    let one = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    async fn see_too(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
        see_as("two", tx, &raised).await
    }
    let config = Config { subscription: "two".to_owned(), ..quick() };
    let two = Relay::start(world.db.clone(), (), Events::new().handle("two", see_too), config).await.unwrap();
    world.raise("a").await;
    world.settled().await;
    assert_eq!((world.seen("see", "a").await, world.seen("two", "a").await), (vec![1, 2], vec![1, 2]));
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn it_refuses_a_database_in_which_events_could_be_lost_or_disordered() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let start = async || Relay::start(world.db.clone(), (), seeing(), quick()).await;

    superuser.batch_execute("alter sequence shared_events.log_pos_seq cache 20").await.unwrap();
    assert!(matches!(start().await, Err(Error::Unsafe(why)) if why.contains("cache 1")));
    superuser.batch_execute("alter sequence shared_events.log_pos_seq cache 1").await.unwrap();

    // A role that does not see every tenant's events would pass them by.
    let policy = "create policy system_reads on shared_events.log for select to shared_system using (true)";
    superuser.batch_execute("drop policy system_reads on shared_events.log").await.unwrap();
    assert!(matches!(start().await, Err(Error::Unsafe(why)) if why.contains("does not see")));
    superuser.batch_execute(policy).await.unwrap();
    let restrictive =
        "create policy hides on shared_events.log as restrictive using (name <> 'counter.raised')";
    superuser.batch_execute(restrictive).await.unwrap();
    assert!(matches!(start().await, Err(Error::Unsafe(why)) if why.contains("does not see")));
    superuser.batch_execute("drop policy hides on shared_events.log").await.unwrap();

    start().await.unwrap().stop().await;
    let restored = "update shared_events.tick set snap = '9000000000000000:9000000000000000:' where tick = 0";
    superuser.batch_execute(restored).await.unwrap();
    assert!(matches!(start().await, Err(Error::Unsafe(why)) if why.contains("ahead")));
}

#[tokio::test]
async fn it_refuses_a_standby() {
    let server = Postgres::exclusive().await.unwrap();
    let migrations = [shared_events::MIGRATIONS, crate::support::MIGRATIONS];
    shared_db::bootstrap(&shared_db::Config::new(server.url()), &migrations).await.unwrap();
    let replica = server.replica().await.unwrap();
    replica.caught_up().await.unwrap();
    let db = connect(replica.url(), 2).await;
    let refused = Relay::start(db, (), seeing(), quick()).await;
    assert!(matches!(refused, Err(Error::Unsafe(why)) if why.contains("standby")));
}

#[tokio::test]
async fn it_refuses_settings_and_consumers_that_can_t_work() {
    let world = World::new().await;
    let start = async |events, config| Relay::start(world.db.clone(), (), events, config).await;
    for (events, config) in [
        (seeing(), Config { page: 0, ..quick() }),
        (seeing().handle("see", see), quick()),
        (Events::new().handle("", see), quick()),
    ] {
        assert!(matches!(start(events, config).await, Err(Error::Config(_))));
    }
}

#[tokio::test]
async fn a_database_that_is_killed_and_comes_back_loses_no_event() {
    let mut server = Postgres::exclusive().await.unwrap();
    let url = server.url().to_owned();
    let migrations = [shared_events::MIGRATIONS, crate::support::MIGRATIONS];
    shared_db::bootstrap(&shared_db::Config::new(&url), &migrations).await.unwrap();
    let (db, tenant) = (connect(&url, 5).await, crate::support::a_tenant());
    let config = Config { poll: Duration::from_millis(50), ..quick() };
    let relay = Relay::start(db.clone(), (), seeing(), config).await.unwrap();
    let raise = async || db.tenant(&tenant).tx(async |tx| raise(tx, "a").await).await;
    for _ in 0..20 {
        raise().await.unwrap();
    }
    server.kill().await.unwrap();
    assert!(raise().await.is_err());
    server.start().await.unwrap();
    until(async || raise().await.is_ok()).await;
    until(async || shared_events::backlog(&db).await.is_ok_and(|backlog| backlog.waiting == 0)).await;
    let seen = crate::support::seen(&db, &tenant, "see", "a").await;
    assert_eq!(seen, Vec::from_iter(1..=i64::try_from(seen.len()).unwrap()));
    assert!(seen.len() >= 21);
    relay.stop().await;
}

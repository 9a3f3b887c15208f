//! A database that goes back in time behind relays that go on, as when a standby takes over that was behind: what it forgot is forgotten, and
//! what it has is delivered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared_core::{AssumedTenant, InTenant as _};
use shared_db::{Db, TenantTx, bootstrap};
use shared_devkit::{Postgres, Replica};
use shared_events::sink::{Accepted, Capabilities, Refusal, Sink};
use shared_events::{Config, Envelope, Error, Intake, Lane, Place, Relay};
use tokio::sync::Semaphore;
use tokio_postgres::{Client, Config as Address, config::Host};

use crate::handover::Broker;
use crate::memory::{InMemory, start};
use crate::restore::session;
use crate::support::{MIGRATIONS, World, a_tenant, connect, quick, raise, seeing, seen, until};

/// All that relays and consumers know.
const BACKUP: &str = "
    create table kept_cursor as select * from shared_events.cursor;
    create table kept_position as select * from shared_events.position;
    create table kept_seen as select * from it.seen;
    create table kept as select max(tick) as tick from shared_events.tick";

/// At once, as a failover is. Of the events those stay whose counter is no greater.
fn set_back(to: i64) -> String {
    format!(
        "begin;
         set local session_replication_role = replica;
         delete from shared_events.tick using kept where tick.tick > kept.tick;
         update shared_events.position set tick = kept.tick, pos = kept.pos from kept_position as kept
          where (position.tenant_id, position.subscription, position.consumer, position.lane)
              = (kept.tenant_id, kept.subscription, kept.consumer, kept.lane);
         update shared_events.cursor set tick = kept.tick, pos = kept.pos, owner = kept.owner, epoch = kept.epoch from kept_cursor as kept
          where (cursor.subscription, cursor.lane) = (kept.subscription, kept.lane);
         delete from it.seen;
         insert into it.seen select * from kept_seen;
         delete from shared_events.log where (payload ->> 'n')::bigint > {to};
         update it.counter set n = {to};
         commit"
    )
}

/// Of the two that one which takes writes.
fn either(one: &str, other: &str) -> String {
    let at = |url: &str| {
        let address: Address = url.parse().unwrap();
        let [Host::Tcp(host)] = address.get_hosts() else { panic!("a host by name") };
        format!("{host}:{}", address.get_ports()[0])
    };
    let url = one.replacen(&at(one), &format!("{},{}", at(one), at(other)), 1);
    format!("{url}{}target_session_attrs=read-write", if url.contains('?') { '&' } else { '?' })
}

/// A primary, and relays that follow whatever takes its place.
struct Site {
    server: Postgres,
    db: Db,
    tenant: AssumedTenant,
    sink: InMemory,
    relays: [Relay; 2],
}

impl Site {
    /// With a standby. The leases are longer than a failover takes.
    async fn new(config: Config) -> (Self, Replica) {
        let server = Postgres::exclusive().await.unwrap();
        let migrations = [shared_events::MIGRATIONS, MIGRATIONS];
        bootstrap(&shared_db::Config::new(server.url()), &migrations).await.unwrap();
        let replica = server.replica().await.unwrap();
        let (db, sink) = (connect(&either(server.url(), replica.url()), 5).await, InMemory::default());
        let config = Config { lease: Duration::from_secs(9), ..config };
        let consuming = Relay::start(db.clone(), (), seeing(), config.clone()).await.unwrap();
        let config = Config { subscription: "memory".to_owned(), ..config };
        let bringing = Relay::to(db.clone(), Arc::new(sink.clone()), config).await.unwrap();
        (Self { server, db, tenant: a_tenant(), sink, relays: [consuming, bringing] }, replica)
    }

    /// So many events of each of these keys, in a transaction.
    async fn publish(&self, keys: &[&str], each: usize) -> Result<(), Error> {
        let raising = async |tx: &mut TenantTx| {
            for key in keys.repeat(each) {
                raise(tx, key).await?;
            }
            Ok(())
        };
        self.db.tenant(&self.tenant).tx(raising).await
    }

    async fn seen(&self, key: &str) -> Vec<i64> {
        seen(&self.db, &self.tenant, "see", key).await
    }

    /// The standby takes over. The first who publish there meet connections that are gone.
    async fn fails_over_to(mut self, replica: Replica, keys: &[&str]) -> Self {
        self.server.kill().await.unwrap();
        self.server = replica.promote().await.unwrap();
        until(async || self.publish(keys, 1).await.is_ok()).await;
        self
    }

    async fn stop(self) {
        for relay in self.relays {
            relay.stop().await;
        }
    }
}

/// It has what its primary has, and gets nothing more.
async fn cut_off(replica: &Replica) {
    replica.caught_up().await.unwrap();
    let apart = session(replica.server()).await;
    apart.batch_execute("alter system set primary_conninfo = ''").await.unwrap();
    apart.batch_execute("select pg_reload_conf()").await.unwrap();
    let alone = "select not exists (select from pg_stat_wal_receiver)";
    until(async || apart.query_one(alone, &[]).await.unwrap().get(0)).await;
}

/// The lanes stay the relays' own: all of it is over before a lease is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_go_on_at_a_standby_that_was_behind() {
    let (site, replica) = Site::new(quick()).await;
    let come = async |last: i64| {
        site.publish(&["a"], 1).await.unwrap();
        until(async || {
            site.seen("a").await.last() == Some(&last) && site.sink.got("a").last() == Some(&last)
        })
        .await;
    };
    come(1).await;
    come(2).await;
    cut_off(&replica).await;
    come(3).await;
    come(4).await;
    let site = site.fails_over_to(replica, &["a"]).await;
    site.publish(&["a"], 1).await.unwrap();
    until(async || site.seen("a").await == [1, 2, 3, 4] && site.sink.got("a").len() == 6).await;
    assert_eq!(site.sink.got("a"), [1, 2, 3, 4, 3, 4]);
    assert!(site.sink.is_in_order());
    site.stop().await;
}

/// The standby has the events, and neither the tick that had cut them off nor what came of the first of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_the_middle_of_a_batch_has_its_effect_once_at_a_standby_that_was_behind() {
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let (site, replica) = Site::new(Config { page: 64, batch: 8, ..quick() }).await;
    site.publish(&keys, 1).await.unwrap();
    until(async || site.sink.got("h") == [1] && site.seen("h").await == [1]).await;
    let superuser = session(&site.server).await;
    superuser.batch_execute("begin; select from shared_events.tick_lock for update").await.unwrap();
    site.publish(&keys, 200).await.unwrap();
    cut_off(&replica).await;
    superuser.batch_execute("commit").await.unwrap();
    until(async || site.sink.got("a").len() > 20 && site.seen("a").await.len() > 20).await;
    let site = site.fails_over_to(replica, &keys).await;
    let all = Vec::from_iter(1..=202);
    for key in keys {
        until(async || site.seen(key).await.len() >= all.len() && site.sink.got(key).last() == Some(&202))
            .await;
        assert_eq!(site.seen(key).await, all);
        let got = site.sink.got(key);
        let (before, after) = got.split_at(got.len() - 201);
        assert_eq!((before, after), (&all[..before.len()], &all[1..]), "{key}");
    }
    assert!(site.sink.is_in_order());
    site.stop().await;
}

/// Nobody sees an event as long as it is held.
const HOLD: &str = "begin; lock table it.seen in exclusive mode";

/// The standby has an event and the tick that had cut it off, and not its effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_a_standby_lacks_happens_there() {
    let (site, replica) = Site::new(quick()).await;
    site.publish(&["a"], 1).await.unwrap();
    until(async || site.seen("a").await == [1] && site.sink.got("a") == [1]).await;
    let superuser = session(&site.server).await;
    superuser.batch_execute(HOLD).await.unwrap();
    site.publish(&["a"], 1).await.unwrap();
    until(async || site.sink.got("a") == [1, 2]).await;
    cut_off(&replica).await;
    superuser.batch_execute("commit").await.unwrap();
    until(async || site.seen("a").await == [1, 2]).await;
    let site = site.fails_over_to(replica, &["a"]).await;
    until(async || site.seen("a").await == [1, 2, 3] && site.sink.got("a") == [1, 2, 3]).await;
    site.stop().await;
}

/// A broker brings events to a database whose standby takes over without the effect of the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_of_an_intake_that_a_standby_lacks_happens_there() {
    let (here, broker) = (World::new().await, Broker::default());
    let bringing = Config { subscription: "broker".to_owned(), ..quick() };
    let relay = Relay::to(here.db.clone(), Arc::new(broker.clone()), bringing).await.unwrap();
    let (mut site, replica) = Site::new(quick()).await;
    site.tenant = AssumedTenant::new(here.tenant.context().tenant(), "the same tenant");
    let config = Config { lease: Duration::from_secs(9), ..quick() };
    let intake = Intake::start(site.db.clone(), (), seeing(), broker, config).await.unwrap();
    here.raise("a").await;
    until(async || site.seen("a").await == [1]).await;
    cut_off(&replica).await;
    here.raise("a").await;
    until(async || site.seen("a").await == [1, 2]).await;
    let site = site.fails_over_to(replica, &["of its own"]).await;
    here.raise("a").await;
    until(async || site.seen("a").await == [1, 2, 3]).await;
    relay.stop().await;
    intake.stop().await;
    site.stop().await;
}

/// The log has an event that had its effect with a tick that is gone, and the effect is gone too.
#[tokio::test]
async fn an_event_whose_tick_is_forgotten_has_its_effect_once_more_and_once() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let relay = world.relay(seeing()).await;
    let publish = async |last: i64| {
        world.raise("a").await;
        until(async || world.seen("see", "a").await == Vec::from_iter(1..=last)).await;
    };
    publish(1).await;
    world.settled().await;
    superuser.batch_execute(BACKUP).await.unwrap();
    for last in 2..=4 {
        publish(last).await;
    }
    superuser.batch_execute(&set_back(2)).await.unwrap();
    until(async || world.seen("see", "a").await == [1, 2]).await;
    for last in 3..=5 {
        publish(last).await;
    }
    relay.stop().await;
}

/// A sink that takes what it gets, and whose answer to what comes after the first is lost, when the test wants.
#[derive(Clone)]
struct Unheard(InMemory, Arc<Semaphore>);

#[async_trait]
impl Sink for Unheard {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        self.0.last(lane).await
    }

    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        let accepted = self.0.send(lane, after, events).await;
        if after.is_none() || accepted.refusal.is_some() {
            return accepted;
        }
        let _heard = self.1.acquire().await.unwrap();
        Accepted::until(0, Refusal::Fenced("nobody knows".to_owned()))
    }
}

/// The sink's last place is one that the relay never knew it to have, of a tick that the database has forgotten since.
#[tokio::test]
async fn what_a_sink_took_and_the_database_forgot_is_nobody_else_s() {
    let world = World::new().await;
    let (superuser, heard) = (world.superuser().await, Arc::new(Semaphore::new(0)));
    let sink = InMemory::default();
    let config = Config { subscription: "memory".to_owned(), ..quick() };
    let unheard = Unheard(sink.clone(), Arc::clone(&heard));
    let relay = Relay::to(world.db.clone(), Arc::new(unheard), config).await.unwrap();
    world.raise("a").await;
    world.settled().await;
    superuser.batch_execute(BACKUP).await.unwrap();
    world.raise("a").await;
    until(async || sink.got("a") == [1, 2]).await;
    superuser.batch_execute(&set_back(1)).await.unwrap();
    heard.add_permits(1);
    world.raise("a").await;
    until(async || sink.got("a") == [1, 2, 2]).await;
    world.raise("a").await;
    world.settled().await;
    assert_eq!(sink.got("a"), [1, 2, 2, 3]);
    assert!(sink.is_in_order());
    relay.stop().await;
}

/// It was on its way when the database went back, and comes when the sink has said what it has.
#[tokio::test]
async fn what_arrives_at_a_sink_after_the_database_went_back_is_nobody_else_s() {
    let world = World::new().await;
    let (superuser, sink) = (world.superuser().await, InMemory::default());
    let (late, other) = world.keys_apart().await;
    let relay = start(&world, &sink).await;
    world.raise(&late).await;
    world.settled().await;
    superuser.batch_execute(BACKUP).await.unwrap();
    world.raise(&other).await;
    world.settled().await;
    let newest = "select max(tick) from shared_events.tick";
    let forgotten = superuser.query_one(newest, &[]).await.unwrap().get(0);
    superuser.batch_execute(&set_back(0)).await.unwrap();
    let said =
        "select exists (select from shared_events.relay where state ->> 'last_error' like '%gone back%')";
    until(async || superuser.query_one(said, &[]).await.unwrap().get(0)).await;
    // Each lane at least once more.
    sink.with(|memory| memory.asked = 0);
    until(async || sink.with(|memory| memory.asked > 32)).await;
    sink.push(world.lane(&late).await, Place::new(forgotten, 1));
    world.raise(&late).await;
    until(async || sink.got(&late) == [1, 1]).await;
    relay.stop().await;
}

async fn owned(superuser: &Client, by: i64) -> bool {
    let owned = "select count(distinct owner) = $1 and count(owner) = 16 from shared_events.cursor";
    superuser.query_one(owned, &[&by]).await.unwrap().get(0)
}

/// That they were handed on is forgotten, and no tick is.
#[tokio::test]
async fn lanes_that_were_handed_on_and_are_its_own_again_are_worked_on() {
    let world = World::new().await;
    let (superuser, sink) = (world.superuser().await, InMemory::default());
    let relay = start(&world, &sink).await;
    until(async || owned(&superuser, 1).await).await;
    superuser.batch_execute(BACKUP).await.unwrap();
    let other = start(&world, &sink).await;
    until(async || owned(&superuser, 2).await).await;
    other.stop().await;
    superuser.batch_execute(&set_back(0)).await.unwrap();
    for n in 0..64 {
        world.raise(&format!("key {n}")).await;
    }
    until(async || sink.with(|memory| memory.lanes.values().map(Vec::len).sum::<usize>() == 64)).await;
    world.settled().await;
    relay.stop().await;
}

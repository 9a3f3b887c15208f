use shared_db::redis::{Config, FromRedisValue, Redis, Value, cmd};
use shared_devkit::{Proxy, Redis as Server};

use super::*;
use crate::cloudevents::{self, Headers};
use crate::intake::{Read, RedisGroup, unread};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::sink::tests::redis::valkey;
use crate::sink::tests::redis::{add as add_foreign, take_out};
use crate::sink::{Accepted, RedisStreams, Refusal, fields};
use crate::{Cause, Error, Explanation};

async fn connected(url: &str) -> RedisStreams {
    RedisStreams::new(&Redis::connect(&Config::new(url)).await.unwrap())
}

#[tokio::test]
async fn from_redis_each_event_has_its_effect_once_and_in_its_order() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    each_event_has_its_effect_once_and_in_its_order(&connected(database.url()).await).await;
}

#[tokio::test]
async fn from_redis_intakes_share_the_lanes_and_take_over() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    intakes_share_the_lanes_and_take_over(&connected(database.url()).await).await;
}

#[tokio::test]
async fn from_redis_a_poisoned_event_holds_up_its_key_alone() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    a_poisoned_event_holds_up_its_key_alone(&connected(database.url()).await).await;
}

#[tokio::test]
async fn from_redis_an_event_of_a_newer_version_waits_for_who_knows_it() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    an_event_of_a_newer_version_waits_for_who_knows_it(&connected(database.url()).await).await;
}

#[tokio::test]
async fn what_is_no_event_is_passed_by() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let broker = connected(database.url()).await;
    let lane = Lane::new(0).unwrap();
    for (id, field) in [("1-1", "data"), ("1-2", "ce-id")] {
        let mut add = cmd("XADD");
        add.arg(broker.key(lane)).arg(id).arg(field).arg(b"\xff\xfe".as_slice());
        let _: String = broker.redis.command(&add).await.unwrap();
    }
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let next = raised(lane, tenant, "0", 1, Place::new(2, 1));
    assert_eq!(broker.send(lane, None, &[next]).await.count, 1);
    let there = There::new().await;
    let intake = there.intake(broker).await;
    there.has_seen(1).await;
    intake.stop().await;
}

/// By an id that is later than all to come. What comes when it is taken out comes before it.
#[tokio::test]
async fn what_comes_before_something_that_was_no_event_is_read_when_that_is_taken_out() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    what_was_no_event_is_taken_out(connected(database.url()).await).await;
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn what_comes_before_something_that_was_no_event_is_read_when_that_is_taken_out_of_valkey() {
    let (mut server, broker) = valkey().await;
    what_was_no_event_is_taken_out(broker).await;
    server.kill().await.unwrap();
}

async fn what_was_no_event_is_taken_out(broker: RedisStreams) {
    let (there, lane) = (There::new().await, Lane::FIRST);
    let send = async |n: i64| send(&broker, n, Place::new(n, 1)).await;
    send(1).await;
    let late = add_foreign(&broker, lane, "99999999999999-0").await;
    let intake = there.intake(broker.clone()).await;
    there.has_seen(1).await;
    // It has read what is no event, and waits for what lies behind that.
    let subscriptions = Subscriptions::new(&there.db);
    let group = subscriptions.subscription("redis:events:main");
    until(async || group.lanes().await.unwrap()[0].mark.as_deref() == Some("1-1")).await;
    assert_eq!(unread(&there.db, &broker, &quick()).await.unwrap().waiting, 0);
    let Some(Refusal::Foreign(said)) = send(2).await.refusal else { panic!("it stands behind {late}") };
    assert_eq!(take_out(&broker.redis, &said).await, 1);
    send(2).await;
    there.has_seen(2).await;
    intake.stop().await;
    // And one that was not there when it was taken out.
    send(3).await;
    let intake = there.intake(broker).await;
    there.has_seen(3).await;
    intake.stop().await;
}

async fn send(broker: &RedisStreams, n: i64, place: Place) -> Accepted {
    let (tenant, last) = (TenantId::from_uuid(Uuid::from_u128(1)), broker.last(Lane::FIRST).await.unwrap());
    broker.send(Lane::FIRST, last, &[raised(Lane::FIRST, tenant, "0", n, place)]).await
}

/// Streams that nobody reads while a test holds the mark behind which the first lane was read last.
struct Watched(RedisStreams, Arc<tokio::sync::Mutex<Option<String>>>);

#[async_trait::async_trait]
impl Source for Watched {
    fn name(&self) -> String {
        Source::name(&self.0)
    }

    async fn read(&self, lane: Lane, mark: Option<&str>, most: usize) -> Result<Read, Error> {
        let mut read = self.1.lock().await;
        if lane == Lane::FIRST {
            *read = mark.map(str::to_owned);
        }
        self.0.read(lane, mark, most).await
    }
}

/// By `*` there come events before it and behind it between two looks, when it is taken out.
#[tokio::test]
async fn what_comes_around_something_that_was_no_event_is_read_when_that_is_taken_out() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (broker, there) = (connected(database.url()).await, There::new().await);
    let read = Arc::new(tokio::sync::Mutex::new(None));
    send(&broker, 1, Place::new(1, 1)).await;
    let now = add_foreign(&broker, Lane::FIRST, "*").await;
    let intake = there.intake(Watched(broker.clone(), Arc::clone(&read))).await;
    until(async || read.lock().await.as_ref() == Some(&now)).await;

    let held = read.lock().await;
    let Some(Refusal::Foreign(said)) = send(&broker, 2, Place::new(2, 1)).await.refusal else {
        panic!("it stands behind {now}")
    };
    assert_eq!(take_out(&broker.redis, &said).await, 1);
    for (n, place) in [(2, Place::new(2, 1)), (3, Place::new(99_999_999_999_999, 1))] {
        assert_eq!(send(&broker, n, place).await.count, 1);
    }
    drop(held);
    there.has_seen(3).await;
    intake.stop().await;
    assert_eq!(there.seen().await.into_values().collect::<Vec<_>>(), [[1, 2, 3]]);
}

/// Nobody is told that nothing waits behind them.
#[tokio::test]
async fn what_waits_behind_more_than_is_looked_at_is_not_known() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (broker, there) = (connected(database.url()).await, There::new().await);
    assert_eq!(send(&broker, 1, Place::new(1, 1)).await.count, 1);
    let intake = there.intake(broker.clone()).await;
    there.has_seen(1).await;
    intake.stop().await;
    let flood = "for n = 1, 10000 do redis.call('XADD', KEYS[1], '*', 'hello', 'world') end";
    let mut eval = cmd("EVAL");
    let _: Value = broker.redis.command(eval.arg(flood).arg(1).arg(broker.key(Lane::FIRST))).await.unwrap();
    assert_eq!(send(&broker, 2, Place::new(99_999_999_999_999, 1)).await.count, 1);
    let said = unread(&there.db, &broker, &quick()).await.unwrap_err().to_string();
    assert!(said.contains("10000") && said.contains("lane 0"), "{said}");
}

/// The mark's own entry says whether something between it and the first one was trimmed.
#[tokio::test]
async fn what_was_trimmed_unread_shows() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let broker = connected(database.url()).await;
    let lane = Lane::new(0).unwrap();
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let page: Vec<_> = (1..=9).map(|n| raised(lane, tenant, "0", n, Place::new(1, n))).collect();
    broker.send(lane, None, &page).await;
    let read = broker.read(lane, Some("1-3"), 4).await.unwrap();
    assert!(!read.missed);
    assert_eq!(
        read.taken.iter().map(|taken| taken.mark.as_str()).collect::<Vec<_>>(),
        ["1-4", "1-5", "1-6", "1-7"]
    );
    assert!(!broker.read(lane, Some("1-9"), 4).await.unwrap().missed);
    let _: usize =
        broker.redis.command(cmd("XTRIM").arg(broker.key(lane)).arg("MAXLEN").arg(4)).await.unwrap();
    let read = broker.read(lane, Some("1-3"), 4).await.unwrap();
    assert!(read.missed && read.taken.len() == 4);
    let read = broker.read(lane, Some("1-6"), 4).await.unwrap();
    assert!(!read.missed && read.taken.len() == 3);
}

#[tokio::test]
async fn a_broker_that_is_killed_is_read_on_when_it_is_back() {
    let mut server = Server::exclusive().await.unwrap();
    let (broker, there, published) = (connected(server.url()).await, There::new().await, Published::new(10));
    let intake = there.intake(broker.clone()).await;
    published.send(&broker).await;
    there.has_seen(1).await;
    server.kill().await.unwrap();
    server.start().await.unwrap();
    there.has_seen(published.count()).await;
    intake.stop().await;
    assert_eq!(there.seen().await, published.expected);
}

fn words(explanation: &Explanation) -> Vec<&'static str> {
    explanation.causes.iter().map(Cause::name).collect()
}

#[tokio::test]
async fn an_intake_is_seen_explained_and_paused_as_subscriptions_of_the_log_are() {
    let mut server = Server::exclusive().await.unwrap();
    let (broker, there, published) =
        (connected(server.url()).await, There::poisoned().await, Published::new(4));
    there.intake(broker.clone()).await.stop().await;
    let subscriptions = Subscriptions::new(&there.db);
    let of_redis = subscriptions.subscription("redis:events:main");
    let status = async || of_redis.status().await.unwrap().unwrap();
    let explain = async || of_redis.explain().await.unwrap();
    assert_eq!((status().await.kind, status().await.relays), (Kind::Intake, 0));
    assert_eq!(words(&explain().await), ["no_relay"], "and nobody knows what waits there");

    // Paused, it looks at what is there, and touches nothing.
    assert!(of_redis.pause().await.unwrap());
    published.send(&broker).await;
    let intake = there.intake(broker.clone()).await;
    until(async || {
        let status = status().await;
        (status.waiting, status.relays, status.held) == (published.count() as u64, 1, 16)
    })
    .await;
    until(async || words(&explain().await) == ["paused"]).await;
    let lane = of_redis.lanes().await.unwrap().remove(0);
    assert!(
        lane.mark.is_none() && lane.oldest.is_some() && lane.holder.unwrap().pid == Some(std::process::id())
    );
    assert!(there.seen().await.is_empty());
    of_redis.resume().await.unwrap();
    there.has_seen(published.count() - 9).await;
    until(async || status().await.waiting == 0 && status().await.dead == 3).await;
    assert_eq!((status().await.parked, status().await.oldest), (9, None));
    assert_eq!(words(&explain().await), ["parked_key"; 3]);
    assert!(of_redis.lanes().await.unwrap()[0].mark.is_some());

    // Its broker is away.
    server.kill().await.unwrap();
    until(async || words(&explain().await).contains(&"cannot_read")).await;
    server.start().await.unwrap();
    until(async || !words(&explain().await).contains(&"cannot_read")).await;

    assert!(of_redis.retire().await.unwrap_err().to_string().contains("1 relays work on"));
    intake.stop().await;
    assert!(of_redis.retire().await.unwrap());
    assert_eq!(of_redis.status().await.unwrap(), None);
    assert!(there.db.system().all(&PARKED, ()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_intake_of_the_own_log_shows_what_is_parked_under_the_name_of_the_consumers() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (broker, there, published) =
        (connected(database.url()).await, There::poisoned().await, Published::new(4));
    published.send(&broker).await;
    let events = Events::new().handle("see", see);
    let intake =
        Intake::of_own_log(there.db.clone(), there.cure.clone(), events, broker, quick()).await.unwrap();
    let subscriptions = Subscriptions::new(&there.db);
    let status = async || subscriptions.subscription("redis:events:main").status().await.unwrap().unwrap();
    until(async || status().await.parked == 9).await;
    assert_eq!(status().await.parked_under, "main");
    let explained = subscriptions.subscription("redis:events:main").explain().await.unwrap();
    assert_eq!(words(&explained), ["parked_key"; 3]);
    intake.stop().await;
}

#[tokio::test]
async fn a_redis_group_is_paused_and_resumed() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (redis, published) = (Redis::connect(&Config::new(database.url())).await.unwrap(), Published::new(2));
    let open = async || RedisGroup::open(&redis, "raised", "seers").await.unwrap();
    let add = async || add(&redis, "raised", &published).await;
    a_group_is_paused_and_resumed(&published, open, add, 2 * published.count()).await;
}

/// As a program without our streams adds them: in any order, and each twice.
async fn add(redis: &Redis, stream: &str, published: &Published) {
    for event in published.all().chain(published.all()) {
        let mut add = cmd("XADD");
        add.arg(stream).arg("*");
        let mut headers = Headers::default();
        cloudevents::Source::default().headers(event, &mut headers);
        for (name, value) in headers.iter() {
            add.arg(name).arg(value);
        }
        let _: String = redis.command(add.arg(fields::DATA).arg(&event.payload)).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_redis_group_each_event_has_its_effect_once() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (redis, published) = (Redis::connect(&Config::new(database.url())).await.unwrap(), Published::new(5));
    add(&redis, "raised", &published).await;
    let open = async || {
        let group = RedisGroup::open(&redis, "raised", "seers").await.unwrap();
        group.redelivered_after(Duration::from_millis(300))
    };
    let unacknowledged = async || pending(&redis).await;
    each_event_of_a_group_has_its_effect_once(&published, open, unacknowledged).await;
}

#[tokio::test]
async fn of_a_redis_group_a_poisoned_event_holds_up_its_key_alone() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (redis, published) = (Redis::connect(&Config::new(database.url())).await.unwrap(), Published::new(4));
    add(&redis, "raised", &published).await;
    let open = async || RedisGroup::open(&redis, "raised", "seers").await.unwrap();
    a_poisoned_event_of_a_group_holds_up_its_key_alone(&published, open).await;
}

async fn pending(redis: &Redis) -> usize {
    let pending: Vec<Value> = redis.command(cmd("XPENDING").arg("raised").arg("seers")).await.unwrap();
    usize::from_redis_value_ref(&pending[0]).unwrap()
}

#[tokio::test]
async fn what_a_redis_group_could_not_do_is_done_soon_all_the_same() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (redis, published) = (Redis::connect(&Config::new(database.url())).await.unwrap(), Published::new(4));
    add(&redis, "raised", &published).await;
    let open = async || RedisGroup::open(&redis, "raised", "seers").await.unwrap();
    what_a_group_could_not_do_is_done_soon(&published, open).await;
}

/// They are this reader's, and it has not heard of them; one was deleted since.
#[tokio::test]
async fn what_redis_has_handed_out_in_an_answer_that_was_lost_is_taken_with_the_next() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (redis, published) = (Redis::connect(&Config::new(database.url())).await.unwrap(), Published::new(1));
    add(&redis, "raised", &published).await;
    let proxy = Proxy::to(database.url()).await.unwrap();
    let reader = Redis::connect(&Config::new(proxy.url(database.url()))).await.unwrap();
    let group = RedisGroup::open(&reader, "raised", "seers").await.unwrap();

    // Behind what XAUTOCLAIM answers where nothing is to be claimed.
    proxy.to_client().cut_after(1000);
    assert!(group.take(64).await.is_err());
    proxy.heal();
    let handed_out = pending(&redis).await;
    assert!(handed_out > 0);
    let first: Vec<(String, Value)> =
        redis.command(cmd("XRANGE").arg("raised").arg("-").arg("+").arg("COUNT").arg(1)).await.unwrap();
    let _: u64 = redis.command(cmd("XDEL").arg("raised").arg(&first[0].0)).await.unwrap();

    let taken = group.take(64).await.unwrap();
    let (events, deleted): (Vec<_>, Vec<_>) = taken.iter().partition(|delivery| delivery.event.is_ok());
    assert_eq!((events.len(), deleted.len()), (handed_out - 1, 1));
    let tokens: Vec<String> = taken.into_iter().map(|delivery| delivery.token).collect();
    group.acknowledge(&tokens).await.unwrap();
    assert!(group.take(64).await.unwrap().is_empty() && pending(&redis).await == 0);
}

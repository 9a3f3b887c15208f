//! What every intake promises, on real servers: the same tests for each broker.

mod flood;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
mod newer;
#[cfg(feature = "redis")]
mod redis;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{Actor, Context, Failure, TenantId};
use shared_db::{Db, MigrationSet, Step, TenantTx, bootstrap, statements};
use shared_devkit::{Postgres, TestDatabase};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Group, Intake, Source};
use crate::fixture::Session;
use crate::sink::Sink;
use crate::{
    Config, Envelope, Event, Events, FromDelivery, Kind, LANES, Lane, MIGRATIONS, Place, Received,
    Subscriptions,
};

const SQL: &str = "
    create table it.seen (
        tenant_id uuid not null, key text not null, place bigint generated always as identity, n bigint not null,
        primary key (tenant_id, key, place));
    select shared_db.tenant_table('it.seen');
    grant select on it.seen to {system};
    create policy system_reads on it.seen for select to {system} using (true);";

statements! {
    const SEE: Statement<(String, i64), ()> = "
        insert into it.seen (tenant_id, key, n) values ($tenant, $1, $2)";
    const SEEN: Statement<(), (TenantId, String, i64)> = "
        select tenant_id, key, n from it.seen order by tenant_id, key, place";
    const MARKS: Statement<(), ()> = "
        update shared_events.intake set mark = null";
    const LAST: Statement<(), Option<String>> = "
        select max(mark) from shared_events.intake";
    const OWNERS: Statement<(), i64> = "
        select count(*) from shared_events.intake where expires > clock_timestamp()";
    const PARKED: Statement<(), (String, String, i32)> = "
        select key, state, attempts from shared_events.parked order by key, pos";
    // As an operator does it.
    const REDRIVE: Statement<(), ()> = "
        update shared_events.parked set state = 'retrying', next_at = clock_timestamp(), attempts = 0
         where state in ('dead', 'retrying')";
}

const OWN: MigrationSet = MigrationSet::new("it", &[Step::sql(1, "seen", SQL)]).requires(&["shared_db"]);

#[derive(Serialize, Deserialize)]
struct Raised {
    key: String,
    n: i64,
}

/// What a later release makes of it: it reads older ones as they are.
#[derive(Serialize, Deserialize)]
struct RaisedAnew {
    key: String,
    n: i64,
}

impl Event for RaisedAnew {
    const NAME: &'static str = Raised::NAME;
    const VERSION: u16 = 2;

    fn key(&self) -> String {
        self.key.clone()
    }
}

async fn see_anew(tx: &mut TenantTx, raised: Received<RaisedAnew>) -> Result<(), Failure> {
    tx.execute(&SEE, (&raised.key, raised.n)).await?;
    Ok(())
}

/// The derive is for other crates.
impl Event for Raised {
    const NAME: &'static str = "counter.raised";
    const VERSION: u16 = 1;

    fn key(&self) -> String {
        self.key.clone()
    }
}

/// What the consumer is told: whether the poisoned event still is.
#[derive(Clone, Default)]
struct Cure(Arc<AtomicBool>);

impl FromDelivery<Cure> for Cure {
    fn from_delivery(_: &Context, state: &Cure) -> Self {
        state.clone()
    }
}

/// Writes down what it sees, in its order; one event of key 3 it can't.
async fn see(tx: &mut TenantTx, raised: Received<Raised>, cure: Cure) -> Result<(), Failure> {
    if (raised.key.as_str(), raised.n) == ("3", 2) && !cure.0.load(Ordering::SeqCst) {
        return Err(Failure::new("poison"));
    }
    tx.execute(&SEE, (&raised.key, raised.n)).await?;
    Ok(())
}

/// A database that knows nothing of the events but what a broker brings.
struct There {
    database: TestDatabase,
    db: Db,
    cure: Cure,
}

impl There {
    /// Where no event is poisoned.
    async fn new() -> Self {
        let there = Self::poisoned().await;
        there.cure.0.store(true, Ordering::SeqCst);
        there
    }

    async fn poisoned() -> Self {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        bootstrap(&shared_db::Config::new(database.url()), &[MIGRATIONS, OWN]).await.unwrap();
        let db = Db::connect(&shared_db::Config::new(database.url())).await.unwrap();
        Self { database, db, cure: Cure::default() }
    }

    async fn intake(&self, source: impl Source) -> Intake {
        let events = Events::new().handle("see", see);
        Intake::start(self.db.clone(), self.cure.clone(), events, source, quick()).await.unwrap()
    }

    /// What was seen of each tenant's key, in its order.
    async fn seen(&self) -> BTreeMap<(TenantId, String), Vec<i64>> {
        let mut seen: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for (tenant, key, n) in self.db.system().all(&SEEN, ()).await.unwrap() {
            seen.entry((tenant, key)).or_default().push(n);
        }
        seen
    }

    /// The same without its order.
    async fn sorted(&self) -> BTreeMap<(TenantId, String), Vec<i64>> {
        let mut seen = self.seen().await;
        seen.values_mut().for_each(|key| key.sort_unstable());
        seen
    }

    async fn grouped(&self, group: impl Group) -> Intake {
        let events = Events::new().handle("see", see);
        Intake::grouped(self.db.clone(), self.cure.clone(), events, group, quick()).await.unwrap()
    }

    async fn has_seen(&self, count: usize) {
        until(async || self.seen().await.values().map(Vec::len).sum::<usize>() >= count).await;
    }

    async fn owners(&self) -> i64 {
        self.db.system().one(&OWNERS, ()).await.unwrap()
    }
}

fn quick() -> Config {
    Config {
        poll: Duration::from_millis(20),
        lease: Duration::from_millis(600),
        retry_first: Duration::from_millis(5),
        retry_longest: Duration::from_millis(20),
        ..Config::default()
    }
}

async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(55), wait).await.expect("the condition never came true");
}

/// What another program published: of each of three tenants the keys 0 to 7, each raised from 1 to so many.
struct Published {
    lanes: BTreeMap<Lane, Vec<Envelope>>,
    expected: BTreeMap<(TenantId, String), Vec<i64>>,
}

impl Published {
    fn new(times: i64) -> Self {
        let (mut lanes, mut expected, mut pos): (BTreeMap<_, Vec<_>>, BTreeMap<_, Vec<_>>, _) =
            Default::default();
        for n in 1..=times {
            for tenant in (1..=3).map(|tenant| TenantId::from_uuid(Uuid::from_u128(tenant))) {
                for key in 0..8_u8 {
                    pos += 1;
                    let lane = Lane::new(key * 2 % LANES).unwrap();
                    lanes.entry(lane).or_default().push(raised(
                        lane,
                        tenant,
                        &key.to_string(),
                        n,
                        Place::new(n, pos),
                    ));
                    expected.entry((tenant, key.to_string())).or_default().push(n);
                }
            }
        }
        Self { lanes, expected }
    }

    /// All of them, one after the other.
    fn all(&self) -> impl Iterator<Item = &Envelope> {
        self.lanes.values().flatten()
    }

    fn count(&self) -> usize {
        self.expected.values().map(Vec::len).sum()
    }

    async fn send(&self, sink: &dyn Sink) {
        for (lane, events) in &self.lanes {
            let accepted = sink.send(*lane, None, events).await;
            assert!(accepted.refusal.is_none(), "{accepted:?}");
        }
    }
}

fn raised(lane: Lane, tenant: TenantId, key: &str, n: i64, place: Place) -> Envelope {
    Envelope {
        id: Uuid::now_v7(),
        name: Raised::NAME.to_owned(),
        version: 1,
        key: key.to_owned(),
        tenant,
        at: OffsetDateTime::now_utc(),
        context: Context::new(tenant, Actor::new("another program")),
        payload: format!("{{\"key\":\"{key}\",\"n\":{n}}}"),
        lane,
        place,
        replay: false,
        xid: None,
    }
}

/// All that is there, what comes while it runs, and all of it once more.
async fn each_event_has_its_effect_once_and_in_its_order<B: Sink + Source + Clone>(broker: &B) {
    let (there, published) = (There::new().await, Published::new(10));
    published.send(broker).await;
    let intake = there.intake(broker.clone()).await;
    there.has_seen(published.count()).await;
    intake.stop().await;
    assert_eq!(there.seen().await, published.expected);

    assert_eq!(there.db.system().execute(&MARKS, ()).await.unwrap(), u64::from(LANES));
    let intake = there.intake(broker.clone()).await;
    let tenant = TenantId::from_uuid(Uuid::from_u128(9));
    for lane in published.lanes.keys() {
        let last = broker.last(*lane).await.unwrap();
        let next = raised(*lane, tenant, &format!("of {lane}"), 1, Place::new(11, 10_000));
        assert_eq!(broker.send(*lane, last, &[next]).await.count, 1);
    }
    there.has_seen(published.count() + published.lanes.len()).await;
    intake.stop().await;
    let mut seen = there.seen().await;
    seen.retain(|(of, _), _| *of != tenant);
    assert_eq!(seen, published.expected);
}

/// Two share the lanes, a third comes, one goes in order and one without a word.
async fn intakes_share_the_lanes_and_take_over<B: Sink + Source + Clone>(broker: &B) {
    let (there, published) = (There::new().await, Published::new(20));
    let first = there.intake(broker.clone()).await;
    let second = there.intake(broker.clone()).await;
    until(async || there.owners().await == i64::from(LANES)).await;
    published.send(broker).await;
    let third = there.intake(broker.clone()).await;
    first.stop().await;
    drop(second);
    there.has_seen(published.count()).await;
    until(async || there.owners().await == i64::from(LANES)).await;
    assert!(third.is_running());
    third.stop().await;
    until(async || there.owners().await == 0).await;
    assert_eq!(there.seen().await, published.expected);
}

/// It is parked with what comes behind it of its key, nobody else waits, and when it can be done all of it is, in order.
async fn a_poisoned_event_holds_up_its_key_alone<B: Sink + Source + Clone>(broker: &B) {
    let (there, published) = (There::poisoned().await, Published::new(4));
    published.send(broker).await;
    let intake = there.intake(broker.clone()).await;
    // Of three tenants three events each are parked.
    there.has_seen(published.count() - 9).await;
    until(async || there.db.system().all(&PARKED, ()).await.unwrap().len() == 9).await;
    assert!(there.db.system().all(&PARKED, ()).await.unwrap().iter().all(|(key, _, _)| key == "3"));
    there.cure.0.store(true, Ordering::SeqCst);
    intake.stop().await;
    there.db.system().execute(&REDRIVE, ()).await.unwrap();
    let intake = there.intake(broker.clone()).await;
    there.has_seen(published.count()).await;
    intake.stop().await;
    assert_eq!(there.seen().await, published.expected);
    assert!(there.db.system().all(&PARKED, ()).await.unwrap().is_empty());
}

/// It is parked with what comes behind it of its key, and nothing is dropped: a release that knows it has both, in order.
async fn an_event_of_a_newer_version_waits_for_who_knows_it<B: Sink + Source + Clone>(broker: &B) {
    let (there, lane) = (There::new().await, Lane::FIRST);
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let event = |key: &str, n| raised(lane, tenant, key, n, Place::new(1, n));
    let newer = Envelope { version: 2, ..event("0", 1) };
    let page = [newer, event("0", 2), event("1", 3)];
    assert_eq!(broker.send(lane, None, &page).await.count, 3);
    let intake = there.intake(broker.clone()).await;
    there.has_seen(1).await;
    until(async || there.db.system().all(&PARKED, ()).await.unwrap().len() == 2).await;
    intake.stop().await;
    let parked = there.db.system().all(&PARKED, ()).await.unwrap();
    assert_eq!(parked, [("0".into(), "dead".into(), 1), ("0".into(), "waiting".into(), 0)]);
    let of = |key: &str| (tenant, key.to_owned());
    assert_eq!(there.seen().await, BTreeMap::from([(of("1"), vec![3])]));

    there.db.system().execute(&REDRIVE, ()).await.unwrap();
    let anew = Events::new().handle("see", see_anew);
    let intake = Intake::start(there.db.clone(), (), anew, broker.clone(), quick()).await.unwrap();
    there.has_seen(3).await;
    intake.stop().await;
    assert_eq!(there.seen().await, BTreeMap::from([(of("0"), vec![1, 2]), (of("1"), vec![3])]));
}

/// Messages come twice, to two readers, and once more from one that took them and was not heard of again.
async fn each_event_of_a_group_has_its_effect_once<G: Group>(
    published: &Published,
    open: impl AsyncFn() -> G,
    unacknowledged: impl AsyncFn() -> usize,
) {
    let there = There::new().await;
    let gone = open().await;
    assert_eq!(gone.take(20).await.unwrap().len(), 20);
    drop(gone);
    assert_eq!(unacknowledged().await, 20);
    let (first, second) = (there.grouped(open().await).await, there.grouped(open().await).await);
    there.has_seen(published.count()).await;
    until(async || unacknowledged().await == 0).await;
    first.stop().await;
    second.stop().await;
    assert_eq!(there.sorted().await, published.expected);
}

async fn a_poisoned_event_of_a_group_holds_up_its_key_alone<G: Group>(
    published: &Published,
    open: impl AsyncFn() -> G,
) {
    let there = There::poisoned().await;
    let intake = there.grouped(open().await).await;
    let of_others = published.all().filter(|event| event.key != "3").count();
    until(async || {
        there.seen().await.iter().filter(|((_, key), _)| key != "3").map(|(_, n)| n.len()).sum::<usize>()
            == of_others
    })
    .await;
    there.cure.0.store(true, Ordering::SeqCst);
    until(async || {
        there.db.system().execute(&REDRIVE, ()).await.unwrap();
        there.seen().await.values().map(Vec::len).sum::<usize>() == published.count()
    })
    .await;
    intake.stop().await;
    assert_eq!(there.sorted().await, published.expected);
    assert!(there.db.system().all(&PARKED, ()).await.unwrap().is_empty());
}

/// For a moment the database takes no marks. The broker hands out again what was taken then, but much later than this waits.
async fn what_a_group_could_not_do_is_done_soon<G: Group>(published: &Published, open: impl AsyncFn() -> G) {
    let there = There::new().await;
    let server = Session::new(there.database.url()).await;
    server.run("alter table shared_events.inbox rename to away").await;
    let group = open().await;
    let subscriptions = Subscriptions::new(&there.db);
    let subscription = subscriptions.subscription(format!("{}:main", group.name()));
    let waiting = async || subscription.status().await.unwrap().unwrap().waiting;
    let intake = there.grouped(group).await;
    until(async || subscription.explain().await.unwrap().to_string().contains("inbox")).await;
    until(async || waiting().await >= published.count() as u64).await;
    assert!(there.seen().await.is_empty());
    server.run("alter table shared_events.away rename to inbox").await;
    there.has_seen(published.count()).await;
    until(async || waiting().await == 0).await;
    intake.stop().await;
    assert_eq!(there.sorted().await, published.expected);
}

/// It tells what waits for it, so many messages, and takes nothing until it is resumed.
async fn a_group_is_paused_and_resumed<G: Group>(
    published: &Published,
    open: impl AsyncFn() -> G,
    add: impl AsyncFn(),
    messages: usize,
) {
    let there = There::new().await;
    let name = format!("{}:main", open().await.name());
    there.grouped(open().await).await.stop().await;
    let subscriptions = Subscriptions::new(&there.db);
    let group = subscriptions.subscription(name);
    let status = async || group.status().await.unwrap().unwrap();
    assert!(group.pause().await.unwrap());
    add().await;
    let intake = there.grouped(open().await).await;
    until(async || status().await.waiting == messages as u64).await;
    let found = status().await;
    assert_eq!((found.kind, found.relays, found.paused), (Kind::Group, 1, true));
    let said = group.explain().await.unwrap().to_string();
    assert!(said.contains(&format!("{messages} events wait")) && said.contains("paused"), "{said}");
    assert!(there.seen().await.is_empty());
    assert!(group.resume().await.unwrap());
    there.has_seen(published.count()).await;
    until(async || status().await.waiting == 0).await;
    intake.stop().await;
    assert_eq!(there.sorted().await, published.expected);
}

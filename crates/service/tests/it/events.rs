//! Events of a service: straight from the log, through Redis, through NATS; and how operators see them.

use std::env;

use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_devkit::{Nats, Postgres, Redis};
use shared_service::config_loader::Loader;
use shared_service::core::AssumedTenant;
use shared_service::db::redis;
use shared_service::events::sink::RedisStreams;
use shared_service::events::{Subscriptions, handover};
use shared_service::prelude::*;
use shared_service::telemetry::{ServiceInfo, Telemetry};
use shared_service::testing::TestService;
use shared_service::{Broker, NatsConfig, Provided, Running};

use crate::support::{addresses_lead_somewhere, until};

#[derive(Config)]
#[config(prefix = "COUNTING")]
struct Settings {
    service: shared_service::Config,
    db: shared_service::db::Config,
    events: shared_service::events::Config,
    security: shared_service::security::Config,
    telemetry: shared_service::telemetry::Config,
}

permissions! {
    static MATRIX = "counting" { Count = "numbers:count" }
    system { SeeEvents = "events:see", OperateEvents = "events:operate" }
}

/// An effect that happened twice leaves two rows.
const LEDGER: MigrationSet = MigrationSet::new(
    "ledger",
    &[Step::sql(
        1,
        "effect",
        "create table ledger.effect (tenant_id uuid not null, key text not null, n bigint not null, at bigint generated always as identity);
         select shared_db.tenant_table('ledger.effect');",
    )],
)
.requires(&["shared_db"]);

/// A log whose last relay ended long ago: it has a day that nobody needs, and none for tomorrow.
const FORSAKEN: MigrationSet = MigrationSet::new(
    "forsaken",
    &[Step::sql(
        1,
        "days",
        "select shared_events.make_day('2020-01-01');
         select shared_events.drop_day(max(day)) from shared_events.days();",
    )],
)
.requires(&["shared_events"]);

statements! {
    const AHEAD: Statement<(), i64> = "
        select count(*) from shared_events.days() where day > (clock_timestamp() at time zone 'UTC')::date";
    const WRITE: Statement<(String, i64), ()> = "insert into ledger.effect (tenant_id, key, n) values ($tenant, $1, $2)";
    const PUBLISHED: Statement<(), i64> = "select count(*) from shared_events.log where tenant_id = $tenant";
    const EFFECTS: Statement<(), (String, i64)> = "select key, n from ledger.effect where tenant_id = $tenant order by at";
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "number.counted", version = 1, key = "key")]
struct Counted {
    key: String,
    n: i64,
}

async fn write(tx: &mut TenantTx, counted: Received<Counted>) -> Result<(), Failure> {
    tx.execute(&WRITE, (&counted.key, counted.n)).await?;
    Ok(())
}

/// It publishes, and consumes nothing.
fn producer(broker: Option<Broker>) -> Service<Settings> {
    Service::new("counting")
        .migrations(LEDGER)
        .permissions(&MATRIX)
        .events_through(move |_| broker)
        .events_admin("/operate", SeeEvents, OperateEvents)
}

fn service(broker: Option<Broker>) -> Service<Settings> {
    producer(broker).consumers(|events| events.handle("ledger", write))
}

fn through_redis(server: &Redis) -> Option<Broker> {
    Some(Broker::redis(redis::Config::new(server.url())))
}

fn through_nats(server: &Nats) -> Option<Broker> {
    Some(Broker::nats(NatsConfig::new(server.url())))
}

/// Short leases and frequent looks, so that tests are short.
fn variables() -> [(&'static str, String); 3] {
    [
        ("COUNTING_EVENTS_LEASE", "300ms".to_owned()),
        ("COUNTING_EVENTS_POLL", "20ms".to_owned()),
        ("COUNTING_TELEMETRY_HEALTH_INTERVAL", "100ms".to_owned()),
    ]
}

fn tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test has no token")
}

/// Four keys in turn, an event a transaction.
async fn publish(db: &Db, tenant: &AssumedTenant, numbers: impl IntoIterator<Item = i64>) {
    for n in numbers {
        let counted = Counted { key: format!("key {}", n % 4), n };
        db.tenant(tenant).tx(async |tx| tx.publish(counted).await).await.unwrap();
    }
}

/// The numbers that took effect; those of a key did in their order.
async fn effects(db: &Db, tenant: &AssumedTenant) -> Vec<i64> {
    let effects = db.tenant(tenant).all(&EFFECTS, ()).await.unwrap();
    for key in 0..4 {
        let key = format!("key {key}");
        let of_key: Vec<i64> = effects.iter().filter(|(of, _)| *of == key).map(|(_, n)| *n).collect();
        assert!(of_key.is_sorted(), "{key}: {of_key:?}");
    }
    let mut numbers: Vec<i64> = effects.into_iter().map(|(_, n)| n).collect();
    numbers.sort_unstable();
    numbers
}

async fn events_take_effect_once_if_their_transaction_commits(broker: Option<Broker>) {
    let app = TestService::start_with(service(broker), variables()).await;
    let tenant = tenant();
    publish(app.db(), &tenant, 0..40).await;
    let door = app.db().tenant(&tenant);
    let broken = door.tx(async |tx| -> Result<(), Failure> {
        tx.publish(Counted { key: "key 0".to_owned(), n: 1_000 }).await?;
        Err(Failure::new("rolled back"))
    });
    broken.await.unwrap_err();
    app.settle().await;
    assert_eq!(effects(app.db(), &tenant).await, (0..40).collect::<Vec<_>>());
    assert_eq!(reqwest::get(format!("{}/live", app.admin_url())).await.unwrap().status(), 200);
    assert!(app.stop().await.is_clean());
}

#[tokio::test]
async fn straight_from_the_log() {
    events_take_effect_once_if_their_transaction_commits(None).await;
}

#[tokio::test]
async fn through_redis_streams() {
    let server = Redis::exclusive().await.unwrap();
    events_take_effect_once_if_their_transaction_commits(through_redis(&server)).await;
}

#[tokio::test]
async fn through_nats_jetstream() {
    let server = Nats::exclusive().await.unwrap();
    events_take_effect_once_if_their_transaction_commits(through_nats(&server)).await;
}

#[tokio::test]
async fn a_redis_that_is_down_delays_events_and_loses_none() {
    let mut server = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service(through_redis(&server)), variables()).await;
    let tenant = tenant();
    publish(app.db(), &tenant, 0..10).await;
    app.settle().await;
    server.kill().await.unwrap();
    publish(app.db(), &tenant, 10..20).await;
    server.start().await.unwrap();
    until("all are there", async || effects(app.db(), &tenant).await.len() >= 20).await;
    app.settle().await;
    assert_eq!(effects(app.db(), &tenant).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_nats_that_is_down_delays_events_and_loses_none() {
    let mut server = Nats::exclusive().await.unwrap();
    let app = TestService::start_with(service(through_nats(&server)), variables()).await;
    let tenant = tenant();
    publish(app.db(), &tenant, 0..10).await;
    app.settle().await;
    server.kill().await.unwrap();
    publish(app.db(), &tenant, 10..20).await;
    server.start().await.unwrap();
    until("all are there", async || effects(app.db(), &tenant).await.len() >= 20).await;
    app.settle().await;
    assert_eq!(effects(app.db(), &tenant).await, (0..20).collect::<Vec<_>>());
}

/// From the log to Redis, with events that the log's relay has left; and back, when Redis has none left. No effect is lost or doubled.
#[tokio::test]
async fn the_way_may_change_from_the_log_to_a_broker_and_back() {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let (redis, tenant) = (Redis::exclusive().await.unwrap(), tenant());
    let log = launched(service(None), database.url()).await;
    publish(log.db(), &tenant, 0..20).await;
    assert!(log.stop().await.is_clean());

    let there = launched(service(through_redis(&redis)), database.url()).await;
    publish(there.db(), &tenant, 20..40).await;
    settled(&there).await;
    let refused = attempted(service(None), database.url()).await.unwrap_err().to_string();
    assert!(refused.contains("go through the broker of `main.redis`"), "{refused}");
    there.stop().await;

    let db = Db::connect(&shared_service::db::Config::new(database.url())).await.unwrap();
    let streams = RedisStreams::new(&redis::Redis::connect(&redis::Config::new(redis.url())).await.unwrap());
    let (streams, config) = (streams.prefix("counting").unwrap(), shared_service::events::Config::default());
    assert!(handover::to_consumers(&db, "main.redis", &streams, &config).await.unwrap());

    let again = launched(service(None), database.url()).await;
    publish(again.db(), &tenant, 40..60).await;
    settled(&again).await;
    assert_eq!(effects(again.db(), &tenant).await, (0..60).collect::<Vec<_>>());
    again.stop().await;
}

async fn settled(app: &Running<Provided<Settings>>) {
    until("nothing is left", async || app.backlog().await.unwrap().waiting == 0).await;
}

/// In the process that dies: publishes until then.
async fn is_a_victim() -> bool {
    if child::enter().unwrap().is_none() {
        return false;
    }
    let [database, at, tenant] = [DATABASE, BROKER, TENANT].map(|name| env::var(name).unwrap());
    let app = launched(service(broker(&at)), &database).await;
    let tenant = AssumedTenant::new(tenant.parse().unwrap(), "a test has no token");
    publish(app.db(), &tenant, 0..EVENTS / 2).await;
    // The others one after the other, so that it comes by each point as often as it takes.
    for n in EVENTS / 2..EVENTS {
        publish(app.db(), &tenant, [n]).await;
        until("it took effect", async || effects(app.db(), &tenant).await.contains(&n)).await;
    }
    std::future::pending::<bool>().await
}

/// The database, the broker and the tenant, for a process that dies.
const DATABASE: &str = "SERVICE_TEST_DATABASE";
const BROKER: &str = "SERVICE_TEST_BROKER";
const TENANT: &str = "SERVICE_TEST_TENANT";

const EVENTS: i64 = 40;

/// By the scheme of its URL.
fn broker(url: &str) -> Option<Broker> {
    Some(match url.starts_with("redis") {
        true => Broker::redis(redis::Config::new(url)),
        false => Broker::nats(NatsConfig::new(url)),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn through_redis_nothing_is_lost_or_doubled_by_kills() {
    if is_a_victim().await {
        return;
    }
    let kills = kills().run(async |kill| {
        let redis = Redis::exclusive().await.unwrap();
        killed("events::through_redis_nothing_is_lost_or_doubled_by_kills", redis.url(), kill).await
    });
    assert_eq!(kills.await.unwrap().total("effects"), POINTS.len() * 2 * EVENTS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn through_nats_nothing_is_lost_or_doubled_by_kills() {
    if is_a_victim().await {
        return;
    }
    let kills = kills().run(async |kill| {
        let nats = Nats::exclusive().await.unwrap();
        killed("events::through_nats_nothing_is_lost_or_doubled_by_kills", nats.url(), kill).await
    });
    assert_eq!(kills.await.unwrap().total("effects"), POINTS.len() * 2 * EVENTS as usize);
}

/// Behind each step on the way from the log to an effect.
const POINTS: [&str; 5] = [
    "events.relay.cut",
    "events.relay.read",
    "events.relay.sent",
    "events.relay.consumed",
    "events.relay.committed",
];

fn kills() -> Matrix {
    Matrix::new(POINTS.into_iter().flat_map(|point| [1, 3].map(|times| Kill::at(point, times))))
}

async fn killed(test: &'static str, broker_url: &str, kill: Kill) -> Outcome {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let tenant = tenant();
    let victim = Child::test_function(test).env(DATABASE, database.url()).env(BROKER, broker_url);
    let mut victim = victim.env(TENANT, tenant.context().tenant().to_string()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();

    let app = launched(service(broker(broker_url)), database.url()).await;
    // What the victim did not come to publish. The keys' order holds since these come last.
    let published = app.db().tenant(&tenant).one(&PUBLISHED, ()).await.unwrap();
    publish(app.db(), &tenant, published..EVENTS).await;
    settled(&app).await;
    let done = effects(app.db(), &tenant).await;
    assert!(app.stop().await.is_clean());
    let once = (0..EVENTS).filter(|n| done.contains(n)).count();
    Outcome::new()
        .count("effects", once)
        .wrong("twice", done.len() - once)
        .wrong("lost", EVENTS as usize - once)
}

async fn launched(service: Service<Settings>, database: &str) -> Running<Provided<Settings>> {
    attempted(service, database).await.unwrap()
}

async fn attempted(
    service: Service<Settings>,
    database: &str,
) -> Result<Running<Provided<Settings>>, Failure> {
    let own =
        [("DATABASE_URL", database), ("PORT", "127.0.0.1:0"), ("COUNTING_SERVICE_ADMIN", "127.0.0.1:0")];
    let own = own.into_iter().chain([("COUNTING_SERVICE_SETTLE_TIME", "0s")]);
    let own = own.map(|(name, text)| (name, text.to_owned()));
    let settings = Loader::new("counting").vars(own).vars(variables()).load::<Settings>().unwrap().settings;
    let telemetry = Telemetry::builder(ServiceInfo::new("counting", "0")).log_writer(std::io::sink());
    service.launch(settings, &telemetry.build(&Default::default()).unwrap()).await
}

/// It has nothing to relay, and its log needs its days all the same.
#[tokio::test]
async fn the_log_of_a_service_without_consumers_keeps_its_days() {
    let soon = variables().into_iter().chain([("COUNTING_EVENTS_REWIND", "1s".to_owned())]);
    let app = TestService::start_with(producer(None).migrations(FORSAKEN), soon).await;
    publish(app.db(), &tenant(), 0..4).await;
    let subscriptions = Subscriptions::new(app.db());
    let ahead = async || app.db().system().one(&AHEAD, ()).await.unwrap();
    until("two days are ahead", async || ahead().await == 2).await;
    let is_gone = async || {
        let days = subscriptions.days().await.unwrap().days;
        days.iter().all(|day| day.year() > 2020)
    };
    until("the old one is gone", is_gone).await;
    // Another service's consumers, on the same database, have missed nothing by it.
    assert!(subscriptions.status().await.unwrap().is_empty());
    assert_eq!(reqwest::get(format!("{}/live", app.admin_url())).await.unwrap().status(), 200);
    assert!(app.stop().await.is_clean());
}

#[tokio::test]
async fn operators_need_a_permission_of_the_system() {
    let app = TestService::start_with(service(None), variables()).await;
    let (operator, user) = (app.tenant_with((SeeEvents, OperateEvents)), app.tenant_with(Count));
    app.post("/operate/subscriptions/main/pause", &operator, serde_json::json!({})).await.status(204);
    let support = app.tenant_with(SeeEvents);
    app.get("/operate/subscriptions", &support).await.ok();
    app.post("/operate/subscriptions/main/resume", &support, serde_json::json!({})).await.status(403);
    let all: serde_json::Value = app.get("/operate/subscriptions", &operator).await.ok().json();
    assert_eq!(all["subscriptions"][0]["paused"], true, "{all}");
    app.get("/operate/subscriptions", &user).await.status(403);
    let nobody = reqwest::get(format!("{}/operate/subscriptions", app.url())).await.unwrap();
    assert_eq!(nobody.status(), 401);
}

#[tokio::test]
async fn the_document_for_operators_says_where_its_paths_are() {
    let app = TestService::start(service(None)).await;
    addresses_lead_somewhere(&app, "/operate/openapi.json", &app.tenant_with(SeeEvents)).await;
}

/// Requests are not what is late, so they still come.
#[tokio::test]
async fn events_that_are_late_are_seen_and_the_service_stays_ready() {
    let strict = variables().into_iter().chain([("COUNTING_SERVICE_EVENT_AGE", "1s".to_owned())]);
    let app = TestService::start_with(service(None), strict).await;
    let (main, tenant) = (Subscriptions::new(app.db()).subscription("main"), tenant());
    assert!(main.pause().await.unwrap());

    let probe = async |path: &str| reqwest::get(format!("{}/{path}", app.admin_url())).await.unwrap();
    let late = "subscription `main`: an event has waited for";
    let seen = async || {
        // The relay notices a moment later that it is paused: what comes before that is delivered.
        publish(app.db(), &tenant, [0]).await;
        probe("health").await.text().await.unwrap().contains(late)
    };
    until("it is seen", seen).await;
    assert!(probe("health").await.text().await.unwrap().contains("it is paused"));
    assert_eq!(
        (probe("ready").await.status(), probe("live").await.status()),
        (reqwest::StatusCode::OK, reqwest::StatusCode::OK)
    );
    main.resume().await.unwrap();
    app.settle().await;
    until("it is over", async || !probe("health").await.text().await.unwrap().contains(late)).await;
}

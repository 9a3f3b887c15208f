//! Jobs of a service: in Redis, on their way there, and how operators see them.

use std::env;

use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_devkit::{Postgres, Redis};
use shared_service::config_loader::Loader;
use shared_service::core::AssumedTenant;
use shared_service::prelude::*;
use shared_service::queues::{Backlog, Cancelled, NewJob, State as JobState, Unique};
use shared_service::telemetry::{ServiceInfo, Telemetry};
use shared_service::testing::{TestService, TestTenant};
use shared_service::{Provided, RedisQueues, Running};

use crate::support::{addresses_lead_somewhere, until};

#[derive(Config)]
#[config(prefix = "COUNTING")]
struct Settings {
    service: shared_service::Config,
    db: shared_service::db::Config,
    redis: shared_service::db::redis::Config,
    queues: shared_service::queues::Config,
    events: shared_service::events::Config,
    security: shared_service::security::Config,
    telemetry: shared_service::telemetry::Config,
}

permissions! {
    static MATRIX = "counting" { Count = "numbers:count" }
    system { SeeQueues = "queues:see", OperateQueues = "queues:operate" }
}

/// A job that ran twice leaves two rows.
const LEDGER: MigrationSet = MigrationSet::new(
    "ledger",
    &[Step::sql(
        1,
        "run",
        "create table ledger.run (tenant_id uuid not null, n bigint not null);
         select shared_db.tenant_table('ledger.run');",
    )],
)
.requires(&["shared_db"]);

statements! {
    const WRITE: Statement<(i64,), ()> = "insert into ledger.run (tenant_id, n) values ($tenant, $1)";
    const RUNS: Statement<(), i64> = "select n from ledger.run where tenant_id = $tenant order by n";
    const OPERATED: Statement<(TenantId,), Operated> = "
        select outcome, actor, target_id as done, reason, details::text as details from shared_security.audit_log
         where tenant_id = $1 and action = 'queues.operated' order by pos";
}

/// What an operator did, as it is on record.
#[derive(Debug, Row)]
struct Operated {
    outcome: String,
    actor: Option<String>,
    done: Option<String>,
    reason: Option<String>,
    details: Option<String>,
}

impl Operated {
    fn details(&self) -> serde_json::Value {
        serde_json::from_str(self.details.as_deref().unwrap_or("null")).unwrap()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "numbers:write", retry = "exponential from 5ms to 20ms")]
struct Number {
    n: i64,
}

/// Not by `cx.tx`, which would hide that it runs again.
async fn write(number: Number, cx: JobContext) -> Result<(), Failure> {
    cx.tenant()?.execute(&WRITE, (number.n,)).await?;
    Ok(())
}

/// Its queues are in its database.
fn in_database() -> Service<Settings> {
    Service::new("counting").migrations(LEDGER).permissions(&MATRIX)
}

/// It enqueues, and does not work.
fn producer() -> Service<Settings> {
    in_database()
        .queues_in_redis(|settings: &Settings| RedisQueues::new(settings.redis.clone()))
        .queues_admin("/operate", SeeQueues, OperateQueues)
}

fn service() -> Service<Settings> {
    producer().jobs(|jobs| jobs.handle(write))
}

/// Short leases and frequent looks, so that tests are short.
fn variables(redis: &str) -> [(&'static str, String); 5] {
    [
        ("REDIS_URL", redis.to_owned()),
        ("COUNTING_QUEUES_POLL", "20ms".to_owned()),
        ("COUNTING_EVENTS_LEASE", "300ms".to_owned()),
        ("COUNTING_EVENTS_POLL", "20ms".to_owned()),
        ("COUNTING_TELEMETRY_HEALTH_INTERVAL", "100ms".to_owned()),
    ]
}

fn tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test has no token")
}

async fn runs(db: &Db, tenant: &AssumedTenant) -> Vec<i64> {
    db.tenant(tenant).all(&RUNS, ()).await.unwrap()
}

#[tokio::test]
async fn a_job_runs_from_redis_if_its_transaction_commits() {
    let redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service(), variables(redis.url())).await;
    let tenant = tenant();
    let enqueued = app.db().tenant(&tenant).tx(async |tx| tx.enqueue(Number { n: 1 }).await).await.unwrap();
    assert!(enqueued.is_inserted());
    let door = app.db().tenant(&tenant);
    let broken = door.tx(async |tx| -> Result<(), Failure> {
        tx.enqueue(Number { n: 2 }).await?;
        Err(Failure::new("rolled back"))
    });
    broken.await.unwrap_err();
    app.settle().await;
    assert_eq!(runs(app.db(), &tenant).await, [1]);
    assert_eq!(Queues::postgres(app.db()).backlog().await.unwrap(), Backlog::default());
    assert!(
        Queues::postgres(app.db()).status().await.unwrap().is_empty(),
        "nothing was in the database's queues"
    );
}

#[tokio::test]
async fn what_a_job_says_of_itself_goes_along() {
    let redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service(), variables(redis.url())).await;
    let (tenant, queues) = (tenant(), app.queues());
    let enqueue = async |job: NewJob<Number>| {
        app.db().tenant(&tenant).tx(async |tx| tx.enqueue(job).await).await.unwrap().job_id()
    };
    let later = enqueue(NewJob::of(Number { n: 1 }).after(Duration::from_secs(3600))).await;
    until("it has arrived", async || queues.job(later).await.unwrap().is_some()).await;
    assert_eq!(queues.job(later).await.unwrap().unwrap().state, JobState::Scheduled);
    // The same as the one before it, which is found out on arrival.
    let same = || NewJob::of(Number { n: 2 }).unique(Unique::throttle("two", Duration::from_secs(3600)));
    enqueue(same()).await;
    enqueue(same()).await;
    assert_eq!(queues.cancel(later).await.unwrap(), Cancelled::Removed);
    app.settle().await;
    assert_eq!(runs(app.db(), &tenant).await, [2]);
}

#[tokio::test]
async fn a_redis_that_is_down_delays_jobs_and_loses_none() {
    let mut redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service(), variables(redis.url())).await;
    let tenant = tenant();
    let enqueue = async |n| app.db().tenant(&tenant).tx(async |tx| tx.enqueue(Number { n }).await).await;
    enqueue(1).await.unwrap();
    app.settle().await;
    redis.kill().await.unwrap();
    for n in 2..10 {
        enqueue(n).await.unwrap();
    }
    redis.start().await.unwrap();
    until("all have run", async || runs(app.db(), &tenant).await.len() >= 9).await;
    app.settle().await;
    assert_eq!(runs(app.db(), &tenant).await, (1..10).collect::<Vec<_>>());
}

/// The URLs of the database and of Redis, and the tenant, for a process that dies.
const DATABASE: &str = "SERVICE_TEST_DATABASE";
const REDIS: &str = "SERVICE_TEST_REDIS";
const TENANT: &str = "SERVICE_TEST_TENANT";

const JOBS: i64 = 20;

/// It is killed after jobs have come to Redis and before the log knows of it. The jobs that come again run once: also those
/// that have ended by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_carried_twice_runs_once() {
    if child::enter().unwrap().is_some() {
        let urls = [DATABASE, REDIS].map(|name| env::var(name).unwrap());
        let app = launched(producer(), &urls[0], &urls[1]).await;
        let tenant = AssumedTenant::new(env::var(TENANT).unwrap().parse().unwrap(), "a test has no token");
        let jobs = (0..JOBS).map(|n| Number { n });
        app.db().tenant(&tenant).tx(async |tx| tx.enqueue_all(jobs).await).await.unwrap();
        return std::future::pending().await;
    }
    let points = ["service.queues.carried", "events.relay.consumed", "events.relay.committed"];
    let later = [Kill::at(points[0], 7), Kill::at(points[0], JOBS as u64)];
    let kills = Matrix::new(points.map(|point| Kill::at(point, 1)).into_iter().chain(later));
    let report = kills.run(a_carrier_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("runs"), 5 * JOBS as usize);
}

async fn a_carrier_is_killed_and_another_goes_on(kill: Kill) -> Outcome {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let (redis, tenant) = (Redis::exclusive().await.unwrap(), tenant());
    let victim = Child::test_function("queues::a_job_that_is_carried_twice_runs_once");
    let victim = victim.env(DATABASE, database.url()).env(REDIS, redis.url());
    let mut victim = victim.env(TENANT, tenant.context().tenant().to_string()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();

    let app = launched(service(), database.url(), redis.url()).await;
    let arrived = async || {
        let waiting = shared_service::events::backlog(app.db()).await.unwrap().waiting;
        waiting == 0 && app.queues().backlog().await.unwrap().is_settled()
    };
    until("everything has arrived and is done", arrived).await;
    let done = runs(app.db(), &tenant).await;
    assert!(app.stop().await.is_clean());
    let once = (0..JOBS).filter(|n| done.contains(n)).count();
    Outcome::new().count("runs", once).wrong("twice", done.len() - once).wrong("lost", JOBS as usize - once)
}

async fn launched(service: Service<Settings>, database: &str, redis: &str) -> Running<Provided<Settings>> {
    let own =
        [("DATABASE_URL", database), ("PORT", "127.0.0.1:0"), ("COUNTING_SERVICE_ADMIN", "127.0.0.1:0")];
    let own = own.into_iter().chain([("COUNTING_SERVICE_SETTLE_TIME", "0s")]);
    let own = own.map(|(name, text)| (name, text.to_owned()));
    let settings =
        Loader::new("counting").vars(own).vars(variables(redis)).load::<Settings>().unwrap().settings;
    let telemetry = Telemetry::builder(ServiceInfo::new("counting", "0")).log_writer(std::io::sink());
    service.launch(settings, &telemetry.build(&Default::default()).unwrap()).await.unwrap()
}

/// Under a prefix of its own.
fn notes(in_redis: bool) -> Service<Settings> {
    let service = Service::new("counting").migrations(LEDGER).jobs(|jobs| jobs.handle(write));
    service.queues_in_redis(move |settings: &Settings| {
        RedisQueues::new(in_redis.then(|| settings.redis.clone())).prefix("notes")
    })
}

#[tokio::test]
async fn jobs_on_their_way_to_redis_are_not_left_behind_when_it_is_given_up() {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let (redis, tenant) = (Redis::exclusive().await.unwrap(), tenant());
    let app = launched(notes(true), database.url(), redis.url()).await;
    redis.kill().await.unwrap();
    app.db().tenant(&tenant).tx(async |tx| tx.enqueue(Number { n: 1 }).await).await.unwrap();
    app.stop().await;

    let app = launched(notes(false), database.url(), redis.url()).await;
    until("it has run", async || runs(app.db(), &tenant).await == [1]).await;
    assert!(app.stop().await.is_clean());
}

#[tokio::test]
async fn what_operators_change_is_on_record() {
    let redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service().audited(), variables(redis.url())).await;
    let operator = app.tenant_with((SeeQueues, OperateQueues));
    app.get("/operate/queues", &operator).await.ok();
    app.post("/operate/dead-letters/discard", &operator, serde_json::json!({ "all": true })).await.ok();
    app.post("/operate/dead-letters/discard", &operator, serde_json::json!({})).await.status(422);
    let entries = operated(&app, &operator, 2).await;
    for (entry, outcome) in entries.iter().zip(["allowed", "failed"]) {
        assert_eq!((entry.outcome.as_str(), entry.actor.as_deref()), (outcome, Some("test")));
        assert_eq!(
            (entry.done.as_deref(), &entry.reason),
            (Some("dead-letters:discard"), &None),
            "{entry:?}"
        );
    }
}

/// One letter or all of them, one tenant or the whole queue, a limit or one key of it: what the path does not say.
#[tokio::test]
async fn to_what_operators_did_it_is_on_record() {
    let redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service().audited(), variables(redis.url())).await;
    let operator = app.tenant_with((SeeQueues, OperateQueues));
    let (tenant, one) = (tenant().context().tenant(), serde_json::json!({ "at_once": 1 }));
    app.put("/operate/limits/host?key=example.com", &operator, &one).await.status(204);
    app.put("/operate/limits/host", &operator, &one).await.status(204);
    let whom = serde_json::json!({ "tenant": tenant });
    app.post("/operate/queues/default/pause", &operator, &whom).await.status(204);
    let which = serde_json::json!({ "filter": { "tenant": tenant, "reason": "failed" } });
    app.post("/operate/dead-letters/discard", &operator, &which).await.ok();

    let entries = operated(&app, &operator, 4).await;
    let details: Vec<_> = entries.iter().map(Operated::details).collect();
    assert_eq!(
        (&details[0]["path"], &details[0]["query"]),
        (&"/operate/limits/host".into(), &"key=example.com".into())
    );
    assert_eq!((&details[1]["path"], details[1].get("query")), (&details[0]["path"], None));
    for (details, said) in details.iter().zip([&one, &one, &whom, &which]) {
        let body = details["body"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), *said, "{details}");
    }
}

/// What goes in steps may have done some of them.
#[tokio::test]
async fn what_a_server_broke_off_is_on_record_as_in_doubt() {
    let redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service().audited(), variables(redis.url())).await;
    let operator = app.tenant_with((SeeQueues, OperateQueues));
    redis.kill().await.unwrap();
    app.post("/operate/dead-letters/discard", &operator, serde_json::json!({ "all": true }))
        .await
        .status(503);
    let entry = &operated(&app, &operator, 1).await[0];
    assert_eq!((entry.outcome.as_str(), &entry.details()["status"]), ("failed", &503.into()), "{entry:?}");
    assert!(entry.reason.as_deref().unwrap().contains("may have been done"), "{entry:?}");
}

/// So many entries, as soon as they are there.
async fn operated(
    app: &TestService<Provided<Settings>>,
    operator: &TestTenant,
    count: usize,
) -> Vec<Operated> {
    let entries = async || app.db().system().all(&OPERATED, (operator.id(),)).await.unwrap();
    until("all are there", async || entries().await.len() >= count).await;
    entries().await
}

#[tokio::test]
async fn operators_need_a_permission_of_the_system() {
    let redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service(), variables(redis.url())).await;
    let (operator, user) = (app.tenant_with((SeeQueues, OperateQueues)), app.tenant_with(Count));
    app.post("/operate/queues/default/pause", &operator, serde_json::json!({})).await.status(204);
    let queues: serde_json::Value = app.get("/operate/queues", &operator).await.ok().json();
    let (support, machine) = (app.tenant_with(SeeQueues), app.tenant_with(OperateQueues));
    app.get("/operate/queues", &support).await.ok();
    app.post("/operate/queues/default/resume", &support, serde_json::json!({})).await.status(403);
    app.get("/operate/queues", &machine).await.status(403);
    assert_eq!(queues["queues"][0]["paused"], true, "{queues}");
    app.get("/operate/queues", &user).await.status(403);
    let nobody = reqwest::get(format!("{}/operate/queues", app.url())).await.unwrap();
    assert_eq!(nobody.status(), 401);
}

#[tokio::test]
async fn the_document_for_operators_says_where_its_paths_are() {
    let redis = Redis::exclusive().await.unwrap();
    let app = TestService::start_with(service(), variables(redis.url())).await;
    addresses_lead_somewhere(&app, "/operate/openapi.json", &app.tenant_with(SeeQueues)).await;
}

/// Requests are not what is late, so they still come.
#[tokio::test]
async fn jobs_that_are_late_are_seen_and_the_service_stays_ready() {
    async fn enqueue(may: May<Count>, State(queues): State<Queues>) -> Result<(), Problem> {
        queues.tenant(&may).enqueue_all((0..2).map(|n| Number { n })).await?;
        Ok(())
    }
    // A look rests for a hundred times as long as it took, and no longer than that age.
    for (depth, late) in [
        ("1", "queue `default`: 2 jobs are ready, more than 1; it is paused"),
        ("1000", "queue `default`: a job has been ready for "),
    ] {
        let redis = Redis::exclusive().await.unwrap();
        for service in [producer(), in_database()] {
            let service =
                service.jobs(|jobs| jobs.handle(write)).routes(Router::new().route("/", post(enqueue)));
            let strict = [("COUNTING_SERVICE_QUEUE_DEPTH", depth), ("COUNTING_SERVICE_QUEUE_AGE", "1s")];
            let strict = strict.map(|(name, value)| (name, value.to_owned()));
            let variables = variables(redis.url()).into_iter().chain(strict);
            let app = TestService::start_with(service, variables).await;
            app.queues().queue("default").pause().await.unwrap();
            app.post("/", &app.tenant_with(Count), ()).await.ok();

            let probe = async |path: &str| reqwest::get(format!("{}/{path}", app.admin_url())).await.unwrap();
            until("it is seen", async || probe("health").await.text().await.unwrap().contains(late)).await;
            assert_eq!(probe("ready").await.status(), 200);
            app.queues().queue("default").resume().await.unwrap();
            app.settle().await;
            until("it is over", async || !probe("health").await.text().await.unwrap().contains(late)).await;
        }
    }
}

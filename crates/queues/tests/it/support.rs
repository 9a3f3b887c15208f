//! A migrated database for each test, queues on each backend, some jobs, and a state through which tests see and steer their
//! handlers.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Failure, InTenant, TenantId};
use shared_db::{Db, MigrationSet, Step, bootstrap, fingerprint, statements};
use shared_devkit::{Postgres, TestDatabase};
use shared_queues::{
    Backlog, Config, DeadFilter, DeadLetter, FromJob, Job, JobContext, JobFilter, JobId, JobView, Jobs,
    MIGRATIONS, NewJob, Queues, Worker,
};
use tokio::sync::Semaphore;
use validator::Validate;

/// Where handlers write what they did; a job that runs twice leaves two rows.
pub(crate) const LEDGER: MigrationSet = MigrationSet::new(
    "ledger",
    &[Step::sql(
        1,
        "entry",
        "create table ledger.entry (tenant_id uuid not null, job_id uuid not null, n bigint not null);
         select shared_db.tenant_table('ledger.entry');",
    )],
)
.requires(&["shared_db"]);

statements! {
    pub(crate) const WRITE: Statement<(JobId, i64), ()> = "
        insert into ledger.entry (tenant_id, job_id, n) values ($tenant, $1, $2)";
    pub(crate) const ENTRIES: Statement<(), i64> = "select n from ledger.entry order by n";
}

/// A job that does what its state says.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:note", retry = "exponential from 5ms to 20ms", max_attempts = 3, timeout = "10m")]
pub(crate) struct Note {
    #[validate(range(min = 0))]
    pub n: i64,
}

/// A database, a tenant, and its queues.
pub(crate) struct Bench {
    pub db: Db,
    pub url: String,
    pub tenant: AssumedTenant,
    pub queues: Queues,
    #[cfg(feature = "redis")]
    pub backend: Backend,
    _database: TestDatabase,
    _server: Postgres,
    #[cfg(feature = "redis")]
    pub part: shared_devkit::TestRedis,
}

/// Where queues can be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backend {
    Postgres,
    Memory,
    #[cfg(feature = "redis")]
    Redis,
}

impl Backend {
    const ALL: &[Self] = &[
        Self::Postgres,
        Self::Memory,
        #[cfg(feature = "redis")]
        Self::Redis,
    ];
    const SERVERS: &[Self] = &[
        Self::Postgres,
        #[cfg(feature = "redis")]
        Self::Redis,
    ];
}

/// Plays a scenario on each backend, one after the other. A failure is below the name of its backend.
pub(crate) async fn everywhere(scenario: impl AsyncFn(Bench)) {
    on_each(Backend::ALL, scenario).await;
}

/// The same, without the one in memory, which nobody can change behind its back.
pub(crate) async fn on_servers(scenario: impl AsyncFn(Bench)) {
    on_each(Backend::SERVERS, scenario).await;
}

#[expect(clippy::print_stderr, reason = "a failed test shows it")]
async fn on_each(backends: &[Backend], scenario: impl AsyncFn(Bench)) {
    for &backend in backends {
        eprintln!("on {backend:?}");
        scenario(bench_on(backend).await).await;
    }
}

/// Queues in the database itself.
pub(crate) async fn bench() -> Bench {
    bench_on(Backend::Postgres).await
}

pub(crate) async fn bench_on(backend: Backend) -> Bench {
    let server = Postgres::shared().await.unwrap();
    let migrate =
        async |url: String| bootstrap(&shared_db::Config::new(url), &[MIGRATIONS, LEDGER]).await.map(drop);
    let name = format!("shared-queues ledger {}", fingerprint(&[MIGRATIONS, LEDGER]));
    let database = server.database(&name, migrate).await.unwrap();
    let db = connect(database.url()).await;
    #[cfg(feature = "redis")]
    let part = shared_devkit::Redis::shared().await.unwrap().database().await.unwrap();
    let queues = match backend {
        Backend::Postgres => Queues::postgres(&db),
        Backend::Memory => Queues::memory().with_db(&db),
        #[cfg(feature = "redis")]
        Backend::Redis => redis_queues(part.url(), part.prefix()).await.with_db(&db),
    };
    let url = database.url().to_owned();
    Bench {
        queues,
        #[cfg(feature = "redis")]
        backend,
        tenant: tenant(),
        url,
        db,
        _database: database,
        _server: server,
        #[cfg(feature = "redis")]
        part,
    }
}

#[cfg(feature = "redis")]
pub(crate) async fn redis_queues(url: &str, prefix: &str) -> Queues {
    use shared_db::redis::{Config, Redis};
    let redis = Redis::connect(&Config::new(url)).await.unwrap();
    Queues::redis_with_prefix(&redis, prefix).unwrap()
}

pub(crate) async fn connect(url: &str) -> Db {
    Db::connect(&shared_db::Config::new(url)).await.unwrap()
}

pub(crate) fn tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test has no token")
}

impl Bench {
    pub(crate) async fn enqueue<J: Job>(&self, job: impl Into<NewJob<J>>) -> JobId {
        self.queues.tenant(&self.tenant).enqueue(job).await.unwrap().job_id()
    }

    pub(crate) async fn enqueue_notes(&self, numbers: impl IntoIterator<Item = i64>) {
        let notes = numbers.into_iter().map(|n| Note { n });
        self.queues.tenant(&self.tenant).enqueue_all(notes).await.unwrap();
    }

    /// What operators see of a job.
    pub(crate) async fn job(&self, job: JobId) -> JobView {
        self.queues.job(job).await.unwrap().unwrap()
    }

    /// All jobs that are not dead and not forgotten.
    pub(crate) async fn jobs(&self) -> Vec<JobView> {
        self.queues.search(&JobFilter::new(), 1000).await.unwrap()
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.queues.dead_letters(&DeadFilter::new(), 100).await.unwrap()
    }

    pub(crate) async fn backlog(&self) -> Backlog {
        self.queues.backlog().await.unwrap()
    }

    /// Waits until nothing is left to do.
    pub(crate) async fn settle(&self) {
        until("the queues are settled", async || self.backlog().await.is_settled()).await;
    }

    pub(crate) async fn ledger(&self) -> Vec<i64> {
        self.db.tenant(&self.tenant).all(&ENTRIES, ()).await.unwrap()
    }

    pub(crate) async fn worker(&self, probe: &The<Probe>, config: Config) -> Worker {
        self.start(probe.clone(), Jobs::new().handle(note), config).await
    }

    pub(crate) async fn start<S: Send + Sync + 'static>(
        &self,
        state: S,
        jobs: Jobs<S>,
        config: Config,
    ) -> Worker {
        Worker::start(&self.queues, state, jobs, config).await.unwrap()
    }
}

/// Quick polls and beats, so that tests are short.
pub(crate) fn config() -> Config {
    Config { poll: Duration::from_millis(20), beat: Duration::from_millis(100), ..Config::default() }
}

/// The same for a worker that is to die: its jobs are soon given up for lost.
pub(crate) fn mortal() -> Config {
    Config { lease: Duration::from_millis(600), ..config() }
}

/// A shared state that handlers ask for.
pub(crate) struct The<T>(pub Arc<T>);

pub(crate) fn the<T>(state: T) -> The<T> {
    The(Arc::new(state))
}

impl<T> Clone for The<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> std::ops::Deref for The<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync> FromJob<The<T>> for The<T> {
    fn from_job(_: &JobContext, state: &The<T>) -> Self {
        state.clone()
    }
}

/// What a [`Note`] does when it runs, and what it saw.
pub(crate) struct Probe {
    pub runs: Mutex<Vec<Run>>,
    /// Each run takes one; closed: everybody may pass.
    pub gate: Semaphore,
    pub act: Act,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Writes into the ledger, in a transaction of its own.
    Write,
    /// Writes and completes in one transaction.
    WriteAndComplete,
    /// The same, and never says so.
    WriteAndHang,
    Fail,
    FailOnce,
    PanicOnce,
    Die,
    Hang,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub n: i64,
    pub attempt: u32,
    pub job: JobId,
    pub tenant: TenantId,
    pub key: String,
}

/// Runs without being asked to wait.
pub(crate) fn probe(act: Act) -> The<Probe> {
    let probe = gated(act);
    probe.open();
    probe
}

/// Each run waits at the gate.
pub(crate) fn gated(act: Act) -> The<Probe> {
    the(Probe { runs: Mutex::default(), gate: Semaphore::new(0), act })
}

impl Probe {
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    pub(crate) fn open(&self) {
        self.gate.close();
    }

    pub(crate) async fn started(&self, jobs: usize) {
        until("the jobs have started", async || self.runs().len() >= jobs).await;
    }
}

pub(crate) async fn note(job: Note, cx: JobContext, probe: The<Probe>) -> Result<(), Failure> {
    let run = Run {
        n: job.n,
        attempt: cx.attempt(),
        job: cx.job_id(),
        tenant: cx.context().tenant(),
        key: cx.idempotency_key(),
    };
    probe.runs.lock().unwrap().push(run);
    if let Ok(permit) = probe.gate.acquire().await {
        permit.forget();
    }
    let first = cx.attempt() == 1;
    match probe.act {
        Act::Write => drop(cx.tenant()?.execute(&WRITE, (cx.job_id(), job.n)).await?),
        Act::WriteAndComplete => {
            cx.tx(async |tx| -> Result<_, Failure> { Ok(tx.execute(&WRITE, (cx.job_id(), job.n)).await?) })
                .await?;
        }
        Act::WriteAndHang => {
            cx.tx(async |tx| -> Result<_, Failure> { Ok(tx.execute(&WRITE, (cx.job_id(), job.n)).await?) })
                .await?;
            std::future::pending().await
        }
        Act::FailOnce if first => return Err(Failure::new("not today")),
        Act::Fail => return Err(Failure::new("never")),
        Act::PanicOnce if first => panic!("a handler lost its nerve"),
        Act::Die => return Err(Failure::dead("hopeless")),
        Act::Hang => std::future::pending().await,
        Act::FailOnce | Act::PanicOnce => {}
    }
    Ok(())
}

/// Waits for a condition of the outside world.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let patience = std::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(std::time::Instant::now() < patience, "in vain: until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
    }
}

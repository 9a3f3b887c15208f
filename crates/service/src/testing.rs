//! Tests of a whole service: real servers, real HTTP, its own database, no sleeping.
//!
//! ```no_run
//! # use shared_service::prelude::*;
//! # use shared_service::testing::TestService;
//! # #[derive(Config)]
//! # #[config(prefix = "NOTES")]
//! # struct Settings { service: shared_service::Config, db: shared_service::db::Config }
//! # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read" } }
//! # fn service() -> Service<Settings> { Service::new("notes").permissions(&MATRIX) }
//! # async fn a_note_is_found() {
//! let app = TestService::start(service()).await;
//! let reader = app.tenant_with(ReadNotes);
//! app.get("/notes", &reader).await.ok();
//! app.settle().await;
//! # }
//! ```

mod client;
mod settle;

use std::time::Duration;

use shared_config::Loader;
use shared_core::schema::{Profile, Setting};
use shared_core::{Failure, TenantId};
use shared_db::{Db, bootstrap};
use shared_devkit::{Postgres, TestDatabase, secrecy};
use shared_queues::Queues;
use shared_security::{Grant, Issuer, PermissionNames};
use shared_telemetry::{ServiceInfo, Telemetry};

use crate::launch::{Launch, launch, migrations};
use crate::settings::Parts;
use crate::{Running, Service, Stopped};

pub use client::{TestResponse, TestTenant};

/// How long [`TestService::settle`] waits: far beyond what any healthy test needs, and short of a CI's patience.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// A service under test, on a database of its own, listening on a free port of this machine.
///
/// Its settings are those that hold while nothing is set, in profile `test`, plus the variables given to
/// [`start_with`](Self::start_with). Everything panics with what was wrong, as tests do; below that, a test that fails
/// shows what the database's server said about its database. Everything that the process logs is [searched for
/// secrets](shared_devkit::secrecy), and so are the logs of the servers: the first one ends the run.
///
/// It is for what a service does as a whole. A test of one part, such as a repository or a client, needs no service: it
/// starts a `shared_devkit::Kit`, with a database, a Redis, a collector, a clock and a tenant.
pub struct TestService<S> {
    running: Running<S>,
    issuer: Issuer,
    http: reqwest::Client,
    // Held until the end: the database goes with it, and with the last one the server.
    telemetry: Telemetry,
    database: Database,
    _server: Postgres,
}

impl<S: Clone + Send + Sync + 'static> TestService<S> {
    /// Starts the service.
    ///
    /// # Panics
    /// If no server can be had, or the service can't start.
    pub async fn start<C: Setting + Send + Sync>(service: Service<C, S>) -> Self {
        Self::start_with(service, []).await
    }

    /// Starts the service with these variables set, by their names in the environment.
    ///
    /// # Panics
    /// As [`start`](Self::start), and if no setting has one of the names.
    pub async fn start_with<C: Setting + Send + Sync>(
        service: Service<C, S>,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        secrecy::watch();
        let server = Postgres::shared()
            .await
            .unwrap_or_else(|error| panic!("no test server: {}", Failure::from(error)));
        let database = Database(database(&server, &service).await);
        let profile = Profile::variable(C::SCHEMA.prefix());
        let loaded = Loader::new(service.name)
            .vars([("DATABASE_URL", database.0.url()), (profile.as_str(), Profile::Test.name())])
            .vars(variables)
            .deny_unknown()
            .load::<C>()
            .unwrap_or_else(|report| panic!("{report}"));
        let parts = Parts::of(&loaded.settings);
        let issuer = parts.security.as_ref().map(shared_security::Config::issuer);
        let issuer =
            issuer.and_then(Result::ok).unwrap_or_else(|| panic!("the settings have no key to sign with"));
        let telemetry = Telemetry::builder(ServiceInfo::new(service.name, service.version))
            .log_writer(std::io::sink())
            .build(&parts.telemetry)
            .unwrap_or_else(|error| panic!("telemetry: {error}"));
        let how = Launch::in_test(telemetry.metrics());
        let running =
            launch(service, loaded.settings, how).await.unwrap_or_else(|failure| panic!("{failure}"));
        Self { running, issuer, http: reqwest::Client::new(), telemetry, database, _server: server }
    }

    /// A new tenant, and a token with these permissions in it.
    pub fn tenant_with(&self, permissions: impl PermissionNames) -> TestTenant {
        self.member_of(TenantId::new(), permissions)
    }

    /// Another token for a tenant.
    ///
    /// # Panics
    /// If the settings allow no token to be issued.
    pub fn member_of(&self, tenant: TenantId, permissions: impl PermissionNames) -> TestTenant {
        let grant = Grant::new(tenant, "test").with_permissions(permissions);
        let token = self.issuer.issue(&grant).unwrap_or_else(|error| panic!("no token: {error}"));
        TestTenant::new(tenant, token.expose().to_owned())
    }

    /// The base URL of the public API.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    /// The base URL of probes and metrics.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.running.admin_address())
    }

    /// The running service.
    pub fn running(&self) -> &Running<S> {
        &self.running
    }

    /// Its database.
    pub fn db(&self) -> &Db {
        self.running.db()
    }

    /// Its queues.
    pub fn queues(&self) -> &Queues {
        self.running.queues()
    }

    /// The URL of its database, for a client with all rights.
    pub fn database_url(&self) -> &str {
        self.database.0.url()
    }

    /// Stops the service as SIGTERM would, and says what was cut off.
    pub async fn stop(self) -> Stopped {
        let stopped = self.running.stop().await;
        self.telemetry.shutdown(Duration::from_secs(1)).await;
        stopped
    }
}

/// The database. When it goes, it prints its server's log lines about it.
struct Database(TestDatabase);

impl Drop for Database {
    #[expect(clippy::print_stderr, reason = "the test harness hides it unless the test fails")]
    fn drop(&mut self) {
        let lines = self.0.log();
        if !lines.is_empty() {
            eprintln!("PostgreSQL logged meanwhile:\n  {}", lines.join("\n  "));
        }
    }
}

/// A database that was migrated once for all tests of this service, and copied for this one.
async fn database<C: Setting + Send + Sync, S>(server: &Postgres, service: &Service<C, S>) -> TestDatabase {
    let sets = migrations(service);
    let key = format!("{} {}", service.name, shared_db::fingerprint(&sets));
    let migrate = async |url: String| bootstrap(&shared_db::Config::new(url), &sets).await.map(|_| ());
    server
        .database(&key, migrate)
        .await
        .unwrap_or_else(|error| panic!("no test database: {}", Failure::from(error)))
}

use std::fmt;
use std::future::Future;

use axum::Router;
use futures_util::future::BoxFuture;
use shared_config::Loader;
use shared_core::Failure;
use shared_core::schema::Setting;
use shared_db::MigrationSet;
use shared_events::Events;
use shared_queues::Jobs;
use shared_security::headers::SecurityHeaders;
use shared_security::{
    Audit, ClientAddress, CorsLayer, LimitStore, Limiter, Matrix, RevocationConfig, SystemPermission,
    Verifier,
};
use shared_telemetry::{Checks, ServiceInfo, Telemetry};

use crate::desk::Desk;
use crate::guards::Asked;
use crate::http::Limits;
use crate::launch::{Launch, launch};
use crate::settings::Parts;
use crate::start::{Provided, Start};
use crate::{Exit, Running, eventing, queueing, signals};

/// Something of the program's own, found in its state.
type Of<S, T> = Box<dyn FnOnce(&S) -> T + Send>;
/// Makes a layer of limits, when the state is open.
pub(crate) type ToLimits<S> =
    Box<dyn FnOnce(&S, &ClientAddress, Option<Audit>) -> Result<Limits, Failure> + Send>;
type Open<C, S> = Box<dyn FnOnce(Start<C>) -> BoxFuture<'static, Result<S, Failure>> + Send>;

/// A service: what it opens, answers, works on and listens to. `C` are its settings, `S` is its state.
///
/// ```no_run
/// use shared_service::prelude::*;
///
/// #[derive(Config)]
/// #[config(prefix = "HELLO")]
/// struct Settings {
///     service: shared_service::Config,
///     db: shared_service::db::Config,
///     telemetry: shared_service::telemetry::Config,
/// }
///
/// #[tokio::main]
/// async fn main() -> Exit {
///     Service::<Settings>::new("hello").routes(Router::new().route("/", get(async || "hello"))).run().await
/// }
/// ```
pub struct Service<C, S = Provided<C>> {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) open: Open<C, S>,
    pub(crate) migrations: Vec<MigrationSet>,
    pub(crate) asked: Asked,
    pub(crate) verifier: Option<Of<S, Verifier>>,
    pub(crate) limits: Vec<ToLimits<S>>,
    pub(crate) limited_routes: Vec<(Router<S>, ToLimits<S>)>,
    pub(crate) public_routes: Router<S>,
    pub(crate) limited_public_routes: Vec<(Router<S>, ToLimits<S>)>,
    pub(crate) behind: Option<Of<S, ClientAddress>>,
    pub(crate) cors: Option<Of<S, CorsLayer>>,
    pub(crate) queues: queueing::Open<C>,
    pub(crate) queues_desk: Option<Desk>,
    pub(crate) jobs: Option<Jobs<S>>,
    pub(crate) way: eventing::Choose<C>,
    pub(crate) events_desk: Option<Desk>,
    pub(crate) events: Option<Events<S>>,
    pub(crate) routes: Router<S>,
    pub(crate) checks: Checks,
    pub(crate) headers: SecurityHeaders,
}

impl<C: Setting + Send + Sync> Service<C> {
    /// A service without a state of its own; its handlers may ask for `State<Db>` and `State<Arc<Settings>>`.
    pub fn new(name: &'static str) -> Self {
        Service::open(name, async |start| Ok(Provided::of(start)))
    }
}

impl<C: Setting + Send + Sync, S: Clone + Send + Sync + 'static> Service<C, S> {
    /// A service whose state is opened at its start, after the database is migrated and before anything listens.
    pub fn open<F, Fut>(name: &'static str, open: F) -> Self
    where
        F: FnOnce(Start<C>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<S, Failure>> + Send + 'static,
    {
        Self {
            name,
            version: "0.0.0",
            open: Box::new(|start| Box::pin(open(start))),
            migrations: Vec::new(),
            asked: Asked::default(),
            verifier: None,
            limits: Vec::new(),
            limited_routes: Vec::new(),
            public_routes: Router::new(),
            limited_public_routes: Vec::new(),
            behind: None,
            cors: None,
            queues: queueing::in_database(),
            queues_desk: None,
            jobs: None,
            way: eventing::from_log(),
            events_desk: None,
            events: None,
            routes: Router::new(),
            checks: Checks::new(),
            headers: SecurityHeaders::api(),
        }
    }

    /// The version on every span, metric and log line, usually `env!("CARGO_PKG_VERSION")`.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// A set of migrations, applied at the start. May be called for several.
    pub fn migrations(mut self, set: MigrationSet) -> Self {
        self.migrations.push(set);
        self
    }

    /// The permissions that tokens may carry here; bearer tokens are verified from now on.
    pub fn permissions(mut self, matrix: &'static Matrix) -> Self {
        self.asked.matrix = Some(matrix);
        self
    }

    /// Verifies tokens by a verifier of the state, in place of that of the settings: for a service that issues tokens with a
    /// key ring, or that believes several issuers.
    pub fn verifier(mut self, of: impl FnOnce(&S) -> Verifier + Send + 'static) -> Self {
        self.verifier = Some(Box::new(of));
        self
    }

    /// Keeps the [audit log](shared_security::audit): what is denied, and what crosses tenants, is written and sealed while the
    /// service runs, and flushed at its end. An [`Upkeep`](shared_security::Upkeep) tells the ends of its chains, and removes what is
    /// over. The state finds it in [`Start::audit`].
    pub fn audited(mut self) -> Self {
        self.asked.audited = true;
        self
    }

    /// Looks at each principal's tenant as it is now: roles count as they stand in the database, and a suspended tenant is
    /// refused. The state finds them in [`Start::tenants`].
    pub fn tenants(mut self) -> Self {
        self.asked.tenants = true;
        self
    }

    /// Refuses tokens that were revoked, by any instance on this database: `RevocationConfig::new(WhenStale::Refuse)`, which says
    /// what happens while it can't be asked, unless other bounds are wanted. The state finds them in [`Start::revocations`].
    pub fn revocations(mut self, config: RevocationConfig) -> Self {
        self.asked.revocations = Some(config);
        self
    }

    /// Holds every request against these limits. May be called for several limiters. One that counts by tenant or principal
    /// looks at verified tokens; one that counts by address or route stands in front of the verifier, and spares it a flood.
    ///
    /// ```no_run
    /// # use shared_service::{Provided, Service, security::{By, InProcess, Limit, Limiter, Rule}};
    /// # fn example<C: shared_service::core::schema::Setting + Send + Sync>(service: Service<C, Provided<C>>) -> Service<C, Provided<C>> {
    /// service.limits(|_| {
    ///     Limiter::new(InProcess::new(100_000), [
    ///         Rule::new("address", &[By::Address], Limit::per_second(50).burst(200)),
    ///     ])
    /// })
    /// # }
    /// ```
    pub fn limits<L: LimitStore>(
        mut self,
        limiter: impl FnOnce(&S) -> Result<Limiter<L>, shared_security::Error> + Send + 'static,
    ) -> Self {
        self.limits.push(to_limits(limiter));
        self
    }

    /// Whose address a request has that came through proxies: for limits, and for what is recorded of it. Without it, the
    /// connection's.
    pub fn behind(mut self, address: impl FnOnce(&S) -> ClientAddress + Send + 'static) -> Self {
        self.behind = Some(Box::new(address));
        self
    }

    /// Which pages of other origins may call it. Without it, none.
    pub fn cors(mut self, cors: impl FnOnce(&S) -> CorsLayer + Send + 'static) -> Self {
        self.cors = Some(Box::new(cors));
        self
    }

    /// The handlers of jobs. With them, the service is a worker.
    pub fn jobs(mut self, add: impl FnOnce(Jobs<S>) -> Jobs<S>) -> Self {
        self.jobs = Some(add(self.jobs.unwrap_or_default()));
        self
    }

    /// Keeps the jobs in Redis: in the one that the settings lead to, or, where [`RedisQueues`](crate::RedisQueues) was given none, in the
    /// database after all. Without this they are in the database.
    ///
    /// `tx.enqueue` stays what it is: the job exists if, and only if, the transaction commits. It goes through the log of events
    /// and is in Redis a moment later, once, also if it is carried twice. What a handler does by
    /// [`JobContext::tx`](shared_queues::JobContext::tx) still happens exactly once. What a Redis that fails may forget, see
    /// [`Queues::redis`](shared_queues::Queues::redis).
    ///
    /// Jobs stay where they are when this changes: let a worker finish those of the other place first. What is still on its way from
    /// transactions to Redis comes to the database with a `RedisQueues::new(None)` under the same prefix; without this call it waits.
    ///
    /// ```no_run
    /// use shared_service::prelude::*;
    /// use shared_service::RedisQueues;
    ///
    /// #[derive(Config)]
    /// #[config(prefix = "HELLO")]
    /// struct Settings {
    ///     service: shared_service::Config,
    ///     db: shared_service::db::Config,
    ///     redis: shared_service::db::redis::Config,
    /// }
    ///
    /// let service = Service::<Settings>::new("hello")
    ///     .queues_in_redis(|settings| RedisQueues::new(settings.redis.clone()));
    /// # let _ = service;
    /// ```
    #[cfg(feature = "redis")]
    pub fn queues_in_redis(mut self, of: impl FnOnce(&C) -> crate::RedisQueues + Send + 'static) -> Self {
        self.queues = queueing::in_redis(of);
        self
    }

    /// Lets operators see the queues over HTTP, below this path, with the permission `read`, and steer them with the permission `change`:
    /// both of the system; neither contains the other, and they may be the same one. The routes are those of
    /// [`admin::router`](shared_queues::admin::router); they reach over all tenants.
    ///
    /// Each change is in the [audit log](Self::audited) of the operator's tenant as `queues.operated`, with its action, and its path, query and
    /// body, up to 255 bytes of each. It says whether it was done, and where that is not known (an error of the server, an answer that nobody
    /// waited for) that it may have been, or a part of it.
    ///
    /// A permission that tenants hand out does not compile here.
    pub fn queues_admin<R: SystemPermission, W: SystemPermission>(
        mut self,
        path: &'static str,
        _read: R,
        _change: W,
    ) -> Self {
        self.queues_desk = Some(Desk::of::<R, W>(path));
        self
    }

    /// The consumers of events. With them, the service relays.
    pub fn consumers(mut self, add: impl FnOnce(Events<S>) -> Events<S>) -> Self {
        self.events = Some(add(self.events.unwrap_or_default()));
        self
    }

    /// Lets events go through a broker: a relay of this service brings those of its database's log there, all of them, and its consumers read
    /// them from there. For `None` they read the log after all, as they do without this.
    ///
    /// Nothing else changes: `tx.publish` is what it is, the handlers are the same, an effect happens once, and the events of a key come in
    /// their order. An event takes a moment longer, and other programs, in other languages too, may read the same streams. While the
    /// broker is away, transactions commit and their events wait in the log. What a broker loses is brought again.
    ///
    /// From the log to a broker the way may change with any start. Back, or to another broker, only when nothing is on its way any more:
    /// until [`to_consumers`](shared_events::handover::to_consumers) has seen to that, the service does not start.
    ///
    /// ```no_run
    /// use shared_service::prelude::*;
    /// use shared_service::Broker;
    ///
    /// #[derive(Config)]
    /// #[config(prefix = "HELLO")]
    /// struct Settings {
    ///     service: shared_service::Config,
    ///     db: shared_service::db::Config,
    ///     events: shared_service::events::Config,
    ///     nats: shared_service::NatsConfig,
    /// }
    ///
    /// let service = Service::<Settings>::new("hello")
    ///     .events_through(|settings| Some(Broker::nats(settings.nats.clone())));
    /// # let _ = service;
    /// ```
    #[cfg(any(feature = "redis", feature = "nats"))]
    pub fn events_through(mut self, of: impl FnOnce(&C) -> Option<crate::Broker> + Send + 'static) -> Self {
        self.way = eventing::through(of);
        self
    }

    /// Lets operators see the subscriptions over HTTP, below this path, with the permission `read`, and steer them with the permission `change`:
    /// both of the system; neither contains the other, and they may be the same one. The routes are those of
    /// [`admin::router`](shared_events::admin::router); they reach over all tenants.
    ///
    /// Each change is in the [audit log](Self::audited) of the operator's tenant as `events.operated`, with its action, and its path, query and
    /// body, up to 255 bytes of each. It says whether it was done, and where that is not known (an error of the server, an answer that nobody
    /// waited for) that it may have been, or a part of it.
    ///
    /// A permission that tenants hand out does not compile here.
    pub fn events_admin<R: SystemPermission, W: SystemPermission>(
        mut self,
        path: &'static str,
        _read: R,
        _change: W,
    ) -> Self {
        self.events_desk = Some(Desk::of::<R, W>(path));
        self
    }

    /// The public API. May be called for several routers.
    pub fn routes(mut self, routes: Router<S>) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// More of it, with a limiter of its own beside those of [all routes](Self::limits): for log-ins, or for what is dear. It stands
    /// behind the verifier, so it may count by whatever there is. May be called for several routers.
    pub fn limited_routes<L: LimitStore>(
        mut self,
        routes: Router<S>,
        limiter: impl FnOnce(&S) -> Result<Limiter<L>, shared_security::Error> + Send + 'static,
    ) -> Self {
        self.limited_routes.push((routes, to_limits(limiter)));
        self
    }

    /// More of it, for whoever comes: no token is looked at, so that a client whose token is over, or whose key is gone, can log in or
    /// refresh it, or read a public document. Everything else stands around them as around all routes, but for limits by tenant or
    /// principal. A handler there that asks who is calling answers 500. May be called for several routers.
    pub fn public_routes(mut self, routes: Router<S>) -> Self {
        self.public_routes = self.public_routes.merge(routes);
        self
    }

    /// [Public routes](Self::public_routes) with a limiter of their own beside those of [all routes](Self::limits): for log-ins. One
    /// that counts by tenant or principal keeps the service from starting, as there is none. May be called for several routers.
    pub fn limited_public_routes<L: LimitStore>(
        mut self,
        routes: Router<S>,
        limiter: impl FnOnce(&S) -> Result<Limiter<L>, shared_security::Error> + Send + 'static,
    ) -> Self {
        self.limited_public_routes.push((routes, to_limits(limiter)));
        self
    }

    /// What must answer for the service to be ready, beside the database.
    pub fn checks(mut self, add: impl FnOnce(Checks) -> Checks) -> Self {
        self.checks = add(self.checks);
        self
    }

    /// The security headers of every answer, in place of those [for an API](SecurityHeaders::api). What a handler sets
    /// itself stays, so that a single page needs no more than its own policy.
    pub fn headers(mut self, headers: SecurityHeaders) -> Self {
        self.headers = headers;
        self
    }

    /// The whole life: loads the settings from the environment, reports what is wrong with them, starts telemetry,
    /// migrates, opens the state, listens, and on SIGTERM or Ctrl-C drains and flushes.
    ///
    /// It never panics; a service that can't start says why on standard error. Dropping the future cuts everything off.
    pub async fn run(self) -> Exit {
        let name = self.name;
        let loaded = match Loader::from_process(name).load::<C>() {
            Ok(loaded) => loaded,
            Err(report) => {
                say(format_args!("{report}"));
                return Exit::CONFIGURATION;
            }
        };
        // Before anything slow: a signal that comes while the database is migrated is not lost.
        let signal = match signals::Stop::listen() {
            Ok(signal) => signal,
            Err(error) => return failed(name, &Failure::from(error).attempting("listening for signals")),
        };
        let parts = Parts::of(&loaded.settings);
        let info = ServiceInfo::new(name, self.version);
        let telemetry = match Telemetry::builder(info).init(&parts.telemetry) {
            Ok(telemetry) => telemetry,
            Err(error) => return failed(name, &Failure::from(error).attempting("starting telemetry")),
        };
        for warning in &loaded.warnings {
            tracing::warn!(%warning, "a variable that no setting has");
        }
        let flush = parts.telemetry.flush_timeout;
        let exit = self.live(loaded.settings, &telemetry, signal).await;
        let report = telemetry.shutdown(flush).await;
        if !report.is_complete() {
            // For people, and without effect on the exit code: a collector that is down is not the service's failure.
            say(format_args!("{name}: telemetry was lost: {report}"));
        }
        exit
    }

    /// Starts the service with these settings and leaves the rest to you: for programs that run one inside themselves.
    ///
    /// # Errors
    /// What kept it from starting; everything that was started is stopped again.
    pub async fn launch(self, settings: C, telemetry: &Telemetry) -> Result<Running<S>, Failure> {
        launch(self, settings, Launch::new(telemetry.metrics())).await
    }

    async fn live(self, settings: C, telemetry: &Telemetry, mut signal: signals::Stop) -> Exit {
        let name = self.name;
        let running = tokio::select! {
            running = self.launch(settings, telemetry) => running,
            // Nothing was accepted yet, so nothing is lost.
            () = signal.received() => return Exit::STOPPED,
        };
        let running = match running {
            Ok(running) => running,
            Err(failure) => {
                tracing::error!(%failure, "the service can't start");
                return failed(name, &failure);
            }
        };
        signal.received().await;
        let stopped = running.stop().await;
        if stopped.is_clean() { Exit::STOPPED } else { Exit::FAILED }
    }
}

fn to_limits<S, L: LimitStore>(
    limiter: impl FnOnce(&S) -> Result<Limiter<L>, shared_security::Error> + Send + 'static,
) -> ToLimits<S> {
    Box::new(move |state, address, audit| Ok(Limits::new(limiter(state)?, address.clone(), audit)))
}

fn failed(name: &str, failure: &Failure) -> Exit {
    say(format_args!("{name} cannot start: {failure}"));
    Exit::FAILED
}

/// For people at a terminal, before there is a log or beside it.
#[allow(clippy::print_stderr, reason = "a program that can't start has nowhere else to say it")]
fn say(text: fmt::Arguments<'_>) {
    eprintln!("{text}");
}

impl<C, S> fmt::Debug for Service<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

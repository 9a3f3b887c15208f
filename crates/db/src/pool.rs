//! A pool that never hands on a connection in doubt.

mod connection;
mod open;
mod session;
mod upkeep;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Object, Pool as Deadpool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use opentelemetry::KeyValue;
use shared_core::Secret;
use tracing::Instrument;

pub(crate) use self::connection::{Client, Connection};
use self::open::Open;
use self::session::Session;
use self::upkeep::Upkeep;
use crate::address::Address;
use crate::config::Config;
use crate::describe::Described;
use crate::error::{Error, described};
use crate::metrics::{METRICS, PoolMetrics};
use crate::reaper::Reaper;
use crate::spans;
use crate::statement::Text;

/// Connections of one role.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    deadpool: Deadpool,
    /// As the login, without the role: what the role may not, such as ending connections of the login.
    address: Address,
    reaper: Reaper,
    open: Open,
    timeout: Duration,
    patience: Option<Duration>,
    metrics: PoolMetrics,
    /// `db.namespace`: the database and the first schema of its search path.
    namespace: KeyValue,
    pooled: Option<Pooled>,
    _upkeep: Upkeep,
}

/// What stands in for sessions where a pooler is in between.
struct Pooled {
    /// The role and the settings, behind each BEGIN.
    lead_in: String,
    /// Nothing can be prepared there; the types of a statement's parameters are asked for once.
    statements: Mutex<HashMap<String, Arc<Described>>>,
}

/// How many statements are remembered, of each connection or behind a pooler of all: more than a service has. One that
/// makes texts without end forgets the others instead of growing.
const STATEMENTS: usize = 1000;

impl Pool {
    /// Connections that log in with `url`, take on `role`, and begin with these settings.
    pub(crate) fn new(
        config: &Config,
        url: &Secret,
        role: &str,
        begin_with: &[(&str, &str)],
        reaper: Reaper,
    ) -> Result<Self, Error> {
        let address = Address::new(config, url)?;
        let mut settings = address.settings.clone();
        let search_path = config.search_path()?;
        let session = Session::new(config, role, &search_path, begin_with);
        let pooled =
            config.pooler.then(|| Pooled { lead_in: session.lead_in(), statements: Mutex::default() });
        if !config.pooler {
            let asked = settings.get_options().map(str::to_owned);
            settings.options(session.options(asked.as_deref()));
        }
        settings.application_name(role);
        let namespace = KeyValue::new("db.namespace", namespace(&settings, &search_path));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(settings, address.tls.clone(), recycling);
        let open = Open::default();
        let deadpool = Deadpool::builder(manager)
            .runtime(Runtime::Tokio1)
            .max_size(config.pool_size as usize)
            .queue_mode(deadpool_postgres::QueueMode::Lifo)
            .wait_timeout(Some(config.pool_timeout))
            .create_timeout(Some(config.connect_timeout))
            .post_create(open.hook(config))
            .pre_recycle(upkeep::refuse_the_old(config))
            .build()
            .map_err(|error| Error::Config(error.to_string()))?;
        let observed = deadpool.weak();
        let status = move || observed.upgrade().map(|pool| pool.status());
        let metrics = PoolMetrics::new(&address.settings, role, config, status);
        let upkeep = Upkeep::start(deadpool.clone(), config);
        let (timeout, patience) = (config.pool_timeout, patience(config));
        Ok(Self(Arc::new(Inner {
            deadpool,
            patience,
            address,
            reaper,
            open,
            timeout,
            metrics,
            namespace,
            pooled,
            _upkeep: upkeep,
        })))
    }

    /// A connection that nobody else uses.
    pub(crate) async fn get(&self) -> Result<Connection, Error> {
        let asked = Instant::now();
        let span = spans::checkout(&self.0.metrics.pool());
        let object = self.object().instrument(span.clone()).await;
        spans::end(&span, &object);
        let object = object?;
        let lent = Instant::now();
        self.0.metrics.waited(lent - asked);
        if object.statement_cache.size() > STATEMENTS {
            object.statement_cache.clear();
        }
        Ok(Connection::new(object, self.clone(), lent))
    }

    async fn object(&self) -> Result<Object, Error> {
        let object = self.0.deadpool.get().await.map_err(|error| self.refused(error))?;
        // It was being opened while the pool was closed.
        match self.0.deadpool.is_closed() {
            true => Err(Error::Closed),
            false => Ok(object),
        }
    }

    fn refused(&self, error: PoolError) -> Error {
        match error {
            PoolError::Timeout(TimeoutType::Create) => {
                Error::Connect { reason: "the server did not answer in time".to_owned() }
            }
            PoolError::Timeout(_) => {
                self.0.metrics.timed_out();
                Error::PoolTimeout { waited: self.0.timeout }
            }
            PoolError::Closed => Error::Closed,
            PoolError::Backend(error) => Error::Connect { reason: described(&error) },
            other => Error::Connect { reason: other.to_string() },
        }
    }

    /// What stands behind BEGIN before anything else.
    pub(crate) fn lead_in(&self) -> &str {
        self.0.pooled.as_ref().map_or("", |pooled| &pooled.lead_in)
    }

    /// Whether even a single statement needs words of ours in front of it.
    pub(crate) fn has_lead_in(&self) -> bool {
        self.0.pooled.is_some()
    }

    /// BEGIN, with what must stand behind it.
    pub(crate) fn begin(&self) -> Cow<'static, str> {
        match self.lead_in() {
            "" => Cow::Borrowed("BEGIN"),
            lead_in => Cow::Owned(format!("BEGIN{lead_in}")),
        }
    }

    /// Behind a pooler: what is known of a statement.
    pub(crate) fn described(&self, text: &Text<'_>) -> Option<Arc<Described>> {
        self.statements()?.get(text.sql).cloned()
    }

    fn remember(&self, text: &Text<'_>, described: &Arc<Described>) {
        let Some(mut statements) = self.statements() else { return };
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(text.sql.to_owned(), Arc::clone(described));
    }

    fn statements(&self) -> Option<MutexGuard<'_, HashMap<String, Arc<Described>>>> {
        let pooled = self.0.pooled.as_ref()?;
        Some(pooled.statements.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what was prepared on every connection: a table has changed, and the plans of the others are as old.
    pub(crate) fn forget_plans(&self) {
        METRICS.stale_plans.add(1, &[]);
        self.0.deadpool.manager().statement_caches.clear();
        if let Some(mut statements) = self.statements() {
            statements.clear();
        }
    }

    /// The database and the schema in which its sessions look first, as in `orders|public`.
    pub(crate) fn namespace(&self) -> Cow<'_, str> {
        self.0.namespace.value.as_str()
    }

    /// Whether both are the same pool.
    pub(crate) fn is(&self, other: &Pool) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A pooler may have given the server's process to somebody else by the time that a request to cancel arrives: there
    /// the connection is closed, and the server looks for that.
    fn bury(&self, client: ClientWrapper) {
        let cancel_with = self.0.pooled.is_none().then(|| self.0.address.tls.clone());
        self.0.reaper.bury(client, cancel_with);
    }

    pub(crate) fn status(&self) -> deadpool_postgres::Status {
        self.0.deadpool.status()
    }

    /// Refuses new callers; connections that are out are closed when they come back.
    pub(crate) fn close(&self) {
        self.0.deadpool.close();
    }

    /// Cancels what runs on the connections that are out.
    pub(crate) async fn cancel(&self) {
        if self.0.pooled.is_some() {
            return;
        }
        self.0.open.cancel(&self.0.address).await;
    }

    /// Ends the connections that are out, on the server. Returns how many there were.
    pub(crate) async fn terminate(&self) -> usize {
        self.0.open.terminate(&self.0.address).await
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({:?})", self.status())
    }
}

fn namespace(settings: &tokio_postgres::Config, search_path: &str) -> Arc<str> {
    let database = settings.get_dbname().or(settings.get_user()).unwrap_or_default();
    let schema = search_path.split(',').next().unwrap_or_default();
    format!("{database}|{schema}").into()
}

/// How long an answer may take: as long as the server lets a statement run, and as long again as it takes to reach the
/// server. One that has not answered by then is not there, whatever its machine says for it.
fn patience(config: &Config) -> Option<Duration> {
    let bounded = !config.statement_timeout.is_zero();
    bounded.then(|| config.statement_timeout.saturating_add(config.connect_timeout))
}

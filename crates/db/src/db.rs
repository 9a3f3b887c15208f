use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use shared_core::InTenant;
use tokio::sync::Notify;

use crate::audit::{Audit, Crossing, Watch};
use crate::config::{Config, quoted};
use crate::door::Door;
use crate::error::Error;
use crate::listen::Listener;
use crate::pool::Pool;
use crate::reaper::Reaper;
use crate::replicas::Replicas;
use crate::statements;
use crate::tenant::Tenant;

statements! {
    const PING: Statement<(), i32> = "select 1";
}

/// A database: two pools, and the doors to it. It runs nothing by itself.
///
/// ```compile_fail
/// # use shared_db::{statements, Db, Error};
/// statements! { const ONE: Statement<(), i32> = "select 1"; }
/// async fn one(db: &Db) -> Result<i32, Error> { db.one(&ONE, ()).await }
/// ```
/// Through a door it does:
/// ```
/// # use shared_db::{statements, Db, Error};
/// statements! { const ONE: Statement<(), i32> = "select 1"; }
/// async fn one(db: &Db) -> Result<i32, Error> { db.untenanted().one(&ONE, ()).await }
/// ```
///
/// Clones share everything.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    app: Pool,
    system: Pool,
    replicas: Option<Replicas>,
    reaper: Reaper,
    signals: Mutex<HashMap<&'static str, Arc<Notify>>>,
    extensions: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    audit: Arc<Audit>,
    config: Config,
    /// Opens a transaction across tenants.
    across: String,
}

/// The system role's statements are probes of indexes on queues and logs, which are analysed while they are empty: left to
/// itself the planner then scans and hashes whole tables, and keeps that plan when they have grown. Or it reads by a bitmap, and sorts all of
/// it for the first few: that is cheaper while an index is full of what is gone.
const PROBES: &[(&str, &str)] = &[
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
];

/// The planner's usual settings, for the statements of others on such a connection.
const UNPROBED: &str = "; SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_hashjoin = on; \
     SET LOCAL enable_mergejoin = on; SET LOCAL plan_cache_mode = auto; SET LOCAL jit = on";

/// What the pools are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Connections that are open, of both roles, and to replicas.
    pub open: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// Connections closed since start because a future was dropped half-way on them.
    pub discarded: u64,
}

/// What had to be cut at the [end](Db::close). By default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Connections that were out when patience ended; what ran on them was cancelled.
    pub cancelled: usize,
    /// Connections that were still out a second later; the server has ended them.
    pub terminated: usize,
}

/// How long those have to come back whose queries were cancelled.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Db {
    /// Opens a connection of each role, and refuses a database in which a tenant's rows could leak.
    ///
    /// # Errors
    /// [`Error::Connect`] if the server can't be reached, [`Error::Unsafe`] if the app or system role bypasses
    /// row-level security, or a table has policies that its owner escapes.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let roles = config.roles()?;
        let reaper = Reaper::new();
        let app = Pool::new(config, &config.url, &roles.app, &[], reaper.clone())?;
        let system = Pool::new(config, config.system_url(), &roles.system, PROBES, reaper.clone())?;
        let across = format!("{}; SET LOCAL ROLE {}{UNPROBED}", system.begin(), quoted(&roles.across));
        let replicas = Replicas::new(config, &roles.app, Door::new(system.clone()), &reaper)?;
        let (signals, audit) = (Mutex::default(), Arc::default());
        let db = Self {
            inner: Arc::new(Inner {
                app,
                system,
                replicas,
                reaper,
                signals,
                extensions: RwLock::default(),
                audit,
                config: config.clone(),
                across,
            }),
        };
        // Not through the watched doors: this is not yet a use.
        let system = Door::new(db.inner.system.clone());
        let across = system.clone().opened_with(&db.inner.across);
        crate::safety::check(&[db.untenanted(), system, across]).await?;
        Ok(db)
    }

    /// The normal door: statements see and touch the rows of the proof's tenant, and no others.
    pub fn tenant(&self, proof: &impl InTenant) -> Tenant {
        Tenant::new(self.clone(), proof.context().clone())
    }

    /// For global tables: no tenant is set, and every tenant table shows no row.
    pub fn untenanted(&self) -> Door {
        Door::new(self.inner.app.clone())
    }

    /// For the family's own tables, over all tenants: claims, relays, pruning. It may not touch business tables.
    ///
    /// Its first use in a process is reported to the [audit hook](Self::on_crossing), and each is counted
    /// (`db.client.system`).
    #[track_caller]
    pub fn system(&self) -> Door {
        Door::new(self.inner.system.clone()).watched(self.watch(None))
    }

    /// For reports, exports and repairs that need the business rows of all tenants.
    ///
    /// Every statement and every transaction is reported to the [audit hook](Self::on_crossing) with the reason and the
    /// place of this call, and counted (`db.client.across_tenants`). It runs as a role of its own, on the system role's connections.
    #[track_caller]
    pub fn across_tenants(&self, reason: &str) -> Door {
        let door = Door::new(self.inner.system.clone()).opened_with(&self.inner.across);
        door.watched(self.watch(Some(reason.into())))
    }

    /// Reports every use of [`across_tenants`](Self::across_tenants), and the first of [`system`](Self::system), before
    /// it happens. Without a hook they are logged as warnings with the target `audit`. The hook must be quick.
    ///
    /// # Errors
    /// [`Error::Config`] where there is a hook already: nobody can silence the first one.
    pub fn on_crossing(&self, hook: impl Fn(&Crossing<'_>) + Send + Sync + 'static) -> Result<(), Error> {
        match self.inner.audit.set(Box::new(hook)) {
            true => Ok(()),
            false => Err(Error::Config("the database has an audit hook already".to_owned())),
        }
    }

    #[track_caller]
    fn watch(&self, reason: Option<Arc<str>>) -> Watch {
        Watch { audit: self.inner.audit.clone(), reason, location: Location::caller() }
    }

    /// A wake-up within this process, by name: what is committed here need not be polled for. Waiters also look
    /// from time to time, since other processes commit too.
    pub fn signal(&self, name: &'static str) -> Arc<Notify> {
        let mut signals = self.inner.signals.lock().unwrap_or_else(PoisonError::into_inner);
        signals.entry(name).or_default().clone()
    }

    /// Puts a value beside the database, where every transaction finds it [by its type](crate::TenantTx::extension): for libraries
    /// whose verbs on a transaction need more than the transaction. All clones share it; of a type there is one, the latest.
    pub fn extend<T: Any + Send + Sync>(&self, value: T) {
        let mut extensions = self.inner.extensions.write().unwrap_or_else(PoisonError::into_inner);
        extensions.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type beside the database; a new one if there is none.
    pub fn extension_or_default<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        if let Some(found) = self.extension() {
            return found;
        }
        let mut extensions = self.inner.extensions.write().unwrap_or_else(PoisonError::into_inner);
        let value = extensions.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default())).clone();
        // It was found by its type.
        value.downcast().unwrap_or_default()
    }

    pub(crate) fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let extensions = self.inner.extensions.read().unwrap_or_else(PoisonError::into_inner);
        extensions.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    /// Listens on channels, by a connection of its own that is opened again whenever it is lost.
    ///
    /// A notification is a hint and no message: it is not kept for who is away. So read the tables first, then on every
    /// notice, and on [`MayHaveMissed`](crate::Notice::MayHaveMissed).
    ///
    /// # Errors
    /// [`Error::Connect`] if the first connection fails, [`Error::Config`] for a name that no channel can have.
    pub async fn listen(&self, channels: &[&str]) -> Result<Listener, Error> {
        Listener::start(&self.inner.config, channels).await
    }

    /// Asks the server for a sign of life, on a connection of the system role's pool: an app that is busy is not dead.
    ///
    /// # Errors
    /// Whatever keeps it from answering: no free connection, no server.
    pub async fn ping(&self) -> Result<(), Error> {
        // No use of the door: it reads nothing.
        Door::new(self.inner.system.clone()).one(&PING, ()).await.map(drop)
    }

    /// What the pools are doing.
    pub fn status(&self) -> Status {
        let mut status = Status { open: 0, idle: 0, waiting: 0, discarded: self.inner.reaper.buried() };
        for pool in self.pools().map(Pool::status) {
            status.open += pool.size;
            status.idle += pool.available;
            status.waiting += pool.waiting;
        }
        status
    }

    /// Refuses new callers, and waits up to `patience` until those inside have finished. Then their queries are cancelled,
    /// and connections that are still out a second later are ended on the server; what it had to cut it reports.
    pub async fn close(&self, patience: Duration) -> Closed {
        if let Some(replicas) = &self.inner.replicas {
            replicas.close();
        }
        let pools: Vec<&Pool> = self.pools().collect();
        pools.iter().for_each(|pool| pool.close());
        let mut closed = Closed::default();
        if !self.quiet_within(patience).await {
            closed.cancelled = self.out();
            // A server that hangs answers neither request.
            let _ = tokio::time::timeout(LAST_WORDS, join_all(pools.iter().map(|pool| pool.cancel()))).await;
            if !self.quiet_within(LAST_WORDS).await {
                let terminating = join_all(pools.iter().map(|pool| pool.terminate()));
                let ended = tokio::time::timeout(LAST_WORDS, terminating).await;
                closed.terminated = ended.unwrap_or_default().iter().sum();
            }
        }
        let _ = tokio::time::timeout(LAST_WORDS, self.inner.reaper.stop()).await;
        closed
    }

    fn out(&self) -> usize {
        let status = self.status();
        status.open.saturating_sub(status.idle)
    }

    /// Whether all connections have come back in time.
    async fn quiet_within(&self, patience: Duration) -> bool {
        let quiet = async {
            // The pool has no event for it; a look every few milliseconds costs nothing at the end of a life.
            while self.out() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(patience, quiet).await.is_ok()
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        let replicas = self.inner.replicas.iter().flat_map(Replicas::pools);
        [&self.inner.app, &self.inner.system].into_iter().chain(replicas)
    }

    pub(crate) fn app(&self) -> &Pool {
        &self.inner.app
    }

    pub(crate) fn replicas(&self) -> Option<&Replicas> {
        self.inner.replicas.as_ref()
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Db({:?})", self.status())
    }
}

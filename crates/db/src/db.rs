use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared_core::InTenant;
use tokio::sync::Notify;

use crate::config::Config;
use crate::door::Door;
use crate::error::Error;
use crate::pool::Pool;
use crate::reaper::Reaper;
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
    reaper: Reaper,
    signals: Mutex<HashMap<&'static str, Arc<Notify>>>,
}

/// The system role's statements are probes of indexes on queues and logs, which are analysed while they are empty: left to
/// itself the planner then scans and hashes whole tables, and keeps that plan when they have grown.
const PROBES: &[(&str, &str)] = &[
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
];

/// What the pools are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Connections that are open, of both roles.
    pub open: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// Connections closed since start because a future was dropped half-way on them.
    pub discarded: u64,
}

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
        let db = Self { inner: Arc::new(Inner { app, system, reaper, signals: Mutex::default() }) };
        crate::safety::check(&db).await?;
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
    pub fn system(&self) -> Door {
        Door::new(self.inner.system.clone())
    }

    /// A wake-up within this process, by name: what is committed here need not be polled for. Waiters also look
    /// from time to time, since other processes commit too.
    pub fn signal(&self, name: &'static str) -> Arc<Notify> {
        let mut signals = self.inner.signals.lock().unwrap_or_else(PoisonError::into_inner);
        signals.entry(name).or_default().clone()
    }

    /// Asks the server for a sign of life, on a connection of the system role's pool: an app that is busy is not dead.
    ///
    /// # Errors
    /// Whatever keeps it from answering: no free connection, no server.
    pub async fn ping(&self) -> Result<(), Error> {
        self.system().one(&PING, ()).await.map(|_: i32| ())
    }

    /// What the pools are doing.
    pub fn status(&self) -> Status {
        let (app, system) = (self.inner.app.status(), self.inner.system.status());
        Status {
            open: app.size + system.size,
            idle: app.available + system.available,
            waiting: app.waiting + system.waiting,
            discarded: self.inner.reaper.buried(),
        }
    }

    /// Refuses new callers, and waits up to `patience` until those inside have finished. Returns how many
    /// connections were still out then; they are closed when they come back.
    pub async fn close(&self, patience: Duration) -> usize {
        let out = || {
            let status = self.status();
            status.open.saturating_sub(status.idle)
        };
        self.inner.app.close();
        self.inner.system.close();
        let quiet = async {
            // The pool has no event for it; a look every few milliseconds costs nothing at the end of a life.
            while out() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.inner.reaper.stop().await;
        };
        let _ = tokio::time::timeout(patience, quiet).await;
        out()
    }

    pub(crate) fn app(&self) -> &Pool {
        &self.inner.app
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Db({:?})", self.status())
    }
}

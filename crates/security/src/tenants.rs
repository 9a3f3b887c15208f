//! Tenants as they are now: their own roles, who has lost which, and whether they are suspended.

mod cache;
mod layer;
mod suspension;
mod view;
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shared_core::{Config as Schema, Context, InTenant, Problem, TenantId};
use shared_db::{Check, Db};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::METRICS;
use crate::trail::Trail;
use crate::{Audit, AuditEvent, Error, Matrix, May, Permission, Principal, Roles, SystemScope};
use cache::Cache;
pub use layer::{Admitting, TenantsLayer};
use view::TenantView;
use watch::Seen;

/// The SQL, for the test that compares it with the schema.
#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const STATEMENTS: [&[(&str, &dyn Check)]; 3] =
    [crate::roles::statements::STATEMENTS, suspension::STATEMENTS, watch::STATEMENTS];

/// How a program keeps up with its tenants.
#[derive(Clone, Debug, Schema)]
pub struct TenantsConfig {
    /// How often changes are looked for that nobody has told of. They are told of as well, so this is for the day on which
    /// that fails: half a second leaves the other half of the promised one to the look.
    #[config(default = "500ms", min = "10ms", max = "900ms")]
    pub poll: Duration,
    /// How long views are believed while the database does not answer; then requests are refused with 503. 10 s outlast a
    /// restart or a failover, and bound for how long a change could go unseen.
    #[config(default = "10s", min = "1s", max = "5m")]
    pub max_stale: Duration,
    /// How many tenants are kept in memory: 10,000, some tens of MiB where each has a dozen roles. Others are read again.
    #[config(default = "10000")]
    pub max_tenants: u32,
}

impl Default for TenantsConfig {
    fn default() -> Self {
        Self { poll: Duration::from_millis(500), max_stale: Duration::from_secs(10), max_tenants: 10_000 }
    }
}

/// The tenants as they are now. Cheap to clone; clones share everything.
///
/// A change that was made through it holds from its return on in this process, and within a second in the others: they are
/// told by the database, and look by themselves every half second. Where the database can't be reached for longer than
/// [`max_stale`](TenantsConfig::max_stale), nobody is admitted any more.
///
/// Dropping the last clone ends the task that watches; [`stop`](Self::stop) waits for its end.
#[derive(Clone)]
pub struct Tenants {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    pub(crate) trail: Trail,
}

struct Watch {
    stop: CancellationToken,
    task: tokio::sync::Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What the task needs as well.
struct Shared {
    db: Db,
    matrix: &'static Matrix,
    config: TenantsConfig,
    cache: Cache,
    start: Instant,
    /// Milliseconds from the start to the last look that has succeeded.
    confirmed: AtomicU64,
}

impl Tenants {
    /// Begins to watch, in a task of its own. The roles of tenants have permissions of this matrix.
    ///
    /// # Errors
    /// [`Error::Database`] if the database can't be read or listened to, [`Error::Tenants`] for settings that can't work.
    pub async fn start(db: Db, matrix: &'static Matrix, config: TenantsConfig) -> Result<Self, Error> {
        if config.poll.is_zero() || config.poll >= config.max_stale {
            return Err(Error::Tenants("`poll` has to be shorter than `max_stale`, and longer than nothing"));
        }
        let listener = db.listen(&[watch::CHANNEL]).await?;
        let start = Instant::now();
        let seen = Seen::from_now(&db).await?;
        let cache = Cache::new(config.max_tenants as usize);
        let shared = Arc::new(Shared { db, matrix, config, cache, start, confirmed: AtomicU64::new(0) });
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch::watch(Arc::clone(&shared), seen, listener, stop.clone()));
        let task = tokio::sync::Mutex::new(Some(AbortOnDropHandle::new(task)));
        Ok(Self { shared, watch: Arc::new(Watch { stop, task }), trail: Trail::default() })
    }

    /// Records in this log what changes tenants and roles, and who of a suspended tenant was refused.
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.trail = Trail::to(audit);
        self
    }

    /// Ends the watch, for all clones, and returns when nothing of it runs any more. From
    /// [`max_stale`](TenantsConfig::max_stale) later on nobody is admitted.
    pub async fn stop(&self) {
        self.watch.stop.cancel();
        if let Some(task) = self.watch.task.lock().await.take() {
            // Nobody else has the handle to abort it.
            let _ = task.await;
        }
    }

    /// The same principal, with what the roles of its token come to in its tenant now. Costs no round trip, but for the first
    /// request of a tenant and the first after each change. [`layer`](Self::layer) does it for HTTP.
    ///
    /// # Errors
    /// 403 of a type of its own if the tenant is suspended; 503 if nobody knows how the tenant is.
    pub async fn admit(&self, principal: Principal) -> Result<Principal, Problem> {
        if self.shared.is_stale() {
            METRICS.views_stale.add(1, &[]);
            return Err(unknown());
        }
        let view = self.view(principal.context()).await.map_err(|error| {
            tracing::error!(%error, tenant_id = %principal.tenant(), "a tenant can't be read");
            unknown()
        })?;
        if view.suspended {
            let event = AuditEvent::new("tenant.refused").denied().of(principal.context());
            let trail = self.trail.left_from(principal.trail().address());
            trail.record_of_anybody(event.because("the tenant is suspended"));
            return Err(suspended());
        }
        Ok(view.resolve(principal, OffsetDateTime::now_utc()))
    }

    /// The roles of the proof's tenant, as its principal may deal with them: nobody hands out what he does not have. Which
    /// permission opens this door is the service's to say, in the signature of its handler.
    pub fn roles<P: Permission>(&self, may: &May<P>) -> Roles {
        let limit = may.principal().permissions().clone();
        Roles::new(self.left_from(may.principal().trail().address()), may.context().clone(), Some(limit))
    }

    /// The roles of the scope's tenant without that limit: for the first administrator of a tenant, and for roles with
    /// permissions of the system.
    pub fn system_roles(&self, scope: &SystemScope) -> Roles {
        Roles::new(self.left_from(scope.address()), scope.context().clone(), None)
    }

    /// The roles of a subject of the proof's tenant, by name: what its next token names. It changes nothing, so whoever issues
    /// tokens needs no right to deal with roles.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn roles_of(&self, tenant: &impl InTenant, subject: &str) -> Result<Vec<String>, Error> {
        Roles::new(self.clone(), tenant.context().clone(), None).of(subject).await
    }

    /// The same, for somebody at this address.
    fn left_from(&self, address: Option<IpAddr>) -> Self {
        Self { trail: self.trail.left_from(address), ..self.clone() }
    }

    /// The view of the tenant: one reads it, the others wait for it.
    async fn view(&self, context: &Context) -> Result<Arc<TenantView>, Error> {
        let slot = self.shared.cache.slot(context.tenant());
        let read = async || {
            METRICS.views_read.add(1, &[]);
            TenantView::read(&self.shared.db, context.clone(), self.shared.matrix).await.map(Arc::new)
        };
        slot.get_or_try_init(read).await.cloned()
    }

    pub(crate) fn forget(&self, tenant: TenantId) {
        self.shared.cache.forget(tenant);
    }

    pub(crate) fn db(&self) -> &Db {
        &self.shared.db
    }

    pub(crate) fn matrix(&self) -> &'static Matrix {
        self.shared.matrix
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("matrix", &self.shared.matrix.name()).finish_non_exhaustive()
    }
}

impl Shared {
    /// A look that began then has succeeded: what was changed before has been seen.
    fn confirm(&self, began: Instant) {
        let since_start = began.saturating_duration_since(self.start).as_millis();
        self.confirmed.store(u64::try_from(since_start).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_stale(&self) -> bool {
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(confirmed) > self.config.max_stale
    }
}

fn suspended() -> Problem {
    Problem::forbidden()
        .with_type("urn:shared-security:tenant-suspended", "Tenant Suspended")
        .with_detail("this tenant is suspended; ask the operator of the platform")
}

fn unknown() -> Problem {
    Problem::unavailable()
        .with_detail("the state of this tenant can't be read now")
        .with_header("retry-after", "1")
}

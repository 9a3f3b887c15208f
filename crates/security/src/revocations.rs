//! Which access tokens are refused before they expire.

mod config;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "postgres")]
mod store;
mod view;
#[cfg(feature = "postgres")]
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shared_core::{Clock, InTenant, TenantId};
use uuid::Uuid;

use crate::trail::Trail;
use crate::{AuditEvent, Error, SessionId, Verified};
pub use config::{RevocationConfig, WhenStale};
#[cfg(all(test, feature = "postgres"))]
pub(crate) use postgres::STATEMENTS;
#[cfg(feature = "postgres")]
use store::Store;
use view::{Entry, Kind, View};
#[cfg(feature = "postgres")]
pub use worker::RevocationWorker;

/// What is revoked, in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The token with this id (`jti`).
    Token(String),
    /// Every token of a session (`sid`).
    Session(SessionId),
    /// The tokens of a subject that are issued until five seconds from now. Sessions are better ended one by one, as
    /// [`Sessions::end_all`](crate::Sessions::end_all) does: then the next login's token is good at once.
    Subject(String),
    /// The tokens of the whole tenant that are issued until five seconds from now.
    Tenant,
}

/// 5 s: more than the clocks of issuers differ that are kept by NTP, and than a token takes that is being issued while its
/// subject is revoked.
const MARGIN: Duration = Duration::from_secs(5);

impl Revocation {
    fn kind(&self) -> Kind {
        match self {
            Self::Token(_) => Kind::Token,
            Self::Session(_) => Kind::Session,
            Self::Subject(_) => Kind::Subject,
            Self::Tenant => Kind::Tenant,
        }
    }

    /// What it is about, in one word.
    fn word(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Session(_) => "session",
            Self::Subject(_) => "subject",
            Self::Tenant => "tenant",
        }
    }

    /// By what it is found; a session's is its UUID.
    fn name(&self) -> String {
        match self {
            Self::Token(id) => id.clone(),
            Self::Session(id) => id.to_string(),
            Self::Subject(subject) => subject.clone(),
            Self::Tenant => String::new(),
        }
    }

    /// Tokens issued later are not meant.
    fn margin(&self) -> Option<Duration> {
        matches!(self, Self::Subject(_) | Self::Tenant).then_some(MARGIN)
    }
}

/// The tokens that are refused although they have not expired: a view in memory that is asked at every request. Clones share it.
///
/// A revocation is seen at once in this process, and in others that read the same store within the poll interval, which is
/// half a second, or sooner where a notification comes through. If the store can't be read, the view grows stale;
/// [`WhenStale`] says what happens then, and [`freshness`](Self::freshness) tells a probe.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>, Trail);

struct Inner {
    view: View,
    config: RevocationConfig,
    clock: Clock,
    /// `None` where revocations stay in this process.
    #[cfg(feature = "postgres")]
    store: Option<Store>,
    started: Instant,
    /// When the last read of the store began that succeeded, in milliseconds after `started`.
    read_at: AtomicU64,
    /// Twice the number of changes; a stale view counts as one half of a change.
    changes: AtomicU64,
}

impl Revocations {
    /// Revocations that this process alone sees, and forgets when it ends: for a service that runs once, and for tests.
    pub fn in_process(config: RevocationConfig) -> Self {
        Self(Arc::new(Inner::new(config, Clock::system())), Trail::default())
    }

    /// The same with a clock that a test can move.
    pub fn with_clock(config: RevocationConfig, clock: Clock) -> Self {
        Self(Arc::new(Inner::new(config, clock)), Trail::default())
    }

    /// Records in this log what is revoked by this handle and its clones.
    #[cfg(feature = "postgres")]
    pub fn with_audit(mut self, audit: crate::Audit) -> Self {
        self.1 = Trail::to(audit);
        self
    }

    /// Revokes, here at once, and for the others as soon as they read it. Revoking twice is no mistake.
    ///
    /// After an error the revocation holds here and perhaps nowhere else: call it again. The same goes if the future is
    /// dropped.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a name of more than 255 bytes; [`Error::Database`] if the store could not be written.
    pub async fn revoke(&self, tenant: &impl InTenant, what: Revocation) -> Result<(), Error> {
        if what.name().len() > shared_core::MAX_TEXT {
            return Err(Error::OutOfRange { what: "the name of what is revoked has 255 bytes at most" });
        }
        let event = AuditEvent::new("token.revoked").within(tenant).target(what.word(), what.name());
        let (tenant, what) = (tenant.context().tenant(), [what]);
        self.apply_here(tenant, &what);
        #[cfg(feature = "postgres")]
        if let Some(store) = &self.0.store {
            return store.write(self, tenant, &what, event).await;
        }
        self.1.record(event);
        Ok(())
    }

    /// Whether what is revoked now is remembered for so long.
    pub(crate) fn remember_for(&self, time: Duration) -> bool {
        time <= self.0.config.longest_token
    }

    /// Whether this token is refused.
    pub fn refuses(&self, token: &Verified) -> bool {
        if self.is_refused_as_stale() {
            return true;
        }
        let view = &self.0.view;
        let issued_at = token.issued_at().unix_timestamp();
        let meets = |kind, name: &str| view.meets(token.tenant(), kind, name, issued_at);
        // From the narrow to the wide: the view writes what takes the place of others before it forgets those, so whoever no longer
        // finds the one finds the other.
        meets(Kind::Token, token.token_id())
            || token.session().is_some_and(|session| {
                meets(Kind::Session, session.as_uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            })
            || meets(Kind::Subject, token.subject())
            || meets(Kind::Tenant, "")
            || view.meets_all(issued_at)
    }

    /// Grows with each change of what [`refuses`](Self::refuses) answers: a verdict of another epoch has to be asked for again.
    pub fn epoch(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire) + u64::from(self.is_refused_as_stale())
    }

    /// How long ago the store was last read successfully: what was revoked elsewhere since may not be known here. Zero where
    /// there is no store.
    pub fn freshness(&self) -> Duration {
        match self.has_store() {
            true => self
                .0
                .started
                .elapsed()
                .saturating_sub(Duration::from_millis(self.0.read_at.load(Ordering::Acquire))),
            false => Duration::ZERO,
        }
    }

    /// Whether the view is older than it may be.
    pub fn is_stale(&self) -> bool {
        self.freshness() > self.0.config.stale_after
    }

    /// Revocations in memory; for a metric.
    pub fn len(&self) -> usize {
        self.0.view.len()
    }

    /// Whether nothing is revoked one by one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn has_store(&self) -> bool {
        #[cfg(feature = "postgres")]
        return self.0.store.is_some();
        #[cfg(not(feature = "postgres"))]
        return false;
    }

    fn is_refused_as_stale(&self) -> bool {
        self.0.config.when_stale == WhenStale::Refuse && self.is_stale()
    }

    fn apply_here(&self, tenant: TenantId, revocations: &[Revocation]) {
        let now = self.now();
        let expires = now + seconds(self.0.config.longest_token);
        for what in revocations {
            let issued_until = what.margin().map_or(i64::MAX, |margin| now + seconds(margin));
            self.insert(Entry { tenant, issued_until, expires }, what.kind(), &what.name());
        }
    }

    fn insert(&self, entry: Entry, kind: Kind, name: &str) {
        if self.0.view.insert(entry, kind, name, self.now()) {
            self.0.changes.fetch_add(2, Ordering::AcqRel);
        }
    }

    fn now(&self) -> i64 {
        self.0.clock.now().unix_timestamp()
    }
}

impl Inner {
    fn new(config: RevocationConfig, clock: Clock) -> Self {
        Self {
            view: View::new(config.max_entries),
            config,
            clock,
            #[cfg(feature = "postgres")]
            store: None,
            started: Instant::now(),
            read_at: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2)
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("entries", &self.len())
            .field("freshness", &self.freshness())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use shared_core::AssumedTenant;

    use super::*;
    use crate::{Algorithm, Grant, Issuer, SigningKey, Verifier};

    fn token(tenant: TenantId, issued_at: u64) -> Verified {
        let clock = Clock::manual(time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(issued_at));
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let verifier = Verifier::new("issuer", "audience", [key.verifying_key().clone()]).unwrap();
        let issuer = Issuer::new(key, "issuer", "audience").with_clock(clock.clone());
        let grant = Grant::new(tenant, "user:7").with_session(SessionId::new());
        verifier.with_clock(clock).verify(issuer.issue(&grant).unwrap().expose()).unwrap()
    }

    fn config() -> RevocationConfig {
        RevocationConfig::new(WhenStale::Refuse)
    }

    /// ASVS 7.4.1: what was ended is refused, and only that.
    #[tokio::test]
    async fn each_kind_refuses_what_it_names_and_nothing_else() {
        let (clock, tenant) =
            (Clock::manual(time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1000)), TenantId::new());
        let proof = AssumedTenant::new(tenant, "a test");
        let token = token(tenant, 1000);
        let session = token.session().unwrap();
        let id = token.token_id();
        for (what, other) in [
            (Revocation::Token(id.to_owned()), Revocation::Token("another".to_owned())),
            (Revocation::Session(session), Revocation::Session(SessionId::new())),
            (Revocation::Subject("user:7".to_owned()), Revocation::Subject("user:8".to_owned())),
            (Revocation::Subject("user:7".to_owned()), Revocation::Token("user:7".to_owned())),
        ] {
            let revocations = Revocations::with_clock(config(), clock.clone());
            revocations.revoke(&proof, other).await.unwrap();
            assert!(!revocations.refuses(&token), "{what:?}");
            let epoch = revocations.epoch();
            revocations.revoke(&proof, what.clone()).await.unwrap();
            assert!(revocations.refuses(&token) && revocations.epoch() > epoch, "{what:?}");
            assert!(!revocations.refuses(&self::token(TenantId::new(), 1000)), "{what:?}");
        }
    }

    /// ASVS 7.4.1: while what does not fit is put together, a token that was revoked is refused as before.
    #[test]
    fn a_revoked_token_is_refused_at_every_moment_of_a_flood() {
        let clock = Clock::manual(time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1000));
        let (tenant, config) = (TenantId::new(), RevocationConfig { max_entries: 20, ..config() });
        let token = token(tenant, 1000);
        let flood = |of: &dyn Fn() -> TenantId, rounds: usize, each: usize| {
            for _ in 0..rounds {
                let revocations = Revocations::with_clock(config.clone(), clock.clone());
                revocations.apply_here(tenant, &[Revocation::Token(token.token_id().to_owned())]);
                let ends = std::sync::atomic::AtomicBool::new(false);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        while !ends.load(Ordering::Acquire) {
                            assert!(revocations.refuses(&token));
                        }
                    });
                    (0..each).for_each(|n| revocations.apply_here(of(), &[Revocation::Token(n.to_string())]));
                    ends.store(true, Ordering::Release);
                });
            }
        };
        flood(&|| tenant, 1, 100_000);
        flood(&TenantId::new, 500, 100);
    }

    #[tokio::test]
    async fn a_tenants_tokens_are_refused_up_to_a_moment() {
        let clock = Clock::manual(time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1000));
        let tenant = TenantId::new();
        let revocations = Revocations::with_clock(config(), clock);
        revocations.revoke(&AssumedTenant::new(tenant, "a test"), Revocation::Tenant).await.unwrap();
        assert!(revocations.refuses(&token(tenant, 1000)) && revocations.refuses(&token(tenant, 1005)));
        assert!(!revocations.refuses(&token(tenant, 1006)));
    }
}

//! Sessions in Postgres: opened by a login, kept alive by refresh tokens, ended one by one or all at once.

mod config;
mod device;
mod family;
mod login;
mod refresh;
mod statements;
mod successor;
mod token;

use std::fmt;
use std::net::IpAddr;

use shared_core::{Actor, Id, InTenant, TenantId};
use shared_db::{Db, TenantTx};

use crate::trail::Trail;
use crate::{Audit, AuditEvent, Error, Revocation, Revocations, Session, SessionId};
pub use config::SessionConfig;
pub use device::Device;
use family::Family;
pub use login::{Login, NewSession};
#[cfg(test)]
pub(crate) use statements::STATEMENTS;
use statements::{
    ALLOW, BEGAN, DISABLE, END, END_EXCESS, END_OF_SUBJECT, END_TENANT, LIST, LOCK_SUBJECT, NEXT_EPOCH, OPEN,
};
pub use token::RefreshToken;

/// The sessions of users. Cheap to clone.
///
/// What ends a session ends its access tokens as well, by its [`Revocations`]; over Postgres in the same transaction.
///
/// Whether the caller may see or end a subject's sessions is for the caller to know: a user their own, an administrator
/// those of others.
#[derive(Clone)]
pub struct Sessions {
    db: Db,
    revocations: Revocations,
    config: SessionConfig,
    trail: Trail,
}

/// A session with the refresh token that continues it. Hand the token to the client, and keep nothing of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenSession {
    /// The tenant that it is in.
    pub tenant: TenantId,
    /// The session, for the claims of an access token.
    pub session: Session,
    /// What the client shows the next time.
    pub refresh_token: RefreshToken,
}

impl Sessions {
    /// Sessions in this database.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a grace window is longer than 30 seconds, or times are not in order.
    pub fn new(db: Db, revocations: Revocations, config: SessionConfig) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { db, revocations, config, trail: Trail::default() })
    }

    /// Records each session that is opened, refreshed, refused or ended. What changes a session is recorded in the transaction that
    /// changes it, so in the log of this database; refusals go to this log.
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.trail = Trail::to(audit);
        self
    }

    /// The same, for somebody at this address, where what is recorded has no [`Device`] to name it.
    pub fn seen_from(&self, address: IpAddr) -> Self {
        Self { trail: self.trail.left_from(Some(address)), ..self.clone() }
    }

    /// Begins a login, before the password is looked at. What ends all sessions of the user meanwhile (a reset, a
    /// log-out everywhere, a disabled account) makes [`open`](Self::open) refuse it.
    ///
    /// It writes nothing, and does and answers the same for a subject that nobody knows.
    ///
    /// # Errors
    /// [`Error::Subject`], [`Error::Database`].
    pub async fn login(&self, tenant: &impl InTenant, subject: impl Into<String>) -> Result<Login, Error> {
        let subject = subject.into();
        if !crate::claims::is_name(&subject) {
            return Err(Error::Subject);
        }
        let (epoch, tenant_epoch, began_at) = self.db.tenant(tenant).one(&BEGAN, (&subject,)).await?;
        Ok(Login { tenant: tenant.context().tenant(), subject, epoch, tenant_epoch, began_at })
    }

    /// Opens a session for a user who has just shown who they are. Its id is new, whatever the browser had before; say
    /// [`NewSession::replacing`] to end that in the same transaction.
    ///
    /// A user has so many sessions at most; the one that was not refreshed for longest makes room.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] if the user was disabled, all their sessions were ended since the login began, or that
    /// was longer ago than 15 minutes, or in another tenant. [`Error::Database`].
    pub async fn open(
        &self,
        tenant: &impl InTenant,
        login: Login,
        new: NewSession,
    ) -> Result<OpenSession, Error> {
        let id = tenant.context().tenant();
        new.check()?;
        let (token, family) = RefreshToken::first(id)?;
        let event = AuditEvent::new("session.opened").within(tenant).actor(&Actor::new(&login.subject));
        let event = from_device(event, &new.device);
        let door = self.db.tenant(tenant);
        let done = door.tx(async |tx| {
            if login.tenant != id {
                return Err(Error::LoginRefused { reason: "it began in another tenant" });
            }
            self.admit(tx, &login).await?;
            let ended = self.make_room(tx, &login.subject, &new).await?;
            let opened = self.insert(tx, &login, &new, &family).await?;
            self.trail.record_in(tx, event.clone().target("session", opened.id))?;
            Ok::<_, Error>((opened, ended))
        });
        let (session, ended) = match done.await {
            Ok(done) => done,
            Err(error) => {
                if let Error::LoginRefused { reason } = &error {
                    self.trail.record(event.denied().because(reason));
                }
                return Err(error);
            }
        };
        self.revocations.apply(id, &ended).await?;
        Ok(OpenSession { tenant: id, session, refresh_token: token })
    }

    /// Locks the user, before whom nothing else is locked, and sees whether the login still holds.
    async fn admit(&self, tx: &mut TenantTx, login: &Login) -> Result<(), Error> {
        let (epoch, disabled, tenant_epoch, in_time) =
            tx.one(&LOCK_SUBJECT, (&login.subject, login.began_at)).await?;
        let reason = match () {
            () if disabled => "the user is disabled",
            () if (epoch, tenant_epoch) != (login.epoch, login.tenant_epoch) => {
                "the user's sessions were ended while it was under way"
            }
            () if !in_time => "it began more than 15 minutes ago",
            () => return Ok(()),
        };
        Err(Error::LoginRefused { reason })
    }

    async fn make_room(
        &self,
        tx: &mut TenantTx,
        subject: &str,
        new: &NewSession,
    ) -> Result<Vec<Revocation>, Error> {
        let mut ended = Vec::new();
        if let Some(old) = new.replaces {
            ended.extend(tx.opt(&END, (old, subject, "replaced")).await?);
        }
        let replaced = ended.len();
        let others = i64::from(self.config.per_subject.max(1)) - 1;
        ended.extend(tx.all(&END_EXCESS, (subject, others)).await?);
        for (at, session) in ended.iter().enumerate() {
            let event = AuditEvent::new("session.ended").within(tx).actor(&Actor::new(subject));
            let event = event.target("session", session).detail("subject", subject);
            let reason = if at < replaced { "replaced" } else { "more sessions than one may have" };
            self.trail.record_in(tx, event.because(reason))?;
        }
        self.revoke(tx, ended).await
    }

    async fn insert(
        &self,
        tx: &mut TenantTx,
        login: &Login,
        new: &NewSession,
        family: &Family,
    ) -> Result<Session, Error> {
        let (id, idle, absolute) = (Id::new(), millis(self.config.idle), millis(self.config.absolute));
        let given = (
            id,
            &login.subject,
            &new.client,
            &family.family,
            &family.current,
            login.tenant_epoch,
            &new.methods,
            &new.device.user_agent,
            new.device.address,
            idle,
            absolute,
        );
        Ok(tx.one(&OPEN, given).await?)
    }

    /// The sessions of a user that can still be refreshed, the latest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn list(&self, tenant: &impl InTenant, subject: &str) -> Result<Vec<Session>, Error> {
        Ok(self.db.tenant(tenant).all(&LIST, (subject,)).await?)
    }

    /// Ends a session of this user: their log-out. Says whether there was one; another user's is none.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn end(
        &self,
        tenant: &impl InTenant,
        subject: &str,
        session: SessionId,
    ) -> Result<bool, Error> {
        let door = self.db.tenant(tenant);
        let event = AuditEvent::new("session.ended").within(tenant).target("session", session);
        let event = event.detail("subject", subject);
        let ended = door.tx(async |tx| {
            let ended: Option<SessionId> = tx.opt(&END, (session, subject, "logout")).await?;
            let event = event.clone();
            let event = if ended.is_some() { event } else { event.failed().because("there is none") };
            self.trail.record_in(tx, event)?;
            self.revoke(tx, ended.into_iter().collect()).await
        });
        let ended = ended.await?;
        self.revocations.apply(tenant.context().tenant(), &ended).await?;
        Ok(!ended.is_empty())
    }

    /// Ends every session of a user, and refuses every login that is under way; for a new password, and for log-out
    /// everywhere. Returns how many there were. With `keep` that one goes on, for a user who changes their own password.
    ///
    /// A refresh at the same moment comes first, and its successor is ended too, or second, and is refused.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn end_all(
        &self,
        tenant: &impl InTenant,
        subject: &str,
        keep: Option<SessionId>,
    ) -> Result<usize, Error> {
        self.end_subject(tenant, subject, keep, Subject::Goes).await
    }

    /// Ends every session of a user and lets them open no more until [`allow`](Self::allow).
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn disable(&self, tenant: &impl InTenant, subject: &str) -> Result<usize, Error> {
        self.end_subject(tenant, subject, None, Subject::IsDisabled).await
    }

    /// Lets a user that was disabled log in again. What was ended stays so.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn allow(&self, tenant: &impl InTenant, subject: &str) -> Result<(), Error> {
        let door = self.db.tenant(tenant);
        let allowed = door.tx(async |tx| {
            tx.execute(&ALLOW, (subject,)).await?;
            self.happened(tx, "subject.allowed", tenant, subject)
        });
        allowed.await
    }

    async fn end_subject(
        &self,
        tenant: &impl InTenant,
        subject: &str,
        keep: Option<SessionId>,
        what: Subject,
    ) -> Result<usize, Error> {
        let door = self.db.tenant(tenant);
        let ended = door.tx(async |tx| {
            // The user first, then the sessions, as when one is opened: those that are being opened are seen then.
            let lock = match what {
                Subject::Goes => &NEXT_EPOCH,
                Subject::IsDisabled => &DISABLE,
            };
            tx.execute(lock, (subject,)).await?;
            let ended = tx.all(&END_OF_SUBJECT, (subject, keep, what.reason())).await?;
            self.happened(tx, what.event(), tenant, subject)?;
            self.revoke(tx, ended).await
        });
        let ended = ended.await?;
        self.revocations.apply(tenant.context().tenant(), &ended).await?;
        Ok(ended.len())
    }

    /// Ends all sessions of all users of the tenant at once, however many there are, and refuses logins that are under way.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn end_tenant(&self, tenant: &impl InTenant) -> Result<(), Error> {
        let all = [Revocation::Tenant];
        let door = self.db.tenant(tenant);
        let done = door.tx(async |tx| {
            tx.execute(&END_TENANT, ()).await?;
            self.trail.record_in(tx, AuditEvent::new("tenant.sessions_ended").within(tenant))?;
            self.revocations.write_in(tx, &all).await
        });
        done.await?;
        self.revocations.apply(tenant.context().tenant(), &all).await
    }

    /// What makes the access tokens of these sessions fail, written where the sessions were ended.
    async fn revoke(&self, tx: &mut TenantTx, ended: Vec<SessionId>) -> Result<Vec<Revocation>, Error> {
        let revocations: Vec<_> = ended.into_iter().map(Revocation::Session).collect();
        self.revocations.write_in(tx, &revocations).await?;
        Ok(revocations)
    }

    /// Something was done to all sessions of a user.
    fn happened(
        &self,
        tx: &mut TenantTx,
        action: &'static str,
        tenant: &impl InTenant,
        subject: &str,
    ) -> Result<(), Error> {
        self.trail.record_in(tx, AuditEvent::new(action).within(tenant).target("subject", subject))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("config", &self.config).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Subject {
    Goes,
    IsDisabled,
}

impl Subject {
    fn reason(self) -> &'static str {
        match self {
            Self::Goes => "all",
            Self::IsDisabled => "disabled",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Goes => "subject.sessions_ended",
            Self::IsDisabled => "subject.disabled",
        }
    }
}

/// In milliseconds, as the statements take times.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where it was asked for.
fn from_device(event: AuditEvent, device: &Device) -> AuditEvent {
    let event = if device.user_agent.is_empty() { event } else { event.user_agent(&device.user_agent) };
    match device.address {
        Some(address) => event.from_address(address),
        None => event,
    }
}

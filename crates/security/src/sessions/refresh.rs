use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use shared_core::{Actor, InTenant, Secret, fault};
use shared_db::TenantTx;

use super::family::{Decision, Locked, Refusal};
use super::statements::{END, LOCK_FAMILY, ROTATE, SESSION};
use super::successor;
use super::token::{Parts, new_secret};
use super::{OpenSession, Sessions, from_device, millis};
use crate::{AuditEvent, Device, Error, RefreshError, Revocation, Session};

/// What one transaction has done.
enum Turn {
    Continued(Box<Session>, Parts),
    Refused(Box<Locked>, Refusal, Vec<Revocation>),
}

impl Turn {
    /// What is to be remembered of it.
    fn tell(&self, event: AuditEvent) -> AuditEvent {
        match self {
            Self::Continued(session, _) => {
                event.actor(&Actor::new(&session.subject)).target("session", session.id)
            }
            // Who shows it is not known to be its subject.
            Self::Refused(family, refusal, _) => {
                let event = event.denied().because(refusal.name());
                event.target("session", family.id).detail("subject", &*family.subject)
            }
        }
    }
}

impl Sessions {
    /// Exchanges a refresh token for its successor, and keeps the session alive.
    ///
    /// It is safe to ask again: within the grace window the token before the current one yields the same successor, as often
    /// as it is shown, also to those that ask at the same time. If this future is dropped or the answer is lost, ask again
    /// with the same token.
    ///
    /// A token of an older generation, one shown after the window, and one that another client shows end the session: either
    /// the caller or who came before has stolen it, and nobody knows which.
    ///
    /// The tenant is the one that the token names. It opens nothing but the session that the token belongs to.
    ///
    /// # Errors
    /// Why it was refused, for the log; to the caller all of them are the same 401, but for [`RefreshError::Store`].
    pub async fn refresh(
        &self,
        token: &Secret,
        client: &str,
        device: &Device,
    ) -> Result<OpenSession, RefreshError> {
        let event = from_device(AuditEvent::new("session.refreshed"), device);
        let Some(parts) = Parts::read(token) else { return Err(self.unknown(event)) };
        let proof = parts.tenant();
        let door = self.db.tenant(&proof);
        let tenant = proof.context().tenant();
        let turn = door.tx(async |tx| {
            let turn = self.turn(tx, &parts, client, device).await?;
            if let Some(turn) = &turn {
                self.trail.record_in(tx, turn.tell(event.clone().tenant(tenant)))?;
            }
            Ok::<_, Error>(turn)
        });
        let turn = turn.await?;
        let Some(turn) = turn else { return Err(self.unknown(event)) };
        fault::point("security.refresh.committed");
        match turn {
            Turn::Continued(session, next) => {
                count("success");
                Ok(OpenSession { tenant, session: *session, refresh_token: next.to_token() })
            }
            Turn::Refused(_, refusal, ended) => {
                count(refusal.name());
                self.revocations.apply(tenant, &ended).await?;
                Err(refusal.into())
            }
        }
    }

    /// The token belongs to no session. The tenant in it is what the caller says, and so is not recorded.
    fn unknown(&self, event: AuditEvent) -> RefreshError {
        self.trail.record_of_anybody(event.denied().because("unknown"));
        RefreshError::Unknown
    }

    /// Everything under the family's lock. `None` if there is no such family in the tenant.
    async fn turn(
        &self,
        tx: &mut TenantTx,
        parts: &Parts,
        client: &str,
        device: &Device,
    ) -> Result<Option<Turn>, Error> {
        let grace = millis(self.config.grace);
        let Some(family) = tx.opt(&LOCK_FAMILY, (&parts.family_hash(), grace)).await? else {
            return Ok(None);
        };
        let (refusal, ended) = match family.decide(&parts.secret_hash(), client) {
            Decision::Rotate => return self.rotate(tx, &family, parts, device).await.map(Some),
            Decision::Repeat => return repeat(tx, &family, parts).await,
            Decision::Refuse(refusal) => (refusal, None),
            Decision::End(refusal) => {
                (refusal, tx.opt(&END, (family.id, &family.subject, refusal.name())).await?)
            }
        };
        let ended = self.revoke(tx, ended.into_iter().collect()).await?;
        Ok(Some(Turn::Refused(Box::new(family), refusal, ended)))
    }

    async fn rotate(
        &self,
        tx: &mut TenantTx,
        family: &Locked,
        parts: &Parts,
        device: &Device,
    ) -> Result<Turn, Error> {
        let next = parts.with_secret(new_secret()?);
        let sealed = successor::seal(family.id, &parts.secret, &next.secret).ok_or(Error::Random)?;
        let idle = millis(self.config.idle);
        let given = (family.id, &next.secret_hash(), &sealed, idle, &device.user_agent, device.address);
        let session = tx.one(&ROTATE, given).await?;
        Ok(Turn::Continued(Box::new(session), next))
    }
}

/// The successor that was handed out before. Nothing is written: a retry keeps no session alive.
async fn repeat(tx: &mut TenantTx, family: &Locked, parts: &Parts) -> Result<Option<Turn>, Error> {
    let sealed = family.successor.as_deref().unwrap_or_default();
    let Some(secret) = successor::open(family.id, &parts.secret, sealed) else {
        tracing::error!(session = %family.id, "a session's successor can't be decrypted: was its row changed?");
        return Ok(None);
    };
    let session = tx.one(&SESSION, (family.id,)).await?;
    Ok(Some(Turn::Continued(Box::new(session), parts.with_secret(secret))))
}

static REFRESHES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter("shared_security")
        .u64_counter("security.refreshes")
        .with_description("refresh tokens of known sessions that were shown, by outcome")
        .build()
});

fn count(outcome: &'static str) {
    REFRESHES.add(1, &[KeyValue::new("outcome", outcome)]);
}

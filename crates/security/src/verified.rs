use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared_core::{Id, Site, TenantId};
use time::OffsetDateTime;

use crate::SessionId;
use crate::claims::{Claims, is_name};
use crate::json::Text;
use crate::policy::Policy;
use crate::tenancy::tenant_in;
use crate::{VerifyError, VerifyError::*};

/// What a token said, once it was verified. Only a [`Verifier`](crate::Verifier) makes it; cheap to clone.
#[derive(Clone)]
pub struct Verified(Arc<Said>);

struct Said {
    issuer: Arc<str>,
    is_bound: bool,
    tenant: TenantId,
    site: Option<Id<Site>>,
    subject: Box<str>,
    token_id: Box<str>,
    session: Option<SessionId>,
    scope: Box<str>,
    roles: Box<[Box<str>]>,
    client_id: Option<Box<str>>,
    actor: Option<Box<str>>,
    methods: Box<[Box<str>]>,
    authenticated: Option<OffsetDateTime>,
    issued: OffsetDateTime,
    not_before: OffsetDateTime,
    expires: OffsetDateTime,
}

impl Verified {
    /// Judges claims whose signature was right, but for their times, which pass while the token is remembered.
    pub(crate) fn judge(claims: Claims<'_>, policy: &Policy) -> Result<Self, VerifyError> {
        if *claims.iss.ok_or(MALFORMED)? != *policy.issuer {
            return Err(WrongIssuer);
        }
        if !claims.aud.ok_or(MALFORMED)?.includes(&policy.audience) {
            return Err(WrongAudience);
        }
        let issued = time(claims.iat)?.ok_or(MALFORMED)?;
        let said = Said {
            issuer: policy.issuer.clone(),
            is_bound: policy.is_bound(),
            tenant: claims.tenant.as_deref().and_then(tenant_in).ok_or(NoTenant)?,
            site: id(claims.site)?,
            subject: name(claims.sub)?.ok_or(MALFORMED)?,
            token_id: name(claims.jti)?.ok_or(MALFORMED)?,
            session: id(claims.sid)?,
            scope: claims.scope.as_deref().unwrap_or_default().into(),
            roles: names(claims.roles)?,
            client_id: name(claims.client_id)?,
            // An actor without a name is none that anybody could be held to.
            actor: claims.act.map(|act| name(act.0.sub)?.ok_or(MALFORMED)).transpose()?,
            methods: names(claims.amr)?,
            authenticated: time(claims.auth_time)?,
            issued,
            not_before: time(claims.nbf)?.map_or(issued, |not_before| not_before.max(issued)),
            expires: time(claims.exp)?.ok_or(MALFORMED)?,
        };
        if !policy.may_speak_for(said.tenant) {
            return Err(ForeignTenant);
        }
        Ok(Self(Arc::new(said)))
    }

    /// It is not over and has begun, as far as clocks agree.
    pub(crate) fn in_time(&self, now: OffsetDateTime, leeway: Duration) -> Result<(), VerifyError> {
        let leeway = time::Duration::try_from(leeway).unwrap_or(time::Duration::MAX);
        if now >= self.0.expires.saturating_add(leeway) {
            return Err(Expired);
        }
        if self.0.not_before > now.saturating_add(leeway) {
            return Err(NotYetValid);
        }
        Ok(())
    }

    /// How long it is valid in all.
    pub(crate) fn lifetime(&self) -> Duration {
        Duration::try_from(self.0.expires - self.0.issued).unwrap_or_default()
    }

    /// About what it takes in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        let said = &*self.0;
        let list =
            |texts: &[Box<str>]| texts.iter().map(|text| text.len() + size_of::<Box<str>>()).sum::<usize>();
        let option = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        size_of::<Said>()
            + said.subject.len()
            + said.token_id.len()
            + said.scope.len()
            + option(&said.client_id)
            + option(&said.actor)
            + list(&said.roles)
            + list(&said.methods)
    }

    /// Who issued it (`iss`).
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Its issuer speaks for some tenants alone, and so can't give anybody the power of the system.
    pub(crate) fn is_bound(&self) -> bool {
        self.0.is_bound
    }

    /// For which tenant (`tenant`).
    pub fn tenant(&self) -> TenantId {
        self.0.tenant
    }

    /// The part of the tenant that the subject is bound to, if any (`site`).
    pub fn site(&self) -> Option<Id<Site>> {
        self.0.site
    }

    /// Who is meant (`sub`).
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The token's own id (`jti`).
    pub fn token_id(&self) -> &str {
        &self.0.token_id
    }

    /// The session that it belongs to, if any (`sid`).
    pub fn session(&self) -> Option<SessionId> {
        self.0.session
    }

    /// The names of permissions that it grants (`scope`).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scope.split(' ').filter(|name| !name.is_empty())
    }

    /// The roles of the subject (`roles`).
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.roles.iter().map(|role| &**role)
    }

    /// The client that asked for it, if it was not the subject by itself (`client_id`).
    pub fn client_id(&self) -> Option<&str> {
        self.0.client_id.as_deref()
    }

    /// Who acts for the subject, such as a service on its behalf (`act`, RFC 8693).
    pub fn actor(&self) -> Option<&str> {
        self.0.actor.as_deref()
    }

    /// When the subject showed who it is (`auth_time`).
    pub fn authenticated_at(&self) -> Option<OffsetDateTime> {
        self.0.authenticated
    }

    /// How it did: `pwd`, `otp`, .. of RFC 8176 (`amr`).
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.0.methods.iter().map(|method| &**method)
    }

    /// When it was issued (`iat`).
    pub fn issued_at(&self) -> OffsetDateTime {
        self.0.issued
    }

    /// When it stops being valid (`exp`).
    pub fn expires_at(&self) -> OffsetDateTime {
        self.0.expires
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("issuer", &self.issuer())
            .field("tenant", &self.tenant())
            .field("subject", &self.subject())
            .field("token_id", &self.token_id())
            .finish_non_exhaustive()
    }
}

const MALFORMED: VerifyError = Malformed { part: "the claims" };

fn name(text: Option<Text<'_>>) -> Result<Option<Box<str>>, VerifyError> {
    match text {
        Some(text) if !is_name(&text) => Err(MALFORMED),
        text => Ok(text.map(|text| text.0.into())),
    }
}

fn names(texts: Option<Vec<Text<'_>>>) -> Result<Box<[Box<str>]>, VerifyError> {
    texts.into_iter().flatten().map(|text| name(Some(text))?.ok_or(MALFORMED)).collect()
}

fn id<T>(text: Option<Text<'_>>) -> Result<Option<Id<T>>, VerifyError> {
    text.map(|text| text.parse().map_err(|_| MALFORMED)).transpose()
}

/// Whole seconds since 1970, up to the year 9999.
fn time(seconds: Option<u64>) -> Result<Option<OffsetDateTime>, VerifyError> {
    let Some(seconds) = seconds else { return Ok(None) };
    let seconds = i64::try_from(seconds).map_err(|_| MALFORMED)?;
    OffsetDateTime::from_unix_timestamp(seconds).map(Some).map_err(|_| MALFORMED)
}

use std::sync::Arc;

use shared_core::{Actor, Context, CorrelationId, Problem, TenantId, trace};
use time::OffsetDateTime;

use crate::SessionId;
use crate::held::{Held, HeldRole};
use crate::trail::Trail;
use crate::{AuditEvent, Matrix, May, Permission, Permissions, Verified, challenge};

/// Who is asking, for which tenant, and what they may do. It comes from a verified token and from nothing else;
/// cheap to clone.
///
/// It is no proof of a tenant by itself: doors to data take a [`May`], so that none opens without a permission.
#[derive(Clone, Debug)]
pub struct Principal(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    context: Context,
    token: Verified,
    held: Held,
    trail: Trail,
}

impl Principal {
    /// The principal of a verified token in a service with these permissions, as part of a conversation and of the
    /// running trace. [`BearerLayer`](crate::BearerLayer) does it for HTTP.
    pub fn new(token: Verified, matrix: &'static Matrix, conversation: Option<CorrelationId>) -> Self {
        Self::recorded(token, matrix, conversation, Trail::default())
    }

    /// The same; what is denied to it leaves this trail.
    pub(crate) fn recorded(
        token: Verified,
        matrix: &'static Matrix,
        conversation: Option<CorrelationId>,
        trail: Trail,
    ) -> Self {
        let mut context =
            Context::new(token.tenant(), Actor::new(token.subject())).with_traceparent(trace::current());
        if let Some(site) = token.site() {
            context = context.with_site(site);
        }
        if let Some(conversation) = conversation {
            context = context.with_correlation(conversation);
        }
        if let Some(actor) = token.actor() {
            context = context.with_delegate(Actor::new(actor));
        }
        let scope = Permissions::named(matrix, token.scopes());
        let held = Held::new(&token, scope, |name| HeldRole::built_in(matrix, name));
        Self(Arc::new(Inner { context, token, held, trail }))
    }

    /// The same; what is denied to it, and what it does with the power of the system, goes to this audit log.
    /// [`BearerLayer::with_audit`](crate::BearerLayer::with_audit) does it for HTTP.
    #[cfg(feature = "postgres")]
    pub fn with_audit(mut self, audit: crate::Audit) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.trail = Trail::to(audit).left_from(inner.trail.address());
        self
    }

    /// The same with what the token's roles come to now.
    #[cfg(feature = "postgres")]
    pub(crate) fn holding(mut self, find: impl Fn(&str) -> Option<HeldRole>) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        let scope = std::mem::replace(&mut inner.held.scope, Permissions::none(inner.held.all.matrix()));
        inner.held = Held::new(&inner.token, scope, find);
        self
    }

    /// Who acts, for whom, and in which conversation and trace.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// Who is asking.
    pub fn subject(&self) -> &str {
        self.0.context.actor().as_str()
    }

    /// For which tenant.
    pub fn tenant(&self) -> TenantId {
        self.0.context.tenant()
    }

    /// The token that it comes from.
    pub fn token(&self) -> &Verified {
        &self.0.token
    }

    /// The id of the token (`jti`).
    pub fn token_id(&self) -> &str {
        self.0.token.token_id()
    }

    /// The roles that count: those of the token that the matrix has, and once `Tenants::admit` has looked, those of
    /// the tenant as it is now.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.held.roles.iter().map(HeldRole::name)
    }

    /// The session, if there is one to be ended.
    pub fn session(&self) -> Option<SessionId> {
        self.0.token.session()
    }

    /// When the subject showed who it is, if that is known: what is dangerous may ask for a fresh login.
    pub fn authenticated_at(&self) -> Option<OffsetDateTime> {
        self.0.token.authenticated_at()
    }

    /// How it did: `pwd`, `otp`, .. of RFC 8176.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.0.token.methods()
    }

    /// Who acts in the subject's place, if somebody does: an administrator, a service.
    pub fn delegate(&self) -> Option<&Actor> {
        self.0.context.delegate()
    }

    /// The client that the token was issued to, if there is one.
    pub fn client_id(&self) -> Option<&str> {
        self.0.token.client_id()
    }

    /// What they may do in this service.
    pub fn permissions(&self) -> &Permissions {
        &self.0.held.all
    }

    pub(crate) fn trail(&self) -> &Trail {
        &self.0.trail
    }

    pub(crate) fn held(&self) -> &Held {
        &self.0.held
    }

    /// Records something as done by this principal, from where it came, in its tenant's part of the audit log; without an audit log, in the
    /// program's own, with the target `audit`. It never waits, as [`Audit::record`](crate::Audit::record) does not.
    pub fn record(&self, event: AuditEvent) {
        self.0.trail.record(event.of(self.context()));
    }

    /// The proof that this principal may do `P`, if so.
    pub fn may<P: Permission>(&self) -> Option<May<P>> {
        self.permissions().contains::<P>().then(|| May::of(self.clone()))
    }

    /// The same, or the answer to give.
    ///
    /// # Errors
    /// 403, which names the missing permission.
    pub fn require<P: Permission>(&self) -> Result<May<P>, Problem> {
        self.may().ok_or_else(|| challenge::missing_permission::<P>(self))
    }
}

impl AsRef<Principal> for Principal {
    fn as_ref(&self) -> &Principal {
        self
    }
}

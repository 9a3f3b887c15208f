use std::sync::Arc;

use shared_core::{Actor, Context, CorrelationId, Problem, TenantId, trace};

use crate::{Matrix, May, Permission, Permissions, Verified, challenge};

/// Who is asking, for which tenant, and what they may do. It comes from a verified token and from nothing else;
/// cheap to clone.
///
/// It is no proof of a tenant by itself: doors to data take a [`May`], so that none opens without a permission.
#[derive(Clone, Debug)]
pub struct Principal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Context,
    token_id: String,
    permissions: Permissions,
}

impl Principal {
    /// The principal of a verified token in a service with these permissions, as part of a conversation and of the
    /// running trace. [`BearerLayer`](crate::BearerLayer) does it for HTTP.
    pub fn new(token: Verified, matrix: &'static Matrix, conversation: Option<CorrelationId>) -> Self {
        let mut context =
            Context::new(token.tenant, Actor::new(token.subject)).with_traceparent(trace::current());
        if let Some(site) = token.site {
            context = context.with_site(site);
        }
        if let Some(conversation) = conversation {
            context = context.with_correlation(conversation);
        }
        let permissions = Permissions::named(matrix, token.scope.split(' '));
        Self(Arc::new(Inner { context, token_id: token.token_id, permissions }))
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

    /// The id of the token (`jti`).
    pub fn token_id(&self) -> &str {
        &self.0.token_id
    }

    /// What they may do in this service.
    pub fn permissions(&self) -> &Permissions {
        &self.0.permissions
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
        self.may().ok_or_else(|| {
            if !std::ptr::eq(self.permissions().matrix(), P::SET) {
                tracing::error!(
                    permission = P::NAME,
                    "nobody has this permission: its matrix `{}` is not the one that the bearer layer was given, `{}`",
                    P::SET.name(),
                    self.permissions().matrix().name(),
                );
            }
            challenge::not_permitted(P::NAME)
        })
    }
}

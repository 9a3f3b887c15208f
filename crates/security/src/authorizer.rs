//! Who decides: the roles of the token, or an engine of its own.

#[cfg(feature = "cedar")]
mod cedar;

use std::future::{Future, ready};

use shared_core::Problem;

use crate::{AuditEvent, May, Permission, Principal, challenge};

#[cfg(feature = "cedar")]
pub use cedar::Cedar;

/// What is asked of an [`Authorizer`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Question<'q> {
    /// Who asks.
    pub principal: &'q Principal,
    /// For which permission, `domain:action`.
    pub permission: &'q str,
    /// On what. It belongs to the principal's tenant: rows of others are not found in the first place.
    pub resource: Resource<'q>,
}

impl<'q> Question<'q> {
    /// Whether this principal has this permission on this resource.
    pub fn new(principal: &'q Principal, permission: &'q str, resource: Resource<'q>) -> Self {
        Self { principal, permission, resource }
    }
}

/// What somebody wants to do something to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Resource<'r> {
    /// What kind of thing.
    pub kind: &'static str,
    /// Which of them.
    pub id: &'r str,
    /// The subject that it belongs to, where it belongs to one.
    pub owner: Option<&'r str>,
}

impl<'r> Resource<'r> {
    /// One of a kind, such as `("Note", "17")`. The kind is a word of letters and digits.
    pub fn new(kind: &'static str, id: &'r str) -> Self {
        Self { kind, id, owner: None }
    }

    /// The same with the subject that it belongs to.
    pub fn owned_by(self, owner: &'r str) -> Self {
        Self { owner: Some(owner), ..self }
    }
}

/// Something that decides what a principal may do: [`Rbac`], the engine `Cedar` behind the feature of that name, or an
/// adapter of your own for one elsewhere.
pub trait Authorizer: Send + Sync {
    /// Whether it is allowed. Whoever drops the future gets no answer, and so no proof.
    ///
    /// # Errors
    /// [`Undecided`] if there is no answer; it counts as a refusal.
    fn allows(&self, question: &Question<'_>) -> impl Future<Output = Result<bool, Undecided>> + Send;
}

/// An engine that gave no answer, and why; for the log.
#[derive(Debug, thiserror::Error)]
#[error("the authorizer has not decided: {reason}")]
#[non_exhaustive]
pub struct Undecided {
    /// Why, without anything that a caller sent.
    pub reason: String,
}

impl Undecided {
    /// No answer, for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The roles and the scope of the token, as [`Principal::require`] looks at them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rbac;

impl Authorizer for Rbac {
    fn allows(&self, question: &Question<'_>) -> impl Future<Output = Result<bool, Undecided>> + Send {
        ready(Ok(question.principal.permissions().allows(question.permission)))
    }
}

impl Principal {
    /// The proof that this principal may do `P` to the resource, if an engine says so.
    ///
    /// # Errors
    /// 403, which names the permission; 503 if the engine gives no answer, and the log has the reason.
    pub async fn require_by<P: Permission>(
        &self,
        engine: &impl Authorizer,
        resource: Resource<'_>,
    ) -> Result<May<P>, Problem> {
        let question = Question::new(self, P::NAME, resource);
        // An engine may know a role by its name alone; what the token's issuer can't give, it can't be given by that.
        let is_beyond = self.token().is_bound() && P::SET.is_system(P::BIT);
        match engine.allows(&question).await {
            Ok(true) if std::ptr::eq(self.permissions().matrix(), P::SET) && !is_beyond => {
                Ok(May::of(self.clone()))
            }
            Ok(_) => Err(challenge::missing_permission::<P>(self)),
            Err(undecided) => {
                tracing::error!(permission = P::NAME, "{undecided}");
                let event = AuditEvent::new("permission.undecided").failed().of(self.context());
                self.trail().record(event.target("permission", P::NAME).because(&undecided.reason));
                Err(Problem::unavailable().with_detail("nobody can say now whether this is allowed"))
            }
        }
    }
}

//! Decisions by policies in the language Cedar.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::{Future, ready};
use std::str::FromStr;

use cedar_policy::{
    AuthorizationError, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet,
    Request, RestrictedExpression,
};

use super::{Authorizer, Question, Undecided};
use crate::Error;

/// Decides by Cedar policies, read once.
///
/// | Cedar | is |
/// |---|---|
/// | `User::"user:7"` | the subject, with the attributes `tenant` and `scope` (a set), in its roles |
/// | `Role::"editor"` | a role that counts for the subject now |
/// | `Action::"notes:write"` | the permission |
/// | `Note::"17"` | the resource, with the attributes `tenant` and, if it has one, `owner` |
///
/// What no policy permits is denied, and so is everything if a policy can't be evaluated.
pub struct Cedar {
    policies: PolicySet,
    engine: cedar_policy::Authorizer,
}

impl Cedar {
    /// Decides by these policies.
    ///
    /// ```
    /// # fn main() -> Result<(), shared_security::Error> {
    /// use shared_security::Cedar;
    ///
    /// let policies = r#"permit(principal in Role::"editor", action == Action::"notes:write", resource) when { resource.owner == "user:7" };"#;
    /// let cedar = Cedar::new(policies)?;
    /// # let _ = cedar; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Policies`] with what is wrong with the text.
    pub fn new(policies: &str) -> Result<Self, Error> {
        let policies =
            PolicySet::from_str(policies).map_err(|errors| Error::Policies { reason: errors.to_string() })?;
        Ok(Self { policies, engine: cedar_policy::Authorizer::new() })
    }

    fn decide(&self, question: &Question<'_>) -> Result<bool, Undecided> {
        let (request, entities) = asked(question).map_err(Undecided::new)?;
        let answer = self.engine.is_authorized(&request, &self.policies, &entities);
        match answer.diagnostics().errors().next() {
            // What it says of the error may quote attributes.
            Some(AuthorizationError::PolicyEvaluationError(error)) => {
                Err(Undecided::new(format!("the policy `{}` can't be evaluated", error.policy_id())))
            }
            None => Ok(answer.decision() == Decision::Allow),
        }
    }
}

impl Authorizer for Cedar {
    fn allows(&self, question: &Question<'_>) -> impl Future<Output = Result<bool, Undecided>> + Send {
        ready(self.decide(question))
    }
}

impl fmt::Debug for Cedar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cedar({} policies)", self.policies.num_of_policies())
    }
}

/// The question in Cedar's words. The error is about the form of the question and quotes none of its values.
fn asked(question: &Question<'_>) -> Result<(Request, Entities), String> {
    let principal = question.principal;
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let tenant = principal.tenant().to_string();
    let roles = principal.roles().map(|role| uid("Role", role)).collect::<Result<HashSet<_>, _>>()?;
    let scope = principal.held().scope.names().map(text);
    let user = uid("User", principal.subject())?;
    let attributes = HashMap::from([
        ("tenant".to_owned(), text(&tenant)),
        ("scope".to_owned(), RestrictedExpression::new_set(scope)),
    ]);
    let who = Entity::new(user.clone(), attributes, roles.clone()).map_err(unfit)?;

    let resource = uid(question.resource.kind, question.resource.id)?;
    let mut attributes = HashMap::from([("tenant".to_owned(), text(&tenant))]);
    attributes.extend(question.resource.owner.map(|owner| ("owner".to_owned(), text(owner))));
    let what = Entity::new(resource.clone(), attributes, HashSet::new()).map_err(unfit)?;

    let roles = roles.into_iter().map(|role| Entity::new_no_attrs(role, HashSet::new()));
    let entities = Entities::from_entities(roles.chain([who, what]), None).map_err(unfit)?;
    let action = uid("Action", question.permission)?;
    Ok((Request::new(user, action, resource, Context::empty(), None).map_err(unfit)?, entities))
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind = EntityTypeName::from_str(kind).map_err(|_| format!("`{kind}` is no type of Cedar's"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn unfit(_: impl std::error::Error) -> String {
    "it can't be put into Cedar's words".to_owned()
}

//! Registration: who founds a tenant owns it; whoever else wants to join one needs an invitation.

use shared_service::core::{Actor, AssumedTenant, FieldError};
use shared_service::prelude::*;
use shared_service::security::{Error, Role as _};

use validator::ValidationError;

use crate::account::{Account, FOUND, INSERT, email};
use crate::app::App;
use crate::caller::Caller;
use crate::invitation;
use crate::permissions::Owner;
use crate::secret;

/// What a caller sends: either the name of a new tenant, or an invitation.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    #[validate(length(min = 1, max = 200), custom(function = "plain"))]
    tenant_name: Option<String>,
    #[serde(default, deserialize_with = "secret::read_optional")]
    invitation: Option<Secret>,
    #[validate(email, length(max = 254))]
    email: String,
    #[serde(deserialize_with = "secret::read")]
    password: Secret,
}

/// The new account.
#[derive(Debug, Serialize)]
pub(crate) struct Registered {
    user: Account,
    tenant: TenantId,
}

pub(crate) async fn register(
    State(app): State<App>,
    caller: Caller,
    Valid(Json(new)): Valid<Json<Registration>>,
) -> Result<Created<Registered>, Problem> {
    let hash = hash(&app, &new).await?;
    match (&new.tenant_name, &new.invitation) {
        (Some(name), None) => found(&app, &caller, name, &email(&new.email), &hash).await.map(Created),
        (None, Some(invitation)) => {
            let joined = invitation::accept(&app, &caller, invitation, &email(&new.email), &hash).await;
            joined.map(|(user, tenant)| Created(Registered { user, tenant }))
        }
        _ => Err(wrong("/tenant_name", "expected this or an invitation, and not both")),
    }
}

/// The hash of the password, or why it can't be set.
async fn hash(app: &App, new: &Registration) -> Result<String, Problem> {
    let known = [new.email.as_str(), new.tenant_name.as_deref().unwrap_or_default()];
    hash_at(app, &new.password, &known, "/password").await
}

/// The hash of a password that stands in this field of a body.
pub(crate) async fn hash_at(
    app: &App,
    password: &Secret,
    known: &[&str],
    field: &'static str,
) -> Result<String, Problem> {
    app.passwords.hash(password, known).await.map_err(|error| match error {
        Error::WeakPassword(weakness) => wrong(field, &weakness.to_string()),
        error => error.into(),
    })
}

pub(crate) fn wrong(pointer: &str, detail: &str) -> Problem {
    let error = FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() };
    Problem::unprocessable_content()
        .with_detail("some fields are not as they should be")
        .with_errors(vec![error])
}

/// A name that fits on a line of a log, and into the database.
pub(crate) fn plain(text: &str) -> Result<(), ValidationError> {
    match text.contains(char::is_control) {
        true => Err(ValidationError::new("plain").with_message("expected no control characters".into())),
        false => Ok(()),
    }
}

/// The role comes first: an account without one would be locked out, and a role of nobody's does no harm.
async fn found(
    app: &App,
    caller: &Caller,
    name: &str,
    email: &str,
    hash: &str,
) -> Result<Registered, Problem> {
    let tenant = AssumedTenant::new(TenantId::new(), "it is being founded");
    let id: Id<Account> = Id::new();
    let scope = app.audit.scope(&tenant);
    app.tenants.system_roles(&scope).assign(&id.to_string(), Owner::NAME).await?;
    let user = app
        .db
        .tenant(&tenant)
        .tx(async |tx| {
            tx.execute(&FOUND, (name,)).await?;
            let user = tx.opt(&INSERT, (id, email, hash)).await?.ok_or_else(Problem::conflict)?;
            tx.audit(caller.did("tenant.founded").actor(&Actor::new(id.to_string())))?;
            Ok::<_, Problem>(user)
        })
        .await?;
    Ok(Registered { user, tenant: tenant.context().tenant() })
}

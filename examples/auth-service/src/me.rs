//! The caller's own account.

use shared_service::prelude::*;

use crate::account::{Account, BY_ID, HASH, SET_HASH, TENANT};
use crate::app::App;
use crate::caller::Caller;
use crate::register::{hash_at, wrong};
use crate::secret;
use crate::sessions::{Ended, own};

/// Who is asking.
#[derive(Debug, Serialize)]
pub(crate) struct Me {
    user: Account,
    tenant: TenantId,
    tenant_name: String,
    roles: Vec<String>,
    permissions: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acting: Option<String>,
}

pub(crate) async fn me(principal: Principal, State(app): State<App>) -> Result<Json<Me>, Problem> {
    let door = app.db.tenant(&own(&principal));
    Ok(Json(Me {
        user: door.opt(&BY_ID, (id(&principal)?,)).await?.ok_or_else(Problem::not_found)?,
        tenant: principal.tenant(),
        tenant_name: door.one(&TENANT, ()).await?,
        roles: principal.roles().map(str::to_owned).collect(),
        permissions: principal.permissions().names().collect(),
        acting: principal.delegate().map(ToString::to_string),
    }))
}

/// The old password and the new one.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    #[serde(deserialize_with = "secret::read")]
    current: Secret,
    #[serde(deserialize_with = "secret::read")]
    new: Secret,
}

/// Ends all other sessions: whoever has stolen the old password is out.
pub(crate) async fn set_password(
    principal: Principal,
    State(app): State<App>,
    caller: Caller,
    Valid(Json(change)): Valid<Json<PasswordChange>>,
) -> Result<Json<Ended>, Problem> {
    if principal.delegate().is_some() {
        return Err(Problem::forbidden().with_detail("only its owner changes the password of an account"));
    }
    let own = own(&principal);
    let (id, door) = (id(&principal)?, app.db.tenant(&own));
    let account = door.opt(&BY_ID, (id,)).await?.ok_or_else(Problem::not_found)?;
    // Guesses are counted, and recorded, here as they are at the login.
    let attempt = app.logins.attempt(&own, &account.email, caller.address).await?;
    let hash = door.opt(&HASH, (&account.email,)).await?.map(|(_, hash)| hash);
    if !app.passwords.verify(&change.current, hash.as_deref()).await?.is_right() {
        return Err(wrong("/current", "it is another one"));
    }
    attempt.succeeded().await?;
    let hash = hash_at(&app, &change.new, &[&account.email], "/new").await?;
    door.tx(async |tx| {
        tx.execute(&SET_HASH, (id, &hash)).await?;
        tx.audit(caller.did("password.changed").target("user", id))?;
        Ok::<_, Problem>(())
    })
    .await?;
    let sessions = app.sessions.seen_from(caller.address);
    let ended = sessions.end_all(&own, principal.subject(), principal.session()).await?;
    Ok(Json(Ended { ended }))
}

/// A service has no account.
fn id(principal: &Principal) -> Result<Id<Account>, Problem> {
    principal.subject().parse().map_err(|_| Problem::not_found())
}

//! Login, by e-mail address and password.

use shared_service::core::{AssumedTenant, InTenant};
use shared_service::prelude::*;
use shared_service::security::{Error, NewSession, Verdict};

use crate::account::{Account, HASH, SET_HASH, TENANT, email};
use crate::app::App;
use crate::caller::Caller;
use crate::secret;
use crate::tokens::{CLIENT, TokenPair};

/// What a caller sends.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    tenant: TenantId,
    #[validate(email, length(max = 254))]
    email: String,
    #[serde(deserialize_with = "secret::read")]
    password: Secret,
}

/// Who logs in where there is no account: the same work is done for it.
const NOBODY: &str = "nobody";

pub(crate) async fn login(
    State(app): State<App>,
    caller: Caller,
    Valid(Json(shown)): Valid<Json<Credentials>>,
) -> Result<Json<TokenPair>, Problem> {
    let tenant =
        AssumedTenant::new(shown.tenant, "a login names it, and finds an account of that tenant or none");
    let name = email(&shown.email);
    // Counters are kept for tenants that exist alone, so that made-up ones leave nothing behind.
    if app.db.tenant(&tenant).opt(&TENANT, ()).await?.is_none() {
        app.passwords.verify(&shown.password, None).await?;
        app.audit.record(caller.did("login.failed").denied().because("it names no tenant"));
        return Err(wrong());
    }
    // From here on the library records what becomes of it.
    let attempt = app.logins.attempt(&tenant, &name, caller.address).await?;
    let account = app.db.tenant(&tenant).opt(&HASH, (&name,)).await?;
    let (id, hash) = account.unzip();
    let subject = id.map_or_else(|| NOBODY.to_owned(), |id: Id<Account>| id.to_string());
    let login = app.sessions.login(&tenant, &subject).await?;
    let verdict = app.passwords.verify(&shown.password, hash.as_deref()).await?;
    let (Some(id), true) = (id, verdict.is_right()) else {
        return Err(wrong());
    };
    attempt.succeeded().await?;
    if verdict == Verdict::NeedsRehash {
        upgrade(&app, &tenant, id, &shown.password).await?;
    }
    let new = NewSession::new(CLIENT).with_methods(["pwd"]).from(caller.device());
    let open = match app.sessions.open(&tenant, login, new).await {
        Err(Error::LoginRefused { .. }) => return Err(wrong()),
        open => open?,
    };
    app.token_pair(&tenant, open).await.map(Json)
}

/// The same answer whatever was wrong: which accounts exist, nobody learns.
fn wrong() -> Problem {
    Problem::unauthorized().with_detail("no account of this tenant has this address and this password")
}

/// With today's costs. The password was accepted once, so whether today's rules would is not asked.
async fn upgrade(
    app: &App,
    tenant: &impl InTenant,
    id: Id<Account>,
    password: &Secret,
) -> Result<(), Problem> {
    match app.passwords.hash(password, &[]).await {
        Ok(hash) => {
            app.db.tenant(tenant).execute(&SET_HASH, (id, &hash)).await?;
            Ok(())
        }
        Err(Error::WeakPassword(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

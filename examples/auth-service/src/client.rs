//! Services of a tenant, which get tokens by a secret: the client credentials of RFC 6749, section 4.4, in JSON.

use axum::http::StatusCode;
use shared_service::core::{Actor, AssumedTenant};
use shared_service::prelude::*;
use shared_service::security::{Grant, Revocation};

use crate::app::App;
use crate::caller::Caller;
use crate::permissions::ManageClients;
use crate::register::{plain, wrong};
use crate::secret;
use crate::tokens::expires_in;

const PREFIX: &str = "ci";

/// A service. Its id is the subject of its tokens.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    #[validate(length(min = 1, max = 200), custom(function = "plain"))]
    name: String,
    #[validate(length(min = 1, max = 63))]
    role: String,
}

/// What a new client needs. The secret is shown this once.
#[derive(Debug, Serialize)]
pub(crate) struct ClientSecret {
    client_id: Id<Client>,
    client_secret: String,
}

/// What a client sends.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCredentials {
    client_id: Id<Client>,
    #[serde(deserialize_with = "secret::read")]
    client_secret: Secret,
    /// The service that the token is for; this one unless said otherwise.
    audience: Option<String>,
}

/// An answer in the form of RFC 6749, section 4.4.3.
#[derive(Debug, Serialize)]
pub(crate) struct ClientToken {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
}

statements! {
    const REGISTER: Statement<(Id<Client>, String, Vec<u8>), ()> = "
        insert into auth.client (tenant_id, id, name, secret_hash) values ($tenant, $1, $2, $3)";
    const REMOVE: Statement<(Id<Client>,), i64> = "
        with gone as (delete from auth.client where tenant_id = $tenant and id = $1 returning 1) select count(*) from gone";
    const SHOWN: Statement<(Id<Client>, Vec<u8>), String> = "
        select name from auth.client where tenant_id = $tenant and id = $1 and secret_hash = $2";
}

/// Like an account that is invited, a client has its role before it is there.
pub(crate) async fn register(
    may: May<ManageClients>,
    State(app): State<App>,
    caller: Caller,
    Valid(Json(new)): Valid<Json<Client>>,
) -> Result<Created<ClientSecret>, Problem> {
    let client_id: Id<Client> = Id::new();
    app.tenants.roles(&may).assign(&client_id.to_string(), &new.role).await?;
    let (secret, hash) = secret::new(PREFIX, may.context().tenant())?;
    app.db
        .tenant(&may)
        .tx(async |tx| {
            tx.execute(&REGISTER, (client_id, &new.name, &hash)).await?;
            let event = caller.did("client.registered").target("client", client_id);
            tx.audit(event.detail("role", new.role.as_str()))?;
            Ok::<_, Problem>(())
        })
        .await?;
    Ok(Created(ClientSecret { client_id, client_secret: secret.expose().to_owned() }))
}

/// Its tokens end with it.
pub(crate) async fn remove(
    may: May<ManageClients>,
    State(app): State<App>,
    caller: Caller,
    Path(client): Path<Id<Client>>,
) -> Result<StatusCode, Problem> {
    let door = app.db.tenant(&may);
    let removed = door.tx(async |tx| {
        tx.audit(caller.did("client.removed").target("client", client))?;
        match tx.one(&REMOVE, (client,)).await? {
            0 => Err(Problem::not_found()),
            _ => Ok(()),
        }
    });
    removed.await?;
    app.revocations.revoke(&may, Revocation::Subject(client.to_string())).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn token(
    State(app): State<App>,
    caller: Caller,
    Valid(Json(shown)): Valid<Json<ClientCredentials>>,
) -> Result<Json<ClientToken>, Problem> {
    let subject = shown.client_id.to_string();
    let Some(tenant) = shows_its_secret(&app, &shown).await? else {
        // Which tenant is meant, nobody knows.
        app.audit.record(caller.did("client.refused").denied().target("client", &subject));
        return Err(Problem::unauthorized().with_detail("no client has this id and this secret"));
    };
    let tokens = &app.settings.tokens;
    let audience = shown.audience.as_ref().unwrap_or(&tokens.audience);
    if *audience != tokens.audience && !tokens.audiences.contains(audience) {
        return Err(wrong("/audience", "no service has this name"));
    }
    let roles = app.tenants.roles_of(&tenant, &subject).await?;
    let grant = Grant::for_client(tenant.context().tenant(), &subject).with_roles(roles);
    let token = app.issue_for(&grant, audience).await?;
    let event = caller.did("client.authenticated").actor(&Actor::new(&subject)).within(&tenant);
    app.audit.durable().record(event.detail("audience", audience.as_str())).await?;
    let access_token = token.expose().to_owned();
    Ok(Json(ClientToken { access_token, token_type: "Bearer", expires_in: expires_in(&token) }))
}

/// The client's tenant, if the client is there and the secret is its.
async fn shows_its_secret(app: &App, shown: &ClientCredentials) -> Result<Option<AssumedTenant>, Problem> {
    let Some(tenant) = secret::tenant_of(PREFIX, &shown.client_secret) else { return Ok(None) };
    let hash = secret::hash(&shown.client_secret);
    let found = app.db.tenant(&tenant).opt(&SHOWN, (shown.client_id, &hash)).await?;
    Ok(found.map(|_| tenant))
}

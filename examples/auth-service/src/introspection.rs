//! Whether a token is to be believed, for services that don't verify it themselves (RFC 7662).

use shared_service::prelude::*;
use shared_service::security::{ClaimedTenant, SessionId};

use crate::app::App;
use crate::permissions::{MATRIX, VerifyTokens};
use crate::secret;

/// What a service sends.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    #[serde(deserialize_with = "secret::read")]
    token: Secret,
}

/// What a token is worth now. Of one that is not active nothing else is said.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Introspection {
    active: bool,
    #[serde(flatten)]
    about: Option<About>,
}

/// What an active token says, and what it comes to.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    token_type: &'static str,
    iss: String,
    sub: String,
    tenant: TenantId,
    jti: String,
    iat: i64,
    exp: i64,
    roles: Vec<String>,
    permissions: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<String>,
}

/// Another tenant's token is not active: nobody looks into other tenants by what they show.
pub(crate) async fn verify(
    may: May<VerifyTokens>,
    State(app): State<App>,
    Valid(Json(shown)): Valid<Json<Shown>>,
) -> Result<Json<Introspection>, Problem> {
    let Ok(token) = app.any_audience.verify_or_fetch(shown.token.expose()).await else {
        return Ok(Json(Introspection::default()));
    };
    // It goes on record as what it is: somebody has a token of another tenant's.
    if ClaimedTenant::new(token.tenant().to_string()).confirm(&may).is_err() {
        return Ok(Json(Introspection::default()));
    }
    let principal = app.tenants.admit(Principal::new(token, &MATRIX, None)).await?;
    Ok(Json(Introspection { active: true, about: Some(about(&principal)) }))
}

fn about(principal: &Principal) -> About {
    let token = principal.token();
    About {
        token_type: "Bearer",
        iss: token.issuer().to_owned(),
        sub: principal.subject().to_owned(),
        tenant: principal.tenant(),
        jti: principal.token_id().to_owned(),
        iat: token.issued_at().unix_timestamp(),
        exp: token.expires_at().unix_timestamp(),
        roles: principal.roles().map(str::to_owned).collect(),
        permissions: principal.permissions().names().collect(),
        sid: principal.session(),
        client_id: principal.client_id().map(str::to_owned),
        act: principal.delegate().map(ToString::to_string),
    }
}

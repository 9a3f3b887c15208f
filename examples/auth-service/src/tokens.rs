//! The tokens that clients get.

use shared_service::core::{AssumedTenant, InTenant};
use shared_service::prelude::*;
use shared_service::security::{Grant, OpenSession, Session, SessionId, Token};

use crate::app::App;
use crate::caller::Caller;
use crate::permissions::MATRIX;
use crate::secret;

/// The one client of users' sessions: the platform's own app.
pub(crate) const CLIENT: &str = "app";

/// An answer in the form of RFC 6749, section 5.1.
#[derive(Debug, Serialize)]
pub(crate) struct TokenPair {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: String,
    session: SessionId,
}

/// What a caller sends to get the next ones.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    #[serde(deserialize_with = "secret::read")]
    refresh_token: Secret,
}

pub(crate) async fn refresh(
    State(app): State<App>,
    caller: Caller,
    Valid(Json(shown)): Valid<Json<Refresh>>,
) -> Result<Json<TokenPair>, Problem> {
    let open = app.sessions.refresh(&shown.refresh_token, CLIENT, &caller.device()).await?;
    let tenant = AssumedTenant::new(open.tenant, "a session of that tenant was refreshed");
    app.token_pair(&tenant, open).await.map(Json)
}

impl App {
    /// The tokens of a session that was opened or continued.
    pub(crate) async fn token_pair(
        &self,
        tenant: &impl InTenant,
        open: OpenSession,
    ) -> Result<TokenPair, Problem> {
        let access = self.access_token(tenant, &open.session).await?;
        Ok(TokenPair {
            access_token: access.expose().to_owned(),
            token_type: "Bearer",
            expires_in: expires_in(&access),
            refresh_token: open.refresh_token.expose().to_owned(),
            session: open.session.id,
        })
    }

    async fn access_token(&self, tenant: &impl InTenant, session: &Session) -> Result<Token, Problem> {
        let roles = self.tenants.roles_of(tenant, &session.subject).await?;
        let grant = Grant::new(tenant.context().tenant(), &session.subject)
            .with_roles(roles)
            .with_session(session.id)
            .with_client(&session.client)
            .with_authentication(session.opened_at, &session.methods);
        self.issue(&grant).await
    }

    /// A token for this service, if its tenant is one that would be admitted with it.
    pub(crate) async fn issue(&self, grant: &Grant) -> Result<Token, Problem> {
        self.issue_for(grant, &self.settings.tokens.audience).await
    }

    /// The same for another service.
    pub(crate) async fn issue_for(&self, grant: &Grant, audience: &str) -> Result<Token, Problem> {
        let token = self.issuer.for_audience(audience).issue(grant)?;
        let principal = Principal::new(self.any_audience.verify(token.expose())?, &MATRIX, None);
        self.tenants.admit(principal).await?;
        Ok(token)
    }
}

/// Seconds from now, as clients count.
pub(crate) fn expires_in(token: &Token) -> i64 {
    (token.expires_at() - OffsetDateTime::now_utc()).whole_seconds().max(0)
}

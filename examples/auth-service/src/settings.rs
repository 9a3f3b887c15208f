//! The settings of this service.

use shared_service::prelude::*;
use shared_service::security::{
    ClientAddress, ForwardedBy, IssuerKeys, Origin, SessionConfig, TenantsConfig, audit,
};

/// Settings of this service. Every crate's own settings nest here, so one report and one `.env.example` cover all.
#[derive(Config)]
#[config(prefix = "AUTH")]
pub struct Settings {
    /// Ports, budgets, profile.
    pub service: shared_service::Config,
    /// `DATABASE_URL`.
    pub db: shared_service::db::Config,
    /// Tokens, addresses, origins.
    pub tokens: TokenConfig,
    /// The keys that sign.
    pub keys: IssuerKeys,
    /// How long sessions live.
    pub sessions: SessionConfig,
    /// Roles and suspensions.
    pub tenants: TenantsConfig,
    /// The audit log.
    pub audit: audit::Config,
    /// What is logged, and where traces go.
    pub telemetry: shared_service::telemetry::Config,
}

/// What tokens say, and who may ask for them.
#[derive(Clone, Debug, Config)]
pub struct TokenConfig {
    /// Who issues the tokens, and the base of the addresses in the discovery document: the claim `iss`.
    #[config(default = "http://127.0.0.1:8080", not_in_production = "the issuer of development")]
    pub issuer: String,
    /// For whom users' tokens are issued, this service among them: the claim `aud`.
    #[config(default = "platform")]
    pub audience: String,
    /// Services with an audience of their own, separated by commas, 4 at most: a client's token is for one of them, and no
    /// other service accepts it.
    #[config(default = "")]
    pub audiences: Vec<String>,
    /// How long an access token is valid. 5 minutes: what is not asked for at once, such as by a service that only verifies
    /// signatures, is true for no longer.
    #[config(default = "5m", min = "10s", max = "10m")]
    pub lifetime: Duration,
    /// How long an invitation can be accepted. 3 days: over a weekend.
    #[config(default = "3d", min = "1m", max = "30d")]
    pub invitations: Duration,
    /// Logins, registrations and refreshes of one address in a minute; its network of 256 has ten times as many. 60 are an
    /// office behind one address on a Monday morning.
    #[config(default = "60", min = "1", max = "100000")]
    pub attempts: u32,
    /// Proxies in a row before this service, each of which adds to `x-forwarded-for`. Without any, the address is the
    /// connection's.
    #[config(default = "0", max = "32")]
    pub proxies: u8,
    /// The origins of pages that may call this service, separated by commas.
    #[config(default = "")]
    pub origins: Vec<Origin>,
}

impl TokenConfig {
    /// Whose address a request has.
    pub(crate) fn client_address(&self) -> ClientAddress {
        ClientAddress::behind(usize::from(self.proxies), ForwardedBy::XForwardedFor)
    }
}

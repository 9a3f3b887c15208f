//! Accounts, sessions, roles and tokens of a multi-tenant platform, over HTTP.
//!
//! ```sh
//! cargo run -p shared-devkit -- up      # prints DATABASE_URL=..; export it
//! cargo run -p auth-service
//! ```

mod account;
mod app;
mod audit_log;
mod caller;
mod check;
mod client;
mod commands;
mod discovery;
mod introspection;
mod invitation;
mod login;
mod me;
mod operators;
mod permissions;
mod register;
mod roles;
mod routes;
mod secret;
mod sessions;
mod settings;
mod tokens;

use shared_service::prelude::*;
use shared_service::security::{RevocationConfig, WhenStale};

pub use app::App;
pub use commands::{audit_command, operator_command, usage};
pub use permissions::{
    Admin, Impersonate, MATRIX, ManageClients, ManageRoles, ManageUsers, Member, Operator, Owner, ReadAudit,
    ReadRoles, Service as ServiceRole, SuspendTenants, VerifyTokens,
};
pub use routes::{ROUTES, Route};
pub use settings::{Settings, TokenConfig};

/// The tables of this service.
pub const MIGRATIONS: MigrationSet =
    MigrationSet::new("auth", &[Step::sql(1, "accounts", include_str!("../migrations/0001_accounts.sql"))])
        .requires(&["shared_db"]);

/// What this service offers, as OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// The whole service: `main` runs it, tests start it.
pub fn service() -> Service<Settings, App> {
    Service::open("auth", App::open)
        .version(env!("CARGO_PKG_VERSION"))
        .migrations(MIGRATIONS)
        .permissions(&MATRIX)
        .verifier(|app| app.verifier.clone())
        .revocations(RevocationConfig::new(WhenStale::Refuse))
        .tenants()
        .audited()
        .behind(|app| app.settings.tokens.client_address())
        .cors(App::cors)
        .routes(routes::guarded())
        .public_routes(routes::documents())
        .limited_public_routes(routes::limited(), App::attempts)
}

#[cfg(test)]
mod tests {
    use shared_service::db::testing::mismatches;
    use shared_service::testing::TestService;

    use super::*;

    #[tokio::test]
    async fn the_statements_fit_the_schema() {
        let app = TestService::start(service()).await;
        for statements in [account::STATEMENTS, client::STATEMENTS, invitation::STATEMENTS] {
            assert_eq!(mismatches(app.db(), statements).await.unwrap(), Vec::<String>::new());
        }
    }
}

//! Accounts, sessions, roles and tokens of a multi-tenant platform. See `lib.rs`; run with `cargo run -p auth-service`.
//!
//! `auth-service audit verify` and the other commands of the audit log look at it from outside of the service.

use std::process::{ExitCode, Termination as _};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => auth_service::service().run().await.report(),
        Some("audit") => auth_service::audit_command(arguments).await,
        Some("operator") => auth_service::operator_command(arguments).await,
        Some(_) => auth_service::usage(),
    }
}

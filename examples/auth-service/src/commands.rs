//! What is done from outside of the service: the audit log looked at, and the first operator made.

use std::process::ExitCode;

use shared_service::config_loader::Loader;
use shared_service::core::AssumedTenant;
use shared_service::prelude::*;
use shared_service::security::{Role as _, SystemScope, Tenants, audit};

use crate::account::{HASH, email};
use crate::permissions::{MATRIX, Operator};
use crate::settings::Settings;

const USAGE: &str = "\
usage: auth-service [command]
                              runs the service
  audit <command>             the audit log: verify, export, roots, prune
  operator <tenant> <email>   gives an account the role of the platform's operators
";

/// Says what there is.
pub fn usage() -> ExitCode {
    say(USAGE);
    ExitCode::from(2)
}

/// The commands of the audit log.
pub async fn audit_command(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    match open().await {
        Ok((db, _)) => audit::cli(&db, arguments).await,
        Err(code) => code,
    }
}

/// Makes an operator. No one could do it over HTTP: an operator's permissions are the system's, and no tenant hands them out.
pub async fn operator_command(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let [tenant, account] = arguments.as_slice() else { return usage() };
    let Ok(tenant) = tenant.parse() else { return usage() };
    match open().await {
        Ok((db, settings)) => match make_operator(db, settings, tenant, account).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failed(&failure),
        },
        Err(code) => code,
    }
}

async fn make_operator(db: Db, settings: Settings, tenant: TenantId, account: &str) -> Result<(), Failure> {
    let tenant = AssumedTenant::new(tenant, "a command makes an operator");
    let account = db.tenant(&tenant).opt(&HASH, (&email(account),)).await?;
    let (id, _) = account.ok_or_else(|| Failure::dead("this tenant has no account of this address"))?;
    let tenants = Tenants::start(db, &MATRIX, settings.tenants).await?;
    let roles = tenants.system_roles(&SystemScope::assumed(&tenant));
    roles.assign(&id.to_string(), Operator::NAME).await?;
    tenants.stop().await;
    Ok(())
}

async fn open() -> Result<(Db, Settings), ExitCode> {
    let loaded = Loader::from_process("auth").load::<Settings>().map_err(|report| {
        say(&report.to_string());
        ExitCode::from(78)
    })?;
    let db = Db::connect(&loaded.settings.db).await.map_err(|error| failed(&error.into()))?;
    Ok((db, loaded.settings))
}

fn failed(failure: &Failure) -> ExitCode {
    say(&format!("auth-service: {failure}"));
    ExitCode::from(2)
}

/// For people at a terminal.
#[allow(clippy::print_stderr, reason = "a command has nowhere else to say it")]
fn say(text: &str) {
    eprintln!("{}", text.trim_end());
}

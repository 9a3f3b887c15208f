//! Prints a token with which everything may be asked of the notes on this machine:
//!
//! ```sh
//! curl localhost:8080/notes -H "authorization: Bearer $(cargo run -qp notes --example token)" --json '{"body":"first"}'
//! ```
//!
//! It is signed with the development key, for one and the same tenant, so that a call finds what the call before has written. Elsewhere tokens
//! come from whoever knows the users, so there it makes none.

use std::process::ExitCode;

use notes::{ReadNotes, WriteNotes};
use shared_service::config_loader::Loader;
use shared_service::core::schema::Profile;
use shared_service::prelude::*;
use shared_service::security::{self, Grant, Token};

/// Of the settings of the notes those that say whose tokens they believe.
#[derive(Config)]
#[config(prefix = "NOTES")]
pub(crate) struct Settings {
    security: security::Config,
}

const TENANT: &str = "00000000-0000-7000-8000-000000000001";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command says what came of it")]
fn main() -> ExitCode {
    let loaded = match Loader::from_process("token").load::<Settings>() {
        Ok(loaded) => loaded,
        Err(report) => {
            eprint!("{report}");
            return ExitCode::from(78);
        }
    };
    match token(&loaded.settings) {
        Ok(token) => {
            println!("{}", token.expose());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// A token for a user who may read and write.
pub(crate) fn token(settings: &Settings) -> Result<Token, Failure> {
    if settings.security.profile != Profile::Development {
        return Err(Failure::dead("tokens of the example are for profile `development` alone"));
    }
    let grant = Grant::new(TENANT.parse()?, "developer").with_permissions((ReadNotes, WriteNotes));
    Ok(settings.security.issuer()?.issue(&grant)?)
}

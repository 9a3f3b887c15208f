//! The program: arguments in, a run, an exit code out.

use std::io::Write;
use std::process::ExitCode;

use quickstart::{Arguments, End, USAGE};
use shared_service::config_loader::Report;
use shared_service::core::Failure;
use tokio::runtime::Runtime;

/// The command line was wrong.
const WRONG_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            // Whoever does not listen needs no help.
            let _ = std::io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            say(&format!("quickstart: {mistake}; --help tells what there is"));
            return ExitCode::from(WRONG_ARGUMENTS);
        }
    };
    match live(arguments) {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Bad(why)) => failed(&why),
        Err(failure) => match failure.source().and_then(|source| source.downcast_ref::<Report>()) {
            Some(report) => {
                say(&report.to_string());
                ExitCode::from(Report::EXIT_CODE)
            }
            None => failed(&failure.to_string()),
        },
    }
}

fn failed(why: &str) -> ExitCode {
    say(&format!("quickstart: {why}"));
    ExitCode::FAILURE
}

fn live(arguments: Arguments) -> Result<End, Failure> {
    let runtime = Runtime::new()?;
    let end = runtime.block_on(quickstart::run(arguments));
    // Texts that are being embedded can't be interrupted. Nobody waits for them any more: their job was handed back.
    runtime.shutdown_background();
    end
}

fn say(line: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

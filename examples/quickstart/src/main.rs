//! The program: arguments in, a run, an exit code out.

use std::io::Write;
use std::process::ExitCode;

use quickstart::{Arguments, End, USAGE};

/// The command line was wrong.
const WRONG_ARGUMENTS: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
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
    match quickstart::run(arguments).await {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Bad(why)) => {
            say(&format!("quickstart: {why}"));
            ExitCode::FAILURE
        }
        Err(failure) => {
            say(&format!("quickstart: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

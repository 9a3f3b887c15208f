//! The project's own commands. `cargo xtask check` is what CI runs, part by part; each part is a command of its own.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its terminal")]

mod api;
mod check;
mod command;
mod deny;
mod features;
mod lint;
mod system;
mod tests;
mod workspace;

use std::process::ExitCode;

use command::{Result, cargo, run};

const USAGE: &str = "\
cargo xtask <command>

  check [--strict]   everything CI asks: each part below, with its minutes and the number of tests
  format             rustfmt, nothing rewritten
  lint               the rules of the architecture that no compiler knows
  deny [--strict]    licences, duplicate versions, sources and advisories of the dependencies;
                     --strict fails when the advisories cannot be fetched
  clippy [--peers]   all targets, all features, warnings denied; of the benchmarks without the queues that they compare
                     with, whose dependencies are as many again: --peers looks at these, which `check` does not
  test               the test command of README.md
  api [--bless]      the public API of each library as crates/*/api.txt lists it; --bless rewrites the listings
  docs               rustdoc, broken links denied
  features [--alone] each feature of each crate; --alone builds their dependencies again for each, and takes five times as long
  test-system        the tests that need other programs, after a look for all of them;
  test-system --missing
                     the Debian packages of those that are not here, one a line
  bench NAME [ARGS]  the benchmark bench/NAME, in release mode
  chaos queues [ARGS]
                     jobs whose workers and servers are killed, and what is lost of them; `chaos queues help` tells more
  chaos events [ARGS]
                     the same of events, their publishers, relays, consumers and brokers; `chaos events help` tells more
  storm [N [SEED]]   drops N futures (10,000) at random awaits over Postgres and over Redis, and counts what is left
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result {
    match arguments {
        ["check"] => check::check(false),
        ["check", "--strict"] => check::check(true),
        ["format"] => check::format(),
        ["lint"] => lint::lint(),
        ["deny"] => deny::deny(false),
        ["deny", "--strict"] => deny::deny(true),
        ["clippy"] => check::clippy(),
        ["clippy", "--peers"] => check::clippy_peers(),
        ["test"] => tests::test().1,
        ["test-system"] => system::test_system(),
        ["test-system", "--missing"] => system::print_missing(),
        ["api"] => api::api(false),
        ["api", "--bless"] => api::api(true),
        ["docs"] => check::docs(),
        ["features"] => features::features(false),
        ["features", "--alone"] => features::features(true),
        ["bench", name, rest @ ..] => bench(name, rest),
        ["chaos", name, rest @ ..] => chaos(name, rest),
        ["storm", rest @ ..] => storm(rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("no such command: `{}`\n\n{USAGE}", arguments.join(" ")).into()),
    }
}

fn bench(name: &str, arguments: &[&str]) -> Result {
    let package = format!("bench-{name}");
    let run_it =
        ["run", "--release", "--all-features", "--manifest-path", "bench/Cargo.toml", "-p", &package, "--"];
    run(cargo(&run_it).args(arguments))
}

fn chaos(name: &str, arguments: &[&str]) -> Result {
    let package = format!("shared-{name}");
    let example = ["run", "--release", "--package", &package, "--all-features", "--example", "chaos", "--"];
    run(cargo(&example).args(arguments))
}

fn storm(arguments: &[&str]) -> Result {
    let example = ["run", "--package", "shared-db", "--features", "redis", "--example", "storm", "--"];
    run(cargo(&example).args(arguments))
}

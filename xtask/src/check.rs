//! The whole check: every part runs, also after one failed, so that one run shows everything that is wrong.

use std::fmt;
use std::time::{Duration, Instant};

use crate::command::{Result, cargo, output, program, run};
use crate::tests::Count;
use crate::{api, deny, features, lint, tests};

/// Runs every part, the quick ones first, and closes with the minutes of each and the number of tests.
///
/// Clippy, api, docs and features share their dependencies' metadata; the tests are the only part that generates code.
pub(crate) fn check(strict: bool) -> Result {
    let mut report = Report::default();
    report.part("format", format);
    report.part("lint", lint::lint);
    report.part("deny", || deny::deny(strict));
    report.part("clippy", clippy);
    // Before the docs: rustdoc clears a crate's pages when it writes its JSON.
    report.part("api", || api::api(false));
    report.part("docs", docs);
    let mut count = Count::default();
    report.part("test", || {
        let (ran, outcome) = tests::test();
        count = ran;
        outcome
    });
    report.part("features", || features::features(false));
    println!("\n{report}");
    report.outcome()?;
    println!("{count}");
    Ok(())
}

pub(crate) fn format() -> Result {
    component("rustfmt", "fmt")?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["fmt", "--manifest-path", "bench/Cargo.toml", "--all", "--check"]))
}

/// The family, and the benchmarks without the queues that they compare with.
pub(crate) fn clippy() -> Result {
    component("clippy", "clippy")?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    clippy_bench(&[])
}

/// The benchmarks with everything: half of what clippy would otherwise have to look at are the peers' dependencies.
pub(crate) fn clippy_peers() -> Result {
    component("clippy", "clippy")?;
    clippy_bench(&["--all-features"])
}

fn clippy_bench(features: &[&str]) -> Result {
    let bench = ["clippy", "--manifest-path", "bench/Cargo.toml", "--workspace", "--all-targets"];
    // What it shares with the family's own build is not checked twice.
    run(cargo(&bench).args(features).args(["--target-dir", "target", "--", "-D", "warnings"]))
}

pub(crate) fn docs() -> Result {
    run(cargo(&["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// A minimal toolchain comes without rustfmt and clippy; rustup adds them.
fn component(name: &str, subcommand: &str) -> Result {
    match output(&mut cargo(&[subcommand, "--version"])) {
        Ok(_) => Ok(()),
        Err(_) => run(&mut program("rustup", &["component", "add", name])),
    }
}

#[derive(Default)]
struct Report {
    parts: Vec<Part>,
}

struct Part {
    name: &'static str,
    took: Duration,
    error: Option<String>,
}

impl Report {
    fn part(&mut self, name: &'static str, work: impl FnOnce() -> Result) {
        println!("\n== {name}");
        let start = Instant::now();
        let error = work().err().map(|error| error.to_string());
        if let Some(error) = &error {
            eprintln!("error: {error}");
        }
        self.parts.push(Part { name, took: start.elapsed(), error });
    }

    fn outcome(&self) -> Result {
        let failed: Vec<_> =
            self.parts.iter().filter(|part| part.error.is_some()).map(|part| part.name).collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(format!("the check failed in: {}", failed.join(", ")).into())
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "part        minutes")?;
        for part in &self.parts {
            let error = part.error.as_deref().map(|error| format!("   failed: {error}")).unwrap_or_default();
            writeln!(f, "{:<10}  {:>7.1}{error}", part.name, minutes(part.took))?;
        }
        writeln!(f, "{:<10}  {:>7.1}", "together", minutes(self.parts.iter().map(|part| part.took).sum()))
    }
}

fn minutes(duration: Duration) -> f64 {
    duration.as_secs_f64() / 60.0
}

#[cfg(test)]
mod unit {
    use super::*;

    fn part(name: &'static str, seconds: u64, error: Option<&str>) -> Part {
        Part { name, took: Duration::from_secs(seconds), error: error.map(str::to_owned) }
    }

    #[test]
    fn the_report_has_the_minutes_of_each_part_and_what_failed() {
        let report =
            Report { parts: vec![part("format", 6, None), part("test", 90, Some("2 tests failed"))] };
        assert_eq!(
            report.to_string(),
            "part        minutes\n\
             format          0.1\n\
             test            1.5   failed: 2 tests failed\n\
             together        1.6\n"
        );
        assert_eq!(report.outcome().unwrap_err().to_string(), "the check failed in: test");
    }

    #[test]
    fn a_failed_part_does_not_keep_the_next_from_running() {
        let mut report = Report::default();
        report.part("first", || Err("broken".into()));
        report.part("second", || Ok(()));
        assert_eq!(report.parts.len(), 2);
        assert!(report.outcome().is_err());
    }
}

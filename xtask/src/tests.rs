//! Running the tests with the very command that the README gives, and counting them.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::command::{Result, could_not_start, line, program, root};

/// How many tests ran, summed over the test binaries and the doc tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the README's test command.
///
/// The count is true also when the outcome is an error.
pub(crate) fn test() -> (Count, Result) {
    let mut count = Count::default();
    let outcome = run_all(&mut count);
    (count, outcome)
}

fn run_all(count: &mut Count) -> Result {
    let readme = root().join("README.md");
    let text =
        std::fs::read_to_string(&readme).map_err(|error| format!("could not read README.md: {error}"))?;
    let command = test_command(&text).ok_or(
        "README.md has no test command; put a line that starts with `cargo test --workspace` in a fenced `sh` block",
    )?;
    let mut words = command.split_whitespace();
    let name = words.next().unwrap_or("cargo");
    let outcome = count_tests(&mut program(name, &words.collect::<Vec<_>>()), count);
    println!("{count}");
    outcome?;
    all_passed(*count)
}

/// An ignored test is an error: it proves nothing.
pub(crate) fn all_passed(count: Count) -> Result {
    match count {
        Count { failed: 0, ignored: 0, passed: 1.. } => Ok(()),
        Count { failed: 0, passed: 0, .. } => Err("no test ran".into()),
        Count { failed: 0, ignored, .. } => {
            Err(format!("{ignored} tests are ignored; make them run or delete them").into())
        }
        Count { failed, .. } => Err(format!("{failed} tests failed").into()),
    }
}

/// The first line of a fenced `sh` block that starts with `cargo test --workspace`, without a trailing comment.
fn test_command(readme: &str) -> Option<&str> {
    let mut in_shell = false;
    for line in readme.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            in_shell = !in_shell && language.trim() == "sh";
        } else if in_shell && line.starts_with("cargo test --workspace") {
            return line.split(" #").next().map(str::trim_end);
        }
    }
    None
}

/// Runs a test command, shows what it prints as it comes, and adds up its closing lines.
pub(crate) fn count_tests(command: &mut Command, count: &mut Count) -> Result {
    println!("$ {}", line(command));
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| could_not_start(command, &error))?;
    if let Some(stdout) = child.stdout.take() {
        for said in BufReader::new(stdout).split(b'\n') {
            let said = said?;
            let said = String::from_utf8_lossy(&said);
            println!("{said}");
            if let Some(more) = closing_line(&said) {
                count.passed += more.passed;
                count.failed += more.failed;
                count.ignored += more.ignored;
            }
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command)).into()) }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; ..`
fn closing_line(said: &str) -> Option<Count> {
    let (_, numbers) = said.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let mut count = Count::default();
    for entry in numbers.split("; ") {
        match entry.split_once(' ') {
            Some((number, "passed")) => count.passed = number.parse().ok()?,
            Some((number, "failed")) => count.failed = number.parse().ok()?,
            Some((number, "ignored")) => count.ignored = number.parse().ok()?,
            _ => {}
        }
    }
    Some(count)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_readmes_command_is_found_in_its_shell_block() {
        let readme = "Not `cargo test --workspace`.\n```rust\ncargo test --workspace --wrong\n```\n\
                      ```sh\ncargo run -p quickstart\ncargo test --workspace   # needs pip\n```\n";
        assert_eq!(test_command(readme), Some("cargo test --workspace"));
        assert_eq!(test_command("```sh\ncargo build\n```"), None);
    }

    #[test]
    fn closing_lines_are_added_up() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(closing_line(line), Some(Count { passed: 12, failed: 1, ignored: 2 }));
        assert_eq!(closing_line("test lint::works ... ok"), None);
    }

    #[test]
    fn a_command_is_counted_while_it_runs_and_fails_as_it_fails() {
        let said = "echo 'test result: ok. 3 passed; 0 failed; 0 ignored'; \
                    echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'; exit 101";
        let mut count = Count::default();
        let outcome = count_tests(&mut program("sh", &["-c", said]), &mut count);
        assert!(outcome.is_err());
        assert_eq!(count.to_string(), "4 passed, 1 failed");
    }
}

//! The tests that need programs beside Rust and pip. They run if all of these are here, and else not at all.

use system_tests::{Missing, PROGRAMS, Program};

use crate::command::{Result, cargo};
use crate::tests::{Count, all_passed, count_tests};

/// Looks for every program, and runs the tests.
pub(crate) fn test_system() -> Result {
    let missing = missing();
    if !missing.is_empty() {
        return Err(Missing(&missing).to_string().into());
    }
    // Of all the workspace, so that what `cargo test --workspace` has built is used again.
    let arguments = [
        "test",
        "--workspace",
        "--features",
        "system-tests/system",
        "--test",
        "system",
        "--test",
        "system-postgres15",
    ];
    let mut count = Count::default();
    let outcome = count_tests(&mut cargo(&arguments), &mut count);
    println!("{count}");
    outcome?;
    all_passed(count)
}

/// Prints the Debian packages of the programs that are not here, for whoever installs them.
pub(crate) fn print_missing() -> Result {
    for package in Missing(&missing()).packages() {
        println!("{package}");
    }
    Ok(())
}

fn missing() -> Vec<Program> {
    PROGRAMS.into_iter().filter(|program| program.find().is_none()).collect()
}

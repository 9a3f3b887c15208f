//! The program answers wrong arguments before it starts anything.

use std::process::{Command, Output};

fn quickstart(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quickstart")).args(arguments).output().expect("the program runs")
}

#[test]
fn help_goes_to_standard_output() {
    let output = quickstart(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--embedder minilm|hash"));
}

#[test]
fn wrong_arguments_end_with_code_2_and_one_line() {
    let output = quickstart(&["--limit", "many"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "quickstart: --limit needs a number of chunks above 0; --help tells what there is\n");
}

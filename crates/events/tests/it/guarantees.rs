//! The page of guarantees names tests: they are there.

use std::fs;
use std::path::Path;

const MANIFEST: &str = include_str!("../../Cargo.toml");
const PAGE: &str = include_str!("../../../../docs/guarantees.md");

/// What stands between back quotes and names a test: `tests/it/publish.rs::publishing_waits_for_nothing`.
fn named() -> Vec<(&'static str, &'static str)> {
    let quoted = PAGE.split('`').skip(1).step_by(2);
    quoted.filter_map(|word| word.split_once("::")).filter(|(file, _)| file.ends_with(".rs")).collect()
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let missing = named().into_iter().filter(|(file, test)| {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
        !source.contains(&format!("fn {test}("))
    });
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<(&str, &str)>::new());
}

/// None of them is behind a feature that a plain `cargo test` goes without: the crate asks itself for all that it has.
#[test]
fn a_plain_run_leaves_none_of_them_out() {
    let asked = MANIFEST.lines().find(|line| line.starts_with("shared-events = ")).unwrap();
    let (_, features) = MANIFEST.split_once("[features]\n").unwrap();
    let (features, _) = features.split_once("\n[").unwrap();
    let names = features.lines().filter_map(|line| Some(line.split_once(" = ")?.0));
    let missing: Vec<&str> = names.filter(|name| !asked.contains(&format!("\"{name}\""))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_guarantee_names_a_test() {
    let guarantees: Vec<&str> = PAGE.split("\n## ").filter(|part| part.starts_with('G')).collect();
    assert_eq!(guarantees.len(), 12);
    for guarantee in guarantees {
        let name = guarantee.lines().next().unwrap_or_default();
        let (_, tests) = guarantee.split_once("*Tests.*").unwrap_or_else(|| panic!("no tests of {name}"));
        assert!(
            guarantee.contains("*Limits.*") && tests.contains(".rs::"),
            "{name} names no limits, or no test"
        );
    }
}

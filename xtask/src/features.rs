//! Each feature of each crate alone: a feature that leans on another one without saying so does not build here. And those
//! that other crates may add to ours.

use crate::command::{Result, cargo, run};
use crate::workspace::{Package, workspace};

pub(crate) fn features() -> Result {
    for package in &workspace()?.packages {
        for arguments in builds(package) {
            run(cargo(&["check", "--quiet", "--package", &package.name]).args(arguments))?;
        }
    }
    run(&mut cargo(&["test", "--quiet", "--manifest-path", BOTH_BACKENDS, "--target-dir", "target"]))
}

/// A workspace of its own, whose dependencies switch on features that ours have to bear with.
const BOTH_BACKENDS: &str = "crates/security/tests/both-backends/Cargo.toml";

/// A package with features is built with none of them, and with each. One without features is built by every other part.
fn builds(package: &Package) -> Vec<Vec<String>> {
    if package.features.is_empty() {
        return Vec::new();
    }
    let none = vec!["--no-default-features".to_owned()];
    let each = package
        .features
        .iter()
        .map(|feature| [&none[..], &["--features".to_owned(), feature.clone()]].concat());
    std::iter::once(none.clone()).chain(each).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn package(features: &[&str]) -> Package {
        let features = features.iter().map(|&feature| feature.to_owned()).collect();
        let name = "shared-core".to_owned();
        Package { name, features, turns_on: BTreeMap::new(), dependencies: Vec::new(), library: None }
    }

    #[test]
    fn each_feature_is_built_alone_and_once_none() {
        let lines: Vec<_> =
            builds(&package(&["axum", "schema"])).into_iter().map(|build| build.join(" ")).collect();
        let expected = [
            "--no-default-features",
            "--no-default-features --features axum",
            "--no-default-features --features schema",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_package_without_features_needs_no_build_of_its_own() {
        assert!(builds(&package(&[])).is_empty());
    }
}

//! Each feature of each crate alone: a feature that leans on another one without saying so does not build here. And those
//! that other crates may add to ours.

use crate::command::{Result, cargo, run};
use crate::workspace::{Package, workspace};

/// Each crate beside `DEPENDENCIES`, so that others' crates are built once; or really alone, which also shows what leans on a
/// feature that somebody else has switched on in one of those, and builds them again a hundred times.
pub(crate) fn features(alone: bool) -> Result {
    let packages = workspace()?.packages;
    let beside: &[&str] = if alone { &[] } else { &["--package", DEPENDENCIES] };
    complete(&packages)?;
    for package in &packages {
        for arguments in builds(package) {
            run(cargo(&["check", "--quiet", "--package", &package.name]).args(beside).args(arguments))?;
        }
    }
    run(&mut cargo(&["test", "--quiet", "--manifest-path", BOTH_BACKENDS, "--target-dir", "target"]))
}

/// A workspace of its own, whose dependencies switch on features that ours have to bear with.
const BOTH_BACKENDS: &str = "crates/security/tests/both-backends/Cargo.toml";

/// What crates with features depend on, all at once, with the features that the workspace gives each.
const DEPENDENCIES: &str = "dependencies";

fn complete(packages: &[Package]) -> Result {
    let name = |package: &&Package| package.name == DEPENDENCIES;
    let held = packages.iter().find(name).ok_or_else(|| format!("there is no package `{DEPENDENCIES}`"))?;
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let others = |package: &Package| !package.features.is_empty() && package.name != DEPENDENCIES;
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| others(package))
        .flat_map(|package| &package.dependencies)
        .filter(|used| !used.dev && !ours(&used.name))
        .filter(|used| !held.dependencies.iter().any(|held| held.name == used.name))
        .map(|used| used.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("tests/dependencies/Cargo.toml lacks {}; add them there", missing.join(", ")).into())
}

/// A package with features is built with none of them, and with each. One without features is built by every other part.
fn builds(package: &Package) -> Vec<Vec<String>> {
    if package.features.is_empty() {
        return Vec::new();
    }
    let none = vec!["--no-default-features".to_owned()];
    let each = package.features.iter().map(|feature| {
        [&none[..], &["--features".to_owned(), format!("{}/{feature}", package.name)]].concat()
    });
    std::iter::once(none.clone()).chain(each).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::workspace::Dependency;

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
            "--no-default-features --features shared-core/axum",
            "--no-default-features --features shared-core/schema",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_dependency_that_is_not_held_is_named() {
        let uses = |name: &str, features: &[&str], used: &str| {
            let used = Dependency { name: used.into(), dev: false, optional: false, features: Vec::new() };
            Package { name: name.into(), dependencies: vec![used], ..package(features) }
        };
        assert!(
            complete(&[uses(DEPENDENCIES, &[], "bytes"), uses("shared-core", &["axum"], "bytes")]).is_ok()
        );
        let error = complete(&[uses(DEPENDENCIES, &[], "bytes"), uses("shared-core", &["axum"], "http")]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "tests/dependencies/Cargo.toml lacks http; add them there"
        );
    }

    #[test]
    fn a_package_without_features_needs_no_build_of_its_own() {
        assert!(builds(&package(&[])).is_empty());
    }
}

//! Dependencies between the crates of the family point downwards, as the table in ARCHITECTURE.md says, and bring no
//! faults along.

use super::Finding;
use crate::workspace::{Dependency, Package};

/// Each library and what it may know. Its name has the prefix `shared-`.
const MAY_KNOW: [(&str, &[&str]); 10] = [
    ("core-derive", &[]),
    ("core", &["core-derive"]),
    ("devkit", &["core"]),
    ("config", &["core"]),
    ("telemetry", &["core"]),
    ("db", &["core", "core-derive"]),
    ("security", &["core", "core-derive"]),
    ("queues", &["core", "core-derive", "db"]),
    ("events", &["core", "core-derive", "db"]),
    ("service", &["core", "core-derive", "config", "db", "events", "queues", "security", "telemetry"]),
];

/// What a library may know only behind a feature.
const MAY_CHOOSE: [(&str, &str); 3] = [("config", "db"), ("security", "db"), ("service", "devkit")];

/// Points at which a test may kill a process. They have no place in a program.
const FAULTS: &str = "faults";

/// Also fails for a library that the table does not have: a new one takes its place deliberately.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let libraries =
        packages.iter().filter_map(|package| Some((package.name.strip_prefix("shared-")?, package)));
    let programs: Vec<_> =
        packages.iter().map(|package| &package.name).filter(|name| !name.starts_with("shared-")).collect();
    let mut findings = Vec::new();
    for (name, package) in libraries {
        let upwards = package.dependencies.iter().filter(|d| programs.contains(&&d.name));
        findings
            .extend(upwards.map(|d| finding(&package.name, format!("must not know {}, a program", d.name))));
        let inside = package.dependencies.iter().filter_map(|d| Some((d.name.strip_prefix("shared-")?, d)));
        match MAY_KNOW.iter().find(|(library, _)| *library == name) {
            None => {
                findings.push(finding(&package.name, "has no place in the table of dependencies".to_owned()))
            }
            Some((_, known)) => findings.extend(
                inside
                    .filter(|(other, dependency)| {
                        !known.contains(other) && !is_exception(name, other, dependency)
                    })
                    .map(|(other, _)| finding(&package.name, format!("must not know shared-{other}"))),
            ),
        }
    }
    findings.extend(packages.iter().flat_map(faults));
    findings
}

/// What switches the points on for more than tests. Devkit alone may: its feature of that name is for dev-dependencies.
fn faults(package: &Package) -> Vec<Finding> {
    if package.name == "shared-devkit" {
        return Vec::new();
    }
    let message =
        |by: String| format!("must not switch on `{FAULTS}` {by}: it is for dev-dependencies alone");
    let dependencies =
        package.dependencies.iter().filter(|d| !d.dev && d.features.iter().any(|f| f == FAULTS));
    let dependencies = dependencies.map(|d| message(format!("of {}", d.name)));
    let is_fault = |on: &&String| on.rsplit_once('/').is_some_and(|(_, feature)| feature == FAULTS);
    let features = package.turns_on.iter().filter(|(_, on)| on.iter().any(|on| is_fault(&on)));
    let features = features.map(|(feature, _)| message(format!("by its feature `{feature}`")));
    dependencies.chain(features).map(|message| finding(&package.name, message)).collect()
}

/// Any library may be tested with devkit's servers, and with its own features.
fn is_exception(name: &str, other: &str, dependency: &Dependency) -> bool {
    dependency.dev && (other == "devkit" || other == name)
        || dependency.optional && MAY_CHOOSE.contains(&(name, other))
}

fn finding(package: &str, message: String) -> Finding {
    let directory = match package.strip_prefix("shared-") {
        Some("core-derive") => "crates/core/derive".to_owned(),
        Some(name) => format!("crates/{name}"),
        None => package.to_owned(),
    };
    Finding { path: format!("{directory}/Cargo.toml"), line: 1, message: format!("{package} {message}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn package(name: &str, dependency: &str, dev: bool, optional: bool) -> Package {
        let dependency = Dependency { name: dependency.to_owned(), dev, optional, features: Vec::new() };
        Package {
            name: name.to_owned(),
            features: Vec::new(),
            turns_on: BTreeMap::new(),
            dependencies: vec![dependency],
            library: None,
        }
    }

    fn findings(package: Package) -> usize {
        check(&[package]).len()
    }

    #[test]
    fn an_edge_that_points_sideways_or_upwards_is_found() {
        assert_eq!(findings(package("shared-queues", "shared-events", false, false)), 1);
        assert_eq!(findings(package("shared-core", "shared-db", false, false)), 1);
        assert_eq!(findings(package("shared-queues", "shared-events", true, false)), 1);
        assert_eq!(findings(package("shared-db", "shared-devkit", false, true)), 1);
        assert_eq!(findings(package("shared-service", "shared-devkit", false, false)), 1);
        assert_eq!(findings(package("shared-novelty", "serde", false, false)), 1);
    }

    #[test]
    fn a_library_that_knows_a_program_is_found() {
        let notes = package("notes", "shared-service", false, false);
        assert_eq!(check(&[package("shared-db", "notes", true, false), notes]).len(), 1);
    }

    #[test]
    fn an_edge_of_the_table_is_fine() {
        assert_eq!(findings(package("shared-queues", "shared-db", false, false)), 0);
        assert_eq!(findings(package("shared-queues", "shared-devkit", true, false)), 0);
        assert_eq!(findings(package("shared-service", "shared-devkit", false, true)), 0);
        assert_eq!(findings(package("quickstart", "shared-devkit", false, false)), 0);
    }

    #[test]
    fn points_are_switched_on_for_tests_alone() {
        let on = |name: &str, dev, feature: &str| {
            let mut package = package(name, "shared-core", dev, false);
            package.dependencies[0].features.push(feature.to_owned());
            findings(package)
        };
        assert_eq!(on("shared-queues", false, "faults"), 1);
        assert_eq!(on("notes", false, "faults"), 1);
        assert_eq!(on("notes", true, "faults"), 0);
        assert_eq!(on("notes", false, "schema"), 0);
        assert_eq!(on("shared-devkit", false, "faults"), 0);

        let by_feature = |turns_on: &str| {
            let mut package = package("shared-queues", "shared-core", false, false);
            package.turns_on.insert("testing".to_owned(), vec![turns_on.to_owned()]);
            findings(package)
        };
        assert_eq!(by_feature("shared-core/faults"), 1);
        assert_eq!(by_feature("shared-devkit?/faults"), 1);
        assert_eq!(by_feature("shared-core/schema"), 0);
    }
}

//! Dependencies between the crates of the family point downwards, as the table in ARCHITECTURE.md says.

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

/// Also fails for a library that the table does not have: a new one takes its place deliberately.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let libraries =
        packages.iter().filter_map(|package| Some((package.name.strip_prefix("shared-")?, package)));
    let mut findings = Vec::new();
    for (name, package) in libraries {
        let inside = package.dependencies.iter().filter_map(|d| Some((d.name.strip_prefix("shared-")?, d)));
        match MAY_KNOW.iter().find(|(library, _)| *library == name) {
            None => findings.push(finding(name, "has no place in the table of dependencies".to_owned())),
            Some((_, known)) => findings.extend(
                inside
                    .filter(|(other, dependency)| {
                        !known.contains(other) && !is_exception(name, other, dependency)
                    })
                    .map(|(other, _)| finding(name, format!("must not know shared-{other}"))),
            ),
        }
    }
    findings
}

/// Any library may be tested with devkit's servers, and with its own features.
fn is_exception(name: &str, other: &str, dependency: &Dependency) -> bool {
    dependency.dev && (other == "devkit" || other == name)
        || dependency.optional && MAY_CHOOSE.contains(&(name, other))
}

fn finding(name: &str, message: String) -> Finding {
    let directory = if name == "core-derive" { "core/derive" } else { name };
    Finding {
        path: format!("crates/{directory}/Cargo.toml"),
        line: 1,
        message: format!("shared-{name} {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependency: &str, dev: bool, optional: bool) -> Package {
        let dependencies = vec![Dependency { name: dependency.to_owned(), dev, optional }];
        Package { name: name.to_owned(), features: Vec::new(), dependencies }
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
    fn an_edge_of_the_table_is_fine() {
        assert_eq!(findings(package("shared-queues", "shared-db", false, false)), 0);
        assert_eq!(findings(package("shared-queues", "shared-devkit", true, false)), 0);
        assert_eq!(findings(package("shared-service", "shared-devkit", false, true)), 0);
        assert_eq!(findings(package("quickstart", "shared-devkit", false, false)), 0);
    }
}

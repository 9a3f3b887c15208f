//! Only `shared-config` reads the environment; the tools that a developer starts may too, and tests, which start
//! themselves again as processes to be killed.

use super::Finding;
use super::source::{Kind, Source, words};

/// The quickstart finds cargo's registry where cargo itself does.
const ALLOWED: [&str; 4] =
    ["crates/config/", "crates/devkit/", "xtask/", "examples/quickstart/src/corpus.rs"];

/// The last two are `HOME` and `TMPDIR`.
const FORBIDDEN: [&str; 8] =
    ["var", "var_os", "vars", "vars_os", "set_var", "remove_var", "home_dir", "temp_dir"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust_in(&["crates/", "examples/"])
        || ALLOWED.iter().any(|path| source.path.starts_with(path))
        || source.path.contains("/tests/")
    {
        return Vec::new();
    }
    let code = source.only(Kind::Code);
    words(&code, "env")
        .filter_map(|at| Some((at, named(&code[at + "env".len()..])?)))
        .map(|(at, name)| {
            let message = format!(
                "`env::{name}`: take the value as a setting; only shared-config reads the environment"
            );
            source.finding(at, message)
        })
        .collect()
}

/// What is asked of `env`: `::var`, one of a list in a `use`, or another name for all of it.
fn named(after: &str) -> Option<&'static str> {
    if after.starts_with(" as ") {
        return Some("*");
    }
    let asked = after.strip_prefix("::")?;
    let asked = match asked.strip_prefix('{') {
        Some(list) => list.split('}').next()?,
        None => asked.split(|c: char| !c.is_alphanumeric() && c != '_').next()?,
    };
    FORBIDDEN.into_iter().find(|name| words(asked, name).next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, code: &str) -> usize {
        check(&Source::new(path, code)).len()
    }

    #[test]
    fn reading_the_environment_is_found() {
        assert_eq!(findings("crates/db/src/pool.rs", "let url = std::env::var(\"DATABASE_URL\");"), 1);
        assert_eq!(findings("crates/db/src/main.rs", "for (name, _) in env::vars_os() {}"), 1);
        assert_eq!(findings("crates/db/src/pool.rs", "use std::env::{args, var};"), 1);
        assert_eq!(findings("crates/db/src/pool.rs", "use std::env as surroundings;"), 1);
        assert_eq!(findings("crates/db/src/pool.rs", "let place = std::env::temp_dir();"), 1);
    }

    #[test]
    fn other_uses_of_the_word_are_none_of_our_business() {
        assert_eq!(
            findings(
                "crates/db/src/pool.rs",
                "env::args(); env!(\"X\"); // env::var\n\"env::var\"; my_env::var();"
            ),
            0
        );
    }

    #[test]
    fn configuration_tools_and_tests_may() {
        assert_eq!(findings("crates/queues/tests/it/kill.rs", "env::var(\"CHILD\")"), 0);
        assert_eq!(findings("crates/config/src/environment.rs", "env::vars()"), 0);
        assert_eq!(findings("crates/devkit/src/cache.rs", "env::var_os(\"XDG_CACHE_HOME\")"), 0);
        assert_eq!(findings("examples/quickstart/src/corpus.rs", "env::var_os(\"CARGO_HOME\")"), 0);
    }
}

//! Rules of the architecture that no compiler knows. Each is a small function with a test that proves it can fail.

mod clocks;
mod columns;
mod edges;
mod environment;
mod length;
mod links;
mod paths;
mod sleep;
mod source;
mod spawn;
mod sql;
mod steps;
mod tables;

use crate::command::{Result, root};
use crate::workspace::workspace;
use source::Source;

/// A broken rule, where it is broken, and what to do.
#[derive(Debug)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

type Rule = fn(&Source) -> Vec<Finding>;

const RULES: [(&str, Rule); 7] = [
    ("only configuration reads the environment", environment::check),
    ("every task is owned", spawn::check),
    ("tests wait for conditions, not for time", sleep::check),
    ("the server's clock decides", clocks::check),
    ("SQL names its columns", columns::check),
    ("no path of one machine", paths::check),
    ("a file is one idea", length::check),
];

pub(crate) fn lint() -> Result {
    let sources = source::read(&root())?;
    let mut broken = 0;
    for (name, rule) in RULES {
        broken += report(name, sources.iter().flat_map(rule).collect());
    }
    broken += report("SQL names a table with its schema", tables::check(&sources));
    broken += report("a migration spares running programs", steps::check(&sources));
    broken += report("links lead somewhere", links::check(&sources, &root()));
    broken += report("dependencies point downwards", edges::check(&workspace()?.packages));
    if broken == 0 { Ok(()) } else { Err(format!("{broken} places break a rule").into()) }
}

fn report(name: &str, findings: Vec<Finding>) -> usize {
    println!("{} {name}", if findings.is_empty() { "ok    " } else { "BROKEN" });
    for Finding { path, line, message } in &findings {
        println!("  {path}:{line}: {message}");
    }
    findings.len()
}

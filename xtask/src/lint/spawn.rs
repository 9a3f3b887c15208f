//! Nothing starts a task or a thread whose handle is dropped: its panic would be lost, and nobody could stop it.
//!
//! Tests may: a task of theirs ends with their runtime. A heuristic: `spawn(..);` as a statement of its own,
//! `let _ = spawn(..)`, `drop(spawn(..))` and `forget(spawn(..))`. A method is taken for that of a `JoinSet` or a
//! `TaskTracker`, which own their tasks, unless its receiver is a runtime by name, or the builder of a thread.

use super::Finding;
use super::source::{Kind, Source, words};

const RUNTIMES: [&str; 4] = ["handle", "runtime", "rt", "current"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust_in(&["crates/", "examples/", "xtask/"]) {
        return Vec::new();
    }
    let code = source.only(Kind::Code);
    let calls = ["spawn", "spawn_blocking", "spawn_local"].into_iter().flat_map(|name| words(&code, name));
    let tests = source.tests_start(&code);
    let dropped = calls.filter(|&at| at < tests && is_free_or_runtimes(&code[..at]) && is_dropped(&code, at));
    let message = "the handle is dropped: keep it, or spawn on a JoinSet or TaskTracker that its owner stops";
    dropped.map(|at| source.finding(at, message)).collect()
}

/// Whether the call is that of a function, or of a method of something named like a runtime.
fn is_free_or_runtimes(before: &str) -> bool {
    let Some(receiver) = before.trim_end().strip_suffix('.') else { return true };
    let receiver = receiver.trim_end();
    if receiver[expression_start(receiver, receiver.len())..].contains("thread::Builder::new()") {
        return true;
    }
    let receiver = receiver.strip_suffix("()").unwrap_or(receiver);
    let name = receiver.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    RUNTIMES.contains(&name)
}

fn is_dropped(code: &str, at: usize) -> bool {
    let Some(open) =
        code[at..].find(['(', ';']).map(|length| at + length).filter(|&open| code[open..].starts_with('('))
    else {
        return false;
    };
    let before = code[..expression_start(code, at)].trim_end();
    let after = code[close(code, open)..].trim_start();
    let ends = after.strip_prefix('?').unwrap_or(after).starts_with(';');
    let definition = code[..at].trim_end().ends_with("fn");
    let statement = before.is_empty() || before.ends_with([';', '{', '}']);
    let discarded = before.strip_suffix('=').is_some_and(|before| before.trim_end().ends_with("let _"));
    !definition
        && (ends && (statement || discarded) || before.ends_with("drop(") || before.ends_with("forget("))
}

/// Where the expression that ends in the word at `at` begins: after the last thing that can't be a part of a path or
/// of a chain of calls.
fn expression_start(code: &str, at: usize) -> usize {
    let mut depth = 0;
    for (offset, c) in code[..at].char_indices().rev() {
        match c {
            ')' | ']' => depth += 1,
            '(' | '[' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            c if c.is_alphanumeric() || c.is_whitespace() || matches!(c, '_' | ':' | '.' | '?') => {}
            _ => return offset + c.len_utf8(),
        }
    }
    0
}

/// The offset after the parenthesis that closes the one at `open`.
fn close(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(code: &str) -> usize {
        check(&Source::new("crates/queues/src/worker.rs", code)).len()
    }

    #[test]
    fn a_dropped_handle_is_found() {
        assert_eq!(findings("fn f() { tokio::spawn(async { work(1).await; }); }"), 1);
        assert_eq!(findings("g();\nspawn(work());"), 1);
        assert_eq!(findings("let _ = tokio::task::spawn_blocking(|| 1);"), 1);
        assert_eq!(findings("drop(tokio::spawn(work()));"), 1);
        assert_eq!(findings("{ std::thread::spawn(move || loop {}); }"), 1);
        assert_eq!(findings("; std::mem::forget(tokio::spawn(work()));"), 1);
        assert_eq!(findings("{ std::thread::Builder::new().name(\"a\".into()).spawn(work)?; }"), 1);
        assert_eq!(findings("; Handle::current().spawn(work());"), 1);
        assert_eq!(findings("; self.runtime.spawn(work());"), 1);
    }

    #[test]
    fn a_kept_handle_is_fine() {
        assert_eq!(findings("let task = tokio::spawn(work());"), 0);
        assert_eq!(findings("{ tokio::spawn(work()) }"), 0);
        assert_eq!(findings("Worker { task: tokio::spawn(work()) };"), 0);
        assert_eq!(findings("; tokio::spawn(work()).await?;"), 0);
        assert_eq!(findings("tasks.push(tokio::spawn(work()));"), 0);
        assert_eq!(findings("self.task = Some(tokio::spawn(work()));"), 0);
    }

    #[test]
    fn a_test_may_drop_one() {
        assert_eq!(findings("#[cfg(test)] mod tests { fn f() { tokio::spawn(connection); } }"), 0);
    }

    #[test]
    fn sets_of_tasks_own_theirs() {
        assert_eq!(
            findings("{ self.tasks.spawn(work()); tracker.spawn(work()); Command::new(x).spawn(); }"),
            0
        );
    }

    #[test]
    fn a_declaration_is_not_a_call() {
        assert_eq!(findings("trait Spawn { fn spawn(&self); } use tokio::spawn; f(spawn);"), 0);
    }
}

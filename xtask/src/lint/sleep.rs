//! Tests wait for a condition, never for time to pass: a sleep is too short on a slow machine and too long on a fast one.

use super::Finding;
use super::source::{Kind, Source, words};

/// What lets time pass.
const SLEEPS: [&str; 4] = ["sleep", "sleep_until", "park_timeout", "interval"];

/// What may excuse a sleep, on its line or the one above: time is what the test is about; or the pause between two looks
/// at a condition that nobody announces.
const EXCUSES: [&str; 2] = ["time itself is tested:", "a condition is polled"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust_in(&["crates/", "examples/", "tests/"]) {
        return Vec::new();
    }
    let code = source.only(Kind::Code);
    let tests = source.tests_start(&code);
    let sleeps = SLEEPS.into_iter().flat_map(|name| words(&code, name).map(move |at| (name, at)));
    sleeps
        .filter(|&(name, at)| at >= tests && is_call(&code, name, at) && !is_excused(source, at))
        .map(|(_, at)| {
            source.finding(at, format!("wait for a condition; or say why on this line: {EXCUSES:?}"))
        })
        .collect()
}

/// A call of the function: a method named so is a clock's, which a test may hold in its hand.
fn is_call(code: &str, name: &str, at: usize) -> bool {
    let before = code[..at].trim_end();
    code[at + name.len()..].starts_with('(') && !before.ends_with('.') && !before.ends_with("fn")
}

fn is_excused(source: &Source, at: usize) -> bool {
    let comments = source.only(Kind::Comment);
    let end = source.text[at..].find('\n').map_or(comments.len(), |length| at + length);
    comments[..end].rsplit('\n').take(2).any(|line| EXCUSES.iter().any(|excuse| line.contains(excuse)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, code: &str) -> usize {
        check(&Source::new(path, code)).len()
    }

    #[test]
    fn a_sleep_in_a_test_is_found() {
        assert_eq!(findings("crates/db/tests/it/pool.rs", "tokio::time::sleep(ms(5)).await;"), 1);
        assert_eq!(
            findings("crates/db/src/pool.rs", "#[cfg(test)]\nmod tests { fn t() { thread::sleep(d); } }"),
            1
        );
        assert_eq!(findings("crates/db/src/pool/tests.rs", "sleep_until(then).await;"), 1);
        assert_eq!(findings("tests/system/tests/it/tls.rs", "std::thread::park_timeout(ms(5));"), 1);
        assert_eq!(findings("crates/db/tests/it/pool.rs", "let ticks = tokio::time::interval(ms(5));"), 1);
    }

    #[test]
    fn a_sleep_with_its_reason_is_fine() {
        let above = "// time itself is tested: the lease must run out\nsleep(lease).await;";
        assert_eq!(findings("crates/db/tests/it/pool.rs", above), 0);
        assert_eq!(
            findings("crates/db/tests/it/pool.rs", "sleep(lease).await; // time itself is tested: see above"),
            0
        );
        assert_eq!(findings("crates/db/tests/it/pool.rs", &format!("{above}\n\nsleep(more).await;")), 1);
        assert_eq!(findings("crates/db/tests/it/pool.rs", "sleep(pause); // a condition is polled"), 0);
    }

    #[test]
    fn what_is_no_test_may_sleep_and_a_clock_is_no_time() {
        assert_eq!(findings("crates/db/src/pool.rs", "sleep(pause).await; #[cfg(test)] mod tests;"), 0);
        assert_eq!(
            findings("crates/db/tests/it/pool.rs", "clock.sleep(d); fn sleep() {} \"pg_sleep(1) sleep(1)\""),
            0
        );
    }
}

//! The queues and the log of events decide by their server's clock, and measure by monotonic ones: a process whose wall clock is an
//! hour off changes nothing.

use super::Finding;
use super::source::{Kind, Source, words};

const CRATES: [&str; 2] = ["crates/events/src/", "crates/queues/src/"];

/// Where the wall clock is read all the same, once in each: between processes that decides nothing.
const ALLOWED: [&str; 4] = [
    // When an event came, for subscribers in the same process.
    "crates/events/src/bus.rs",
    // How far off a time may lie; the server says when it has come.
    "crates/events/src/delayed.rs",
    // Here the process is the server.
    "crates/queues/src/memory/clock.rs",
    // What a handler means by a time of its own; the server gets a wait.
    "crates/queues/src/outcome.rs",
];

/// What tells the time of day, in the crates that do; and what reads it out of an id.
const READINGS: [&str; 10] = [
    "now_utc",
    "now_local",
    "SystemTime",
    "Clock::system",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "clock_gettime",
    "get_timestamp",
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust_in(&CRATES) {
        return Vec::new();
    }
    let code = source.only(Kind::Code);
    let tests = source.tests_start(&code);
    let found = READINGS.into_iter().flat_map(|reading| words(&code, reading)).filter(|&at| at < tests);
    let message = "the wall clock of a process: let the server say the time, or measure by an `Instant`";
    let allowed = usize::from(ALLOWED.contains(&source.path.as_str()));
    found.skip(allowed).map(|at| source.finding(at, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, code: &str) -> usize {
        check(&Source::new(path, code)).len()
    }

    #[test]
    fn a_wall_clock_is_found() {
        for reading in [
            "let due = OffsetDateTime::now_utc() + wait;",
            "use std::time::{Duration, SystemTime};",
            "let slot = jiff::Timestamp::now();",
            "let clock = shared_core::Clock::system();",
            "let age = job.as_uuid().get_timestamp();",
        ] {
            assert_eq!(findings("crates/queues/src/redis/work.rs", reading), 1, "{reading}");
        }
    }

    #[test]
    fn a_monotonic_clock_and_the_servers_own_are_none() {
        let code = "let began = Instant::now(); tokio::time::Instant::now(); state.clock.now(); Dead::now(filter); \"now_utc()\"; // SystemTime";
        assert_eq!(findings("crates/queues/src/redis/work.rs", code), 0);
    }

    #[test]
    fn tests_and_other_crates_may_read_it() {
        let code = "OffsetDateTime::now_utc()";
        assert_eq!(findings("crates/queues/src/worker/tests.rs", code), 0);
        assert_eq!(findings("crates/queues/tests/it/outcome.rs", code), 0);
        assert_eq!(findings("crates/security/src/tenants.rs", code), 0);
    }

    #[test]
    fn what_is_allowed_is_one_reading() {
        let once = "let wait = time - OffsetDateTime::now_utc();";
        assert_eq!(findings("crates/queues/src/outcome.rs", once), 0);
        assert_eq!(findings("crates/queues/src/outcome.rs", &once.repeat(2)), 1);
    }
}

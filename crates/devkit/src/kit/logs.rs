use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::tail::text_from;
use crate::{Postgres, Redis};

/// As many as a reader of a failed test will look at.
const MOST_LINES: usize = 50;

/// Prints the servers' log lines of a test when it is dropped.
pub(super) struct ServerLogs {
    since: SystemTime,
    postgres: Postgres,
    database: String,
    /// The log of Redis and its length in the beginning, where the server is one of ours. It names no databases.
    redis: Option<(PathBuf, u64)>,
}

impl ServerLogs {
    pub(super) fn since(since: SystemTime, postgres: Postgres, database: &str, redis: &Redis) -> Self {
        let with_length = |log: PathBuf| {
            let length = fs::metadata(&log).map_or(0, |file| file.len());
            (log, length)
        };
        Self { since, postgres, database: database.to_owned(), redis: redis.log().map(with_length) }
    }
}

impl Drop for ServerLogs {
    fn drop(&mut self) {
        print("PostgreSQL", &self.postgres.log_of(&self.database, self.since));
        if let Some((log, length)) = &self.redis {
            print("Redis", &warnings(&text_from(log, *length).unwrap_or_default()));
        }
    }
}

/// By the macro that the test harness listens to.
#[expect(clippy::print_stderr, reason = "the harness hides it unless the test fails")]
fn print(server: &str, lines: &[String]) {
    if !lines.is_empty() {
        eprintln!("{server} logged meanwhile:\n  {}", lines.join("\n  "));
    }
}

/// The last lines with the sign of a warning: `4711:M 02 Jan 2026 03:04:05.678 # Out of memory`.
fn warnings(log: &str) -> Vec<String> {
    let is_warning = |line: &&str| line.split_whitespace().nth(5) == Some("#");
    let mut lines: Vec<_> = log.lines().filter(is_warning).map(str::to_owned).collect();
    lines.drain(..lines.len().saturating_sub(MOST_LINES));
    lines
}

#[cfg(test)]
mod tests {
    use super::warnings;

    #[test]
    fn redis_marks_its_warnings() {
        let log =
            "7:M 02 Jan 2026 03:04:05.678 * Ready\n7:M 02 Jan 2026 03:04:05.700 # Can't save\n   _._  \n";
        assert_eq!(warnings(log), ["7:M 02 Jan 2026 03:04:05.700 # Can't save"]);
    }
}

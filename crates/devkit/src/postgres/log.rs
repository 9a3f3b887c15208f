//! What the server's log says about one database.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::SystemTime,
};

use time::{OffsetDateTime, macros::format_description};

use crate::site::Site;

/// The rest of a longer log is not looked at.
const MOST_READ: u64 = 1 << 20;
/// As many as a reader of a failed test will look at.
const MOST_LINES: usize = 50;
/// How `%m` of `log_line_prefix` begins; of the same length always, so that texts compare as times do.
const TIME: &[time::format_description::BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");

/// What is said about the server itself counts from here on.
const GRAVE: &[&str] = &["WARNING", "ERROR", "FATAL", "PANIC"];
/// These belong to the message before.
const DETAILS: &[&str] = &["DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION"];

/// The last lines about a database, and the server's own warnings and errors, since a moment.
pub(super) fn about(site: &Site, database: &str, since: SystemTime) -> Vec<String> {
    let since = OffsetDateTime::from(since).format(TIME).unwrap_or_default();
    // A restart begins a new log.
    let texts = [site.path("log.old"), site.log()].map(|log| end_of(&log).unwrap_or_default());
    let mut lines: Vec<_> = texts.iter().flat_map(|text| select(text, database, &since)).collect();
    lines.drain(..lines.len().saturating_sub(MOST_LINES));
    lines.into_iter().map(str::to_owned).collect()
}

fn end_of(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_READ)))?;
    let mut bytes = Vec::new();
    file.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn select<'a>(text: &'a str, database: &str, since: &str) -> Vec<&'a str> {
    let mut grave_process = "";
    let mut taken = false;
    let mut is_wanted = |line: &'a str| {
        // A message of several lines goes on without a prefix.
        let Some(entry) = Entry::parse(line) else { return taken };
        let of_server = match entry.message.strip_prefix(' ') {
            Some(message) if DETAILS.iter().any(|word| message.starts_with(word)) => {
                entry.process == grave_process
            }
            Some(message) if GRAVE.iter().any(|word| message.starts_with(word)) => {
                grave_process = entry.process;
                true
            }
            _ => false,
        };
        let of_database = entry.message.strip_prefix(database).is_some_and(|rest| rest.starts_with(' '));
        taken = entry.time >= since && (of_server || of_database);
        taken
    };
    text.lines().filter(|line| is_wanted(line)).collect()
}

/// "2026-01-02 03:04:05.678 UTC [4711] a_database ERROR:  .."; the server's own messages name no database.
struct Entry<'a> {
    time: &'a str,
    process: &'a str,
    /// The database, a space, and the rest.
    message: &'a str,
}

impl Entry<'_> {
    fn parse(line: &str) -> Option<Entry<'_>> {
        let (stamp, rest) = line.split_once(" UTC [")?;
        let (process, message) = rest.split_once("] ")?;
        let is_stamp = stamp.len() == 23 && stamp.starts_with(|first: char| first.is_ascii_digit());
        is_stamp.then_some(Entry { time: stamp, process, message })
    }
}

#[cfg(test)]
mod tests {
    use super::select;

    const LOG: &str = "\
2026-01-02 03:04:05.000 UTC [1]  LOG:  database system is ready
2026-01-02 03:04:06.000 UTC [2] mine ERROR:  too early
2026-01-02 03:04:07.000 UTC [2] mine ERROR:  relation \"x\" does not exist
2026-01-02 03:04:07.000 UTC [2] mine STATEMENT:  select *
\tfrom x
2026-01-02 03:04:07.100 UTC [3] mine_too ERROR:  no
\tof two lines
2026-01-02 03:04:08.000 UTC [4]  WARNING:  there is not much left
2026-01-02 03:04:08.000 UTC [4]  HINT:  Get more.
2026-01-02 03:04:08.000 UTC [5]  LOG:  something
2026-01-02 03:04:08.000 UTC [5]  DETAIL:  of it";

    #[test]
    fn lines_of_one_database_and_grave_ones_of_the_server_are_taken() {
        let taken = select(LOG, "mine", "2026-01-02 03:04:07.000");
        let expected: Vec<_> =
            LOG.lines().enumerate().filter(|(at, _)| [2, 3, 4, 7, 8].contains(at)).collect();
        assert_eq!(taken, expected.into_iter().map(|(_, line)| line).collect::<Vec<_>>());
    }
}

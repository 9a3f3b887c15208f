//! Numbers in words.

use std::time::Duration;

/// `12345` is `12,345`.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(0).to_string();
    let first = digits.len() % 3;
    let groups =
        digits.as_bytes()[first..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = (first > 0).then(|| digits[..first].to_owned());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// `1 document`, `2 documents`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// With the unit that leaves three digits or so.
pub(crate) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 100.0 => format!("{seconds:.0} s"),
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds if seconds >= 0.1 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{:.1} ms", seconds * 1e3),
    }
}

/// How many a second; nothing where there was no time.
pub(crate) fn rate(number: u64, time: Duration) -> Option<String> {
    let rate = number as f64 / time.as_secs_f64();
    rate.is_finite().then(|| if rate < 10.0 { format!("{rate:.1}") } else { count(rate as u64) })
}

/// On one line, and at most so many characters.
pub(crate) fn line(text: &str, most: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // What a document holds must not steer the terminal.
    let words: String = words.chars().filter(|character| !character.is_control()).collect();
    if words.chars().count() <= most {
        return words;
    }
    let cut: String = words.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown = [0, 12, 123, 1_234, 123_456, 1_234_567].map(|number: u64| count(number));
        assert_eq!(shown, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
        assert_eq!((counted(1, "job"), counted(2, "job")), ("1 job".into(), "2 jobs".into()));
    }

    #[test]
    fn times_keep_three_digits() {
        let shown = [0.0004, 0.0123, 0.25, 2.5, 250.0].map(|seconds| time(Duration::from_secs_f64(seconds)));
        assert_eq!(shown, ["0.4 ms", "12.3 ms", "250 ms", "2.5 s", "250 s"]);
    }

    #[test]
    fn a_rate_needs_a_time() {
        assert_eq!(rate(5, Duration::ZERO), None);
        assert_eq!(rate(0, Duration::ZERO), None);
        assert_eq!(rate(5, Duration::from_secs(2)).as_deref(), Some("2.5"));
    }

    #[test]
    fn a_line_is_one_line_of_what_can_be_shown() {
        assert_eq!(line("a\n  b\u{1b}[31m", 20), "a b[31m");
        assert_eq!(line("abcdef", 4), "abc…");
    }
}

//! What queues, limits and schedules may be called.

/// The longest name, in bytes.
const LONGEST_NAME: usize = 63;

/// The rule of [`is_sound`], as it is told to whoever broke it.
pub(crate) const NAME_RULE: &str =
    "expected a name of 1 to 63 letters of ASCII, digits, `-`, `_`, `.` and `:`";

/// Names become parts of Redis keys, of metrics, of addresses and of log lines, so they are kept to what needs no escaping there.
pub(crate) fn is_sound(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_escaping() {
        for good in ["default", "a", "mail.v2:bulk-now_2", &"x".repeat(63)] {
            assert!(is_sound(good), "{good}");
        }
        for bad in ["", "two words", "{tag}", "a/b", "\u{e4}", "a\0", &"x".repeat(64)] {
            assert!(!is_sound(bad), "{bad}");
        }
    }
}

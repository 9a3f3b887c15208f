//! Keys that are made of fields.

use std::fmt::{Display, Write};

/// Joins the texts of fields. A single one is taken as it is, so that operators can name it; several are joined by `:`, with a
/// `\` before every `:` and `\` that they contain themselves, so that no two lists of the same length make the same key.
pub fn key(fields: &[&dyn Display]) -> String {
    if let [single] = fields {
        return single.to_string();
    }
    let mut key = String::new();
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            key.push(':');
        }
        // Writing into a string does not fail.
        let _ = write!(Escaped(&mut key), "{field}");
    }
    key
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for letter in text.chars() {
            if matches!(letter, ':' | '\\') {
                self.0.push('\\');
            }
            self.0.push(letter);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_can_be_read() {
        assert_eq!(key(&[&"a:b"]), "a:b");
        assert_eq!(key(&[&"host", &7]), "host:7");
        assert_eq!(key(&[&"a:b", &r"c\"]), r"a\:b:c\\");
    }

    proptest! {
        #[test]
        fn no_two_lists_make_one_key(a in r"[:\\x]{0,4}", b in r"[:\\x]{0,4}", c in r"[:\\x]{0,4}", d in r"[:\\x]{0,4}") {
            prop_assert_eq!(key(&[&a, &b]) == key(&[&c, &d]), (a, b) == (c, d));
        }
    }
}

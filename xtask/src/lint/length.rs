//! A file is one idea. One of more than 500 lines is at least two.

use super::Finding;
use super::source::Source;

const MOST: usize = 500;

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if source.path.ends_with(".rs") && lines > MOST {
        return vec![
            source.finding(source.text.len(), format!("{lines} lines, more than {MOST}: split it by ideas")),
        ];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(check(&Source::new("crates/db/src/pool.rs", "x\n".repeat(501))).len(), 1);
    }

    #[test]
    fn a_file_of_the_greatest_length_and_a_long_text_are_fine() {
        assert!(check(&Source::new("crates/db/src/pool.rs", "x\n".repeat(500))).is_empty());
        assert!(check(&Source::new("docs/guide.md", "x\n".repeat(501))).is_empty());
    }
}

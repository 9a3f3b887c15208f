//! The index that a concurrent step builds, read off its statement.

/// Its name without quotes; `None` where the statement builds none.
///
/// # Errors
/// For an index that could not be built again after a broken attempt.
pub(super) fn built(sql: &str) -> Result<Option<&str>, &'static str> {
    let lines = sql.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code));
    let mut words = lines.flat_map(str::split_whitespace).peekable();
    let mut next_is = |word: &str| words.next_if(|next| next.eq_ignore_ascii_case(word)).is_some();
    if !next_is("create") {
        return Ok(None);
    }
    let _ = next_is("unique");
    if !next_is("index") {
        return Ok(None);
    }
    let repeatable = ["concurrently", "if", "not", "exists"].iter().all(|word| next_is(word));
    match words.next().filter(|_| repeatable) {
        Some(name) if name.bytes().all(is_plain) => Ok(Some(name)),
        _ => Err(
            "a concurrent step may be run again; write `create index concurrently if not exists` and the \
                  index's name, in lower case and without quotes",
        ),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::built;

    #[test]
    fn the_name_is_found() {
        let sql =
            "-- by time\nCREATE unique INDEX\n concurrently if not exists note_2 -- it\n on a.note (id)";
        assert_eq!(built(sql), Ok(Some("note_2")));
        assert_eq!(built("drop index concurrently if exists a.note_2"), Ok(None));
        assert_eq!(built("create statistics a.s on x, y from a.note"), Ok(None));
    }

    #[test]
    fn an_index_that_could_not_be_built_again_is_refused() {
        for sql in [
            "create index concurrently by_time on a.note (id)",
            "create index concurrently on a.note (id)",
            "create index if not exists by_time on a.note (id)",
            "create index concurrently if not exists \"By time\" on a.note (id)",
            "create index concurrently if not exists",
        ] {
            assert!(built(sql).is_err(), "{sql}");
        }
    }
}

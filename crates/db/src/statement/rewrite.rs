//! `$tenant` becomes `$1` and `$n` becomes `$n+1`, at compile time.
//!
//! Everything is `const fn`, so it works on bytes and with loops by hand. Each function is called by
//! [`statements!`](crate::statements).

/// Whether the text asks for `$tenant`.
pub const fn takes_tenant(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let next = end_of_token(bytes, at);
        if is_tenant(bytes, at, next) {
            return true;
        }
        at = next;
    }
    false
}

/// The text with the numbers moved, and its length: first called with `N = 0` for the length alone.
pub const fn rewrite<const N: usize>(sql: &str) -> ([u8; N], usize) {
    let shift = if takes_tenant(sql) { 1 } else { 0 };
    let bytes = sql.as_bytes();
    let mut out = Output { bytes: [0; N], length: 0 };
    let mut at = 0;
    while at < bytes.len() {
        let next = end_of_token(bytes, at);
        if is_tenant(bytes, at, next) {
            out = out.push(b'$').push(b'1');
        } else if is_parameter(bytes, at, next) {
            out = out.push(b'$').number(number(bytes, at + 1, next) + shift);
        } else {
            let mut i = at;
            while i < next {
                out = out.push(bytes[i]);
                i += 1;
            }
        }
        at = next;
    }
    (out.bytes, out.length)
}

/// The bytes as text again.
pub const fn text(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("statements!: not UTF-8"),
    }
}

struct Output<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Output<N> {
    const fn push(mut self, byte: u8) -> Self {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
        self
    }

    const fn number(self, number: usize) -> Self {
        let out = if number >= 10 { self.number(number / 10) } else { self };
        out.push(b'0' + (number % 10) as u8)
    }
}

const fn is_tenant(bytes: &[u8], from: usize, to: usize) -> bool {
    same(bytes, from, to, b"$tenant")
}

const fn is_parameter(bytes: &[u8], from: usize, to: usize) -> bool {
    bytes[from] == b'$' && to > from + 1 && bytes[from + 1].is_ascii_digit()
}

const fn number(bytes: &[u8], mut from: usize, to: usize) -> usize {
    let mut number = 0;
    while from < to {
        number = number * 10 + (bytes[from] - b'0') as usize;
        from += 1;
    }
    number
}

/// Where the token that begins at `at` ends: a quoted piece, a comment, a parameter, a name, or one byte.
pub(super) const fn end_of_token(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        b'\'' => end_of_string(bytes, at),
        b'"' => end_of_quoted(bytes, at, b'"'),
        b'-' if starts(bytes, at, b"--") => end_of_line(bytes, at),
        b'/' if starts(bytes, at, b"/*") => end_of_comment(bytes, at),
        b'$' => end_of_dollar(bytes, at),
        byte if is_name(byte) => end_of_name(bytes, at),
        _ => at + 1,
    }
}

/// A string; after `e` or `E` a backslash escapes the next byte.
const fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let escapes = at > 0 && matches!(bytes[at - 1], b'e' | b'E') && (at < 2 || !is_name(bytes[at - 2]));
    if !escapes {
        return end_of_quoted(bytes, at, b'\'');
    }
    let mut i = at + 1;
    while i < bytes.len() && bytes[i] != b'\'' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    if i < bytes.len() { i + 1 } else { bytes.len() }
}

/// A quoted piece; a doubled quote reads as the end and a new beginning, which comes to the same.
const fn end_of_quoted(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut i = at + 1;
    while i < bytes.len() && bytes[i] != quote {
        i += 1;
    }
    if i < bytes.len() { i + 1 } else { i }
}

const fn end_of_line(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'\n' {
        at += 1;
    }
    at
}

/// A comment; they nest in Postgres.
const fn end_of_comment(bytes: &[u8], at: usize) -> usize {
    let (mut i, mut depth) = (at, 0);
    while i < bytes.len() {
        if starts(bytes, i, b"/*") {
            (depth, i) = (depth + 1, i + 2);
        } else if starts(bytes, i, b"*/") {
            (depth, i) = (depth - 1, i + 2);
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    i
}

/// `$tenant`, `$7`, or a dollar-quoted body `$tag$ … $tag$`.
const fn end_of_dollar(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && is_name(bytes[end]) {
        end += 1;
    }
    if end < bytes.len() && bytes[end] == b'$' && !(end > at + 1 && bytes[at + 1].is_ascii_digit()) {
        return end_of_body(bytes, at, end + 1);
    }
    if same(bytes, at, end, b"$tenant") || all_digits(bytes, at + 1, end) {
        return end;
    }
    panic!("statements!: after `$` comes `tenant` or a number")
}

const fn end_of_body(bytes: &[u8], tag: usize, body: usize) -> usize {
    let (length, mut i) = (body - tag, body);
    while i + length <= bytes.len() {
        let mut same = 0;
        while same < length && bytes[i + same] == bytes[tag + same] {
            same += 1;
        }
        if same == length {
            return i + length;
        }
        i += 1;
    }
    bytes.len()
}

const fn end_of_name(bytes: &[u8], mut at: usize) -> usize {
    // A dollar sign may stand inside a name.
    while at < bytes.len() && (is_name(bytes[at]) || bytes[at] == b'$') {
        at += 1;
    }
    at
}

pub(super) const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

const fn all_digits(bytes: &[u8], mut from: usize, to: usize) -> bool {
    let found = from < to;
    while from < to {
        if !bytes[from].is_ascii_digit() {
            return false;
        }
        from += 1;
    }
    found
}

const fn starts(bytes: &[u8], at: usize, with: &[u8]) -> bool {
    at + with.len() <= bytes.len() && same(bytes, at, at + with.len(), with)
}

const fn same(bytes: &[u8], from: usize, to: usize, other: &[u8]) -> bool {
    if to - from != other.len() {
        return false;
    }
    let mut i = 0;
    while i < other.len() {
        if bytes[from + i] != other[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        const ROOM: usize = 400;
        let (bytes, length) = rewrite::<ROOM>(sql);
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn numbers_move_over_for_the_tenant() {
        assert_eq!(rewritten("a = $tenant and b = $1 and c = $9"), "a = $1 and b = $2 and c = $10");
        assert_eq!(rewritten("a = $1 and b = $12"), "a = $1 and b = $12");
    }

    #[test]
    fn what_is_quoted_or_commented_is_left_alone() {
        for sql in [
            "select '$1 $tenant', $2",
            "select 'it''s $1'",
            r"select e'it\'s $1'",
            "select \"$1\"",
            "select 1 -- $tenant\n",
            "select /* $1 /* $2 */ $3 */ 1",
            "select $$ $1 $tenant $$",
            "select $body$ $1 $$ $2 $body$",
            "select a$1",
        ] {
            assert_eq!(rewritten(sql), sql);
            assert!(!takes_tenant(sql), "{sql}");
        }
        assert_eq!(rewritten("select '$1', $1, $tenant"), "select '$1', $2, $1");
    }

    #[test]
    #[should_panic(expected = "after `$` comes `tenant` or a number")]
    fn a_typing_mistake_stops_the_build() {
        rewritten("select $tennant");
    }

    proptest::proptest! {
        #[test]
        fn text_without_dollars_stays_as_it_is(sql in "[^$]{0,200}") {
            if sql.len() <= 400 {
                proptest::prop_assert_eq!(rewritten(&sql), sql);
            }
        }
    }
}

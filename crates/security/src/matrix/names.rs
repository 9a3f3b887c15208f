//! What permissions and roles may be called.

/// The longest name of a role, in bytes.
const MAX_ROLE: usize = 63;

/// `domain:action`, each a word of lower-case letters, digits, `_` and `-` that begins with a letter. Such a name
/// fits into the claim `scope` and into a header without escaping.
pub(crate) const fn is_permission(name: &str) -> bool {
    matches!(words(name.as_bytes()), Some(2))
}

/// One such word of at most 63 bytes.
pub(crate) const fn is_role(name: &str) -> bool {
    name.len() <= MAX_ROLE && matches!(words(name.as_bytes()), Some(1))
}

/// How many words there are between colons, if there is nothing else.
const fn words(name: &[u8]) -> Option<usize> {
    let (mut words, mut at_start, mut i) = (1, true, 0);
    while i < name.len() {
        match name[i] {
            b'a'..=b'z' => at_start = false,
            b'0'..=b'9' | b'_' | b'-' if !at_start => {}
            b':' if !at_start => (words, at_start) = (words + 1, true),
            _ => return None,
        }
        i += 1;
    }
    if at_start { None } else { Some(words) }
}

pub(super) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_a_domain_and_an_action() {
        for good in ["notes:read", "billing-2:close_month", "a:b"] {
            assert!(is_permission(good), "{good}");
        }
        for bad in
            ["", "notes", ":read", "notes:", "a:b:c", "Notes:read", "notes: read", "2:b", "notes:*", "ü:b"]
        {
            assert!(!is_permission(bad), "{bad}");
        }
    }

    #[test]
    fn a_role_is_a_word() {
        for good in ["editor", "night-shift_2", &"x".repeat(63)] {
            assert!(is_role(good), "{good}");
        }
        for bad in ["", "*", "Editor", "notes:read", "a b", "9to5", "ädmin", "e\0", &"x".repeat(64)] {
            assert!(!is_role(bad), "{bad}");
        }
    }
}

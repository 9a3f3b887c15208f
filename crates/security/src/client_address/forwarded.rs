//! The grammar of `Forwarded` (RFC 7239, section 4) and of its older cousin, read from the right: what the nearest proxy
//! has added is whole, whatever a client has put to its left.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The elements of a list, the last one first, without the spaces around them. In a list with quotes a comma within them
/// does not separate.
pub(super) fn from_the_right(list: &[u8], has_quotes: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let comma = last_outside(list, b',', has_quotes);
        rest = comma.map(|comma| &list[..comma]);
        Some(list[comma.map_or(0, |comma| comma + 1)..].trim_ascii())
    })
}

/// Where the last such sign is that stands outside of quotes. A quotation is found by its end; a quote that follows an odd
/// number of backslashes is part of what is quoted (RFC 9110, section 5.6.4).
fn last_outside(text: &[u8], sign: u8, has_quotes: bool) -> Option<usize> {
    let mut quoted = false;
    (0..text.len()).rev().find(|&at| {
        if has_quotes && text[at] == b'"' && !(quoted && is_escaped(text, at)) {
            quoted = !quoted;
        }
        !quoted && text[at] == sign
    })
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address in an element of `Forwarded`, by its one `for`.
pub(super) fn element(element: &[u8]) -> Option<IpAddr> {
    let mut rest = Some(element);
    let mut node = None;
    while let Some(pairs) = rest {
        let semicolon = last_outside(pairs, b';', true);
        rest = semicolon.map(|semicolon| &pairs[..semicolon]);
        let pair = pairs[semicolon.map_or(0, |semicolon| semicolon + 1)..].trim_ascii();
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return None;
        }
    }
    match node? {
        [b'"', node @ .., b'"'] => address(node),
        // Only in quotes may there be brackets and colons.
        node if node.contains(&b':') => None,
        node => address(node),
    }
}

/// An address with a port or without one. Of IPv6 in brackets, or bare where it has no port. Names such as `unknown` and
/// `_hidden` are none.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_come_in_these_forms_alone() {
        for (text, expected) in [
            ("192.0.2.43", "192.0.2.43"),
            ("192.0.2.43:4711", "192.0.2.43"),
            ("2001:db8::17", "2001:db8::17"),
            ("[2001:db8::17]", "2001:db8::17"),
            ("[2001:db8::17]:4711", "2001:db8::17"),
            ("::ffff:192.0.2.43", "192.0.2.43"),
        ] {
            assert_eq!(address(text.as_bytes()), expected.parse().ok(), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.43:",
            "[2001:db8::17",
            "1.2.3.4 ",
            "fe80::1%eth0",
            "\u{e9}",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn elements_have_one_for_among_other_pairs() {
        for (text, expected) in [
            ("for=192.0.2.43", Some("192.0.2.43")),
            ("For=\"192.0.2.43:80\"", Some("192.0.2.43")),
            ("for=\"[2001:db8:cafe::17]:4711\";proto=https", Some("2001:db8:cafe::17")),
            ("by=203.0.113.43;host=\"a;for=6.6.6.6,b\";for=192.0.2.43", Some("192.0.2.43")),
            ("for=192.0.2.43;for=6.6.6.6", None),
            ("for=[2001:db8::1]", None),
            ("for=unknown", None),
            ("proto=https", None),
            ("", None),
        ] {
            assert_eq!(element(text.as_bytes()), expected.and_then(|text| text.parse().ok()), "{text}");
        }
    }

    proptest! {
        /// Whatever a client puts to the left, quotes that are not closed included, what the proxy adds is read as it was meant.
        #[test]
        fn nothing_on_the_left_changes_what_the_nearest_proxy_said(
            left in "[ -~]{0,60}",
            host in "[ -~]{0,20}",
        ) {
            let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
            let list = format!("{left}, for=192.0.2.43;host=\"{quoted}\"");
            let last = from_the_right(list.as_bytes(), true).next();
            prop_assert_eq!(last.and_then(element), "192.0.2.43".parse().ok());
            let list = format!("{left}, 192.0.2.43");
            let last = from_the_right(list.as_bytes(), false).next();
            prop_assert_eq!(last.and_then(address), "192.0.2.43".parse().ok());
        }

        #[test]
        fn no_bytes_make_it_panic_or_lose_a_byte(list in prop::collection::vec(any::<u8>(), 0..200), quotes: bool) {
            let elements: Vec<&[u8]> = from_the_right(&list, quotes).collect();
            prop_assert!(elements.iter().map(|element| element.len()).sum::<usize>() <= list.len());
            for entry in elements {
                let _ = (element(entry), address(entry));
            }
        }
    }
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The bytes of a PEM text with this label, or of its base64 alone, which fits one line of an environment. What passes
/// through memory on the way is overwritten.
pub(super) fn decode(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim();
    let body = match text.strip_prefix("-----BEGIN ") {
        Some(rest) => {
            let rest = rest.strip_prefix(label)?.strip_prefix("-----")?;
            rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?
        }
        None => text,
    };
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    base64.extend(body.chars().filter(|character| !character.is_ascii_whitespace()));
    STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn one_line_and_many_are_the_same() {
        let key = |text: &str| decode(text, "PUBLIC KEY").map(|bytes| bytes.to_vec());
        let bytes = Some(b"key and more".to_vec());
        assert_eq!(key(" a2V5IGFuZCBtb3Jl\n"), bytes);
        assert_eq!(
            key("-----BEGIN PUBLIC KEY-----\r\na2V5IGFu\r\nZCBtb3Jl\r\n-----END PUBLIC KEY-----\r\n"),
            bytes
        );
        for other in [
            "-----BEGIN PRIVATE KEY-----\na2V5\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----",
            "a2V",
            "?",
        ] {
            assert_eq!(key(other), None, "{other}");
        }
    }
}

//! How a text travels as a header: [HTTP binding, 3.1.3.2](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values).

use std::fmt::Write;

use super::InvalidCloudEvent;

/// All bytes but visible ASCII become `%XX`, and so do the quote and the percent sign.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    // A text takes all that is written to it.
    _ = Encoder(&mut encoded).write_str(text);
    encoded
}

/// Writes the same of what is printed so behind a text.
#[cfg(any(feature = "redis", feature = "nats"))]
pub(crate) fn encode_to(text: &mut String, value: &dyn std::fmt::Display) {
    _ = write!(Encoder(text), "{value}");
}

struct Encoder<'a>(&'a mut String);

impl Write for Encoder<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let is_plain = |byte: u8| matches!(byte, 0x21..=0x7E) && byte != b'"' && byte != b'%';
        if text.bytes().all(is_plain) {
            self.0.push_str(text);
            return Ok(());
        }
        for byte in text.bytes() {
            match is_plain(byte) {
                true => self.0.push(char::from(byte)),
                false => write!(self.0, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

/// The same for a value that others read too, such as a media type: as it is, unless it can't be a header.
pub(super) fn encode_odd(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7E)) { text.to_owned() } else { encode(text) }
}

/// Takes a quoted text out of its quotes, and decodes it. Other texts than ours may have spaces.
pub(super) fn decode(value: &str) -> Result<String, InvalidCloudEvent> {
    let value = value.trim_matches([' ', '\t']);
    let text = match value.strip_prefix('"') {
        Some(rest) => unquoted(rest)?,
        None => value.to_owned(),
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = bytes.next().zip(bytes.next()).ok_or(InvalidCloudEvent::Header)?;
                digit(digits.0)? << 4 | digit(digits.1)?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| InvalidCloudEvent::Header)
}

/// What stands behind the opening quote.
fn unquoted(rest: &str) -> Result<String, InvalidCloudEvent> {
    let mut text = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' if characters.as_str().is_empty() => return Ok(text),
            '"' => break,
            '\\' => text.push(characters.next().ok_or(InvalidCloudEvent::Header)?),
            other => text.push(other),
        }
    }
    Err(InvalidCloudEvent::Header)
}

fn digit(byte: u8) -> Result<u8, InvalidCloudEvent> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(InvalidCloudEvent::Header)
}

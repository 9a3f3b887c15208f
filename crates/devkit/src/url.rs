//! What URLs of every kind have in common.

use std::env;

use crate::note::note_once;

/// The server that the user prefers: the URL in a variable of the environment.
pub(crate) fn preferred(variable: &str) -> Option<String> {
    let url = env::var(variable).ok().filter(|url| !url.is_empty())?;
    note_once(format!("using the server of {variable}"));
    Some(url)
}

/// Undoes the encoding of single bytes, such as `%40`. What is no such code stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        match piece.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&piece.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

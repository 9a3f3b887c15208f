//! The compact form of a token (RFC 7515, section 7.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::VerifyError;

/// 1,024 bytes: the signature of an RSA key of 8192 bits, the largest that is read.
const MAX_SIGNATURE: usize = 1024;

/// The three parts of a token, as they came.
pub(crate) struct Compact<'t> {
    /// Header and claims with the dot between: what is signed.
    pub(crate) message: &'t [u8],
    pub(crate) header: &'t [u8],
    pub(crate) claims: &'t [u8],
    pub(crate) signature: &'t [u8],
}

impl<'t> Compact<'t> {
    pub(crate) fn of(token: &'t [u8]) -> Result<Self, VerifyError> {
        let mut parts = token.split(|byte| *byte == b'.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(claims), Some(signature), None) => {
                let (message, _) = token.split_at(header.len() + 1 + claims.len());
                Ok(Self { message, header, claims, signature })
            }
            _ => Err(VerifyError::Malformed { part: "not three parts" }),
        }
    }
}

/// Room for a signature. Base64 is decoded by threes, so there is one group more.
pub(crate) type SignatureBuffer = [u8; MAX_SIGNATURE + 3];

pub(crate) fn signature_buffer() -> SignatureBuffer {
    [0; MAX_SIGNATURE + 3]
}

/// Decodes base64 without padding whose last bits are zero: each text has one form only.
pub(crate) fn decode_into<'b>(text: &[u8], buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let length = URL_SAFE_NO_PAD.decode_slice(text, buffer).ok()?;
    buffer.get(..length)
}

/// The same into a buffer of its own.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

//! What stands in a token: the profile of RFC 9068 for access tokens, with the tenant.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use shared_core::{Id, MAX_TEXT, Site};

/// The type in the header that tells an access token from every other kind (RFC 9068, section 2.1).
pub(crate) const TYPE: &str = "at+jwt";

#[derive(Serialize)]
pub(crate) struct Header<'a> {
    pub(crate) alg: &'static str,
    pub(crate) typ: &'static str,
    pub(crate) kid: &'a str,
}

/// What is read of a header. Keys and addresses of keys that a token brings along are not among it.
#[derive(Deserialize)]
pub(crate) struct ReceivedHeader {
    pub(crate) alg: String,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    pub(crate) crit: Option<IgnoredAny>,
}

impl ReceivedHeader {
    /// Media types have no case, and may be given with their tree (RFC 7515, section 4.1.9).
    pub(crate) fn is_access_token(&self) -> bool {
        let Some(typ) = &self.typ else { return false };
        typ.eq_ignore_ascii_case(TYPE) || typ.eq_ignore_ascii_case("application/at+jwt")
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: Audience,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<i64>,
    pub(crate) jti: String,
    /// Judged on its own, since it is what a log has to name.
    pub(crate) tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<Id<Site>>,
    /// The names of permissions, separated by spaces.
    #[serde(default)]
    pub(crate) scope: String,
}

/// One name or several: RFC 7519 allows both.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(crate) fn includes(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().any(|one| one == name),
        }
    }
}

/// A subject or a token's id: text that can be compared, stored and logged as it is.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control)
}

/// Base64 without padding whose last bits are zero: each text has one form only.
pub(crate) fn decode(part: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

pub(crate) fn decode_json<T: DeserializeOwned>(part: &[u8]) -> Option<T> {
    // The error is dropped because it quotes the text.
    serde_json::from_slice(&decode(part)?).ok()
}

pub(crate) fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

pub(crate) fn encode_json(part: &impl Serialize) -> String {
    // Texts and numbers alone: there is nothing in it that can fail.
    encode(serde_json::to_vec(part).unwrap_or_default())
}

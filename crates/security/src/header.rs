//! The header of a token: what it says about itself, compared with a policy and never deciding.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::de::MapAccess;

use crate::json::{self, Members, Present, Text, once};
use crate::policy::TokenType;
use crate::{Algorithm, VerifyError, compact};

/// 1 KiB, encoded: ours have less than a tenth of it.
const MAX_LENGTH: usize = 1024;

/// What a header says, once its form was found right.
#[derive(Clone)]
pub(crate) struct Header<'t> {
    pub(crate) algorithm: Algorithm,
    pub(crate) token_type: TokenType,
    pub(crate) key_id: Cow<'t, str>,
}

impl<'t> Header<'t> {
    /// Reads an encoded header into a buffer, which texts are borrowed from.
    fn read(encoded: &[u8], buffer: &'t mut [u8; MAX_LENGTH]) -> Result<Self, VerifyError> {
        if encoded.len() > MAX_LENGTH {
            return Err(VerifyError::TooLarge);
        }
        let decoded = compact::decode_into(encoded, buffer).ok_or(MALFORMED)?;
        let received: Received<'t> = json::read(decoded).ok_or(MALFORMED)?;
        // Before anything else: without understanding it, nothing else of the header means what it seems to.
        if received.crit.is_some() {
            return Err(VerifyError::CriticalExtension);
        }
        let algorithm = received.alg.ok_or(MALFORMED)?;
        let algorithm = algorithm.parse().map_err(|_| VerifyError::WrongAlgorithm)?;
        let token_type = received.typ.and_then(|typ| TokenType::named(&typ));
        let key_id = received.kid.ok_or(VerifyError::UnknownKey)?;
        Ok(Self { algorithm, token_type: token_type.ok_or(VerifyError::WrongType)?, key_id: key_id.0 })
    }

    /// What an encoded header says, for good.
    pub(crate) fn parse(encoded: &[u8]) -> Option<Header<'static>> {
        let mut buffer = [0; MAX_LENGTH];
        Some(Header::read(encoded, &mut buffer).ok()?.into_owned())
    }

    fn into_owned(self) -> Header<'static> {
        Header { key_id: Cow::Owned(self.key_id.into_owned()), ..self }
    }
}

const MALFORMED: VerifyError = VerifyError::Malformed { part: "the header" };

#[derive(Default)]
struct Received<'t> {
    alg: Option<Text<'t>>,
    typ: Option<Text<'t>>,
    kid: Option<Text<'t>>,
    crit: Option<Present>,
}

impl<'t> Members<'t> for Received<'t> {
    fn member<A: MapAccess<'t>>(&mut self, name: &str, values: &mut A) -> Result<bool, A::Error> {
        match name {
            "alg" => once(&mut self.alg, values),
            "typ" => once(&mut self.typ, values),
            "kid" => once(&mut self.kid, values),
            "crit" => once(&mut self.crit, values),
            // Keys and addresses of keys that the token brings along, a token within a token, and changes to what is
            // signed (RFC 7797): no issuer of ours writes them, so whoever does is trying something.
            "jwk" | "jku" | "x5c" | "x5u" | "cty" | "zip" | "b64" | "enc" => {
                Err(serde::de::Error::custom("a member that is refused"))
            }
            _ => Ok(false),
        }
    }
}

/// How many headers are remembered: an issuer writes one for each of its keys.
const MAX_KNOWN: usize = 16;

/// The headers of tokens that were accepted, by their exact bytes, so that the next token with the same one costs a
/// comparison. Nobody gets one in here but by a right signature.
#[derive(Default)]
pub(crate) struct KnownHeaders(ArcSwap<Vec<Known>>);

#[derive(Clone)]
struct Known {
    encoded: Box<[u8]>,
    header: Header<'static>,
}

impl KnownHeaders {
    /// Calls `then` with what an encoded header says. If that says that all was well, the header is remembered.
    pub(crate) fn with<T>(
        &self,
        encoded: &[u8],
        then: impl FnOnce(&Header<'_>) -> Result<T, VerifyError>,
    ) -> Result<T, VerifyError> {
        if let Some(known) = self.0.load().iter().find(|known| *known.encoded == *encoded) {
            return then(&known.header);
        }
        let mut buffer = [0; MAX_LENGTH];
        let header = Header::read(encoded, &mut buffer)?;
        let outcome = then(&header)?;
        self.remember(encoded, header);
        Ok(outcome)
    }

    fn remember(&self, encoded: &[u8], header: Header<'_>) {
        let new = Known { encoded: encoded.into(), header: header.into_owned() };
        self.0.rcu(|known| {
            // Another thread may have been first. With all places taken, the oldest key is the one that has gone.
            let others = known.iter().filter(|other| other.encoded != new.encoded);
            let surplus = (known.len() + 1).saturating_sub(MAX_KNOWN);
            Arc::new(others.skip(surplus).chain([&new]).cloned().collect::<Vec<_>>())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(json: &str) -> Vec<u8> {
        crate::claims::encode(json).into_bytes()
    }

    fn header(kid: usize) -> Vec<u8> {
        encoded(&format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#))
    }

    #[test]
    fn only_headers_of_accepted_tokens_are_remembered_and_never_more_than_a_few() {
        let known = KnownHeaders::default();
        for n in 0..100 {
            let refused = known.with(&header(n), |_| Err::<(), _>(VerifyError::BadSignature));
            assert_eq!(refused, Err(VerifyError::BadSignature));
        }
        assert_eq!(known.0.load().len(), 0);
        for n in 0..100 {
            for _ in 0..2 {
                let id = known.with(&header(n), |header| Ok(header.key_id.to_string()));
                assert_eq!(id, Ok(n.to_string()));
            }
        }
        let left: Vec<_> = known.0.load().iter().map(|known| known.header.key_id.to_string()).collect();
        assert_eq!(left, (84..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

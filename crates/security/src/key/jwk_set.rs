use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::VerifyingKey;
use crate::Error;
use crate::metrics::METRICS;

/// No issuer has that many: each is a parse now, and a comparison at every token.
const MAX_KEYS: usize = 100;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl VerifyingKey {
    /// Reads the keys of a JWK Set (RFC 7517, section 5) that can verify tokens: what `JwksClient` does with what it fetches, for
    /// a set that comes with the deployment. Others are ignored, as the standard wants, secrets and private halves among them.
    ///
    /// # Errors
    /// [`Error::JwkSet`] for what is no JWK Set, or one with more than 100 keys, with two of one id, or without a key for us.
    pub fn from_jwk_set(json: &[u8]) -> Result<Vec<Self>, Error> {
        read(json).map_err(|reason| Error::JwkSet { reason })
    }
}

/// The keys, or why there are none.
pub(crate) fn read(json: &[u8]) -> Result<Vec<VerifyingKey>, &'static str> {
    // The error is dropped because it quotes the text.
    let document: Document = serde_json::from_slice(json).map_err(|_| "the document is no JWK Set")?;
    if document.keys.len() > MAX_KEYS {
        return Err("the document has more than 100 keys");
    }
    // Among all of them: which of two is meant nobody can tell, even if we could use only one.
    let named = document.keys.iter().filter_map(|key| key.get("kid").and_then(Value::as_str));
    let named_apart = are_different(named);
    let all = document.keys.len();
    let keys: Vec<_> = document.keys.into_iter().filter_map(VerifyingKey::from_value).collect();
    METRICS.ignored.add((all - keys.len()) as u64, &[]);
    // The thumbprint of a key without an id may be another one's id.
    if !named_apart || !are_different(keys.iter().map(VerifyingKey::id)) {
        return Err("the document has two keys of one id");
    }
    if keys.is_empty() {
        return Err("the document has no key that verifies tokens with EdDSA, ES256 or RS256");
    }
    Ok(keys)
}

fn are_different<'k>(ids: impl Iterator<Item = &'k str>) -> bool {
    let mut known = HashSet::new();
    ids.into_iter().all(|id| known.insert(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, SigningKey};

    #[test]
    fn a_key_without_an_id_is_not_named_by_another_one() {
        let key = || SigningKey::generate(Algorithm::EdDsa).unwrap().verifying_key().clone();
        let json = |key: &VerifyingKey| serde_json::from_str::<Value>(&key.to_jwk().unwrap()).unwrap();
        let (one, other) = (key(), key());
        let (mut nameless, mut alike) = (json(&one), json(&other));
        nameless.as_object_mut().unwrap().remove("kid");
        let set = |keys: &[&Value]| serde_json::json!({ "keys": keys }).to_string();
        let read = |keys: &[&Value]| VerifyingKey::from_jwk_set(set(keys).as_bytes());
        assert_eq!(read(&[&nameless, &alike]).unwrap().len(), 2);
        alike["kid"] = one.id().into();
        for keys in [[&nameless, &alike], [&nameless, &nameless]] {
            assert!(matches!(
                read(&keys),
                Err(Error::JwkSet { reason: "the document has two keys of one id" })
            ));
        }
    }
}

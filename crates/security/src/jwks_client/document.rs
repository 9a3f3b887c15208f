use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::fetch::refused;
use crate::metrics::METRICS;
use crate::{Error, VerifyingKey};

/// No issuer has that many: each is a parse now, and a comparison at every token.
const MAX_KEYS: usize = 100;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The keys of a JWK Set (RFC 7517, section 5) that can verify tokens. Others are ignored, as the standard wants.
pub(super) fn keys(json: &[u8]) -> Result<Vec<VerifyingKey>, Error> {
    // The error is dropped because it quotes the text.
    let document: Document =
        serde_json::from_slice(json).map_err(|_| refused("the document is no JWK Set"))?;
    if document.keys.len() > MAX_KEYS {
        return Err(refused("the document has more than 100 keys"));
    }
    let mut ids = HashSet::new();
    // Among all of them: which of two is meant nobody can tell, even if we could use only one.
    let named = document.keys.iter().filter_map(|key| key.get("kid").and_then(Value::as_str));
    if !named.into_iter().all(|id| ids.insert(id.to_owned())) {
        return Err(refused("the document has two keys of one id"));
    }
    let all = document.keys.len();
    let keys: Vec<_> = document.keys.into_iter().filter_map(VerifyingKey::from_value).collect();
    METRICS.ignored.add((all - keys.len()) as u64, &[]);
    if keys.is_empty() {
        return Err(refused("the document has no key that verifies tokens with EdDSA, ES256 or RS256"));
    }
    Ok(keys)
}

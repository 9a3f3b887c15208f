//! Secrets that are made here: invitations and the secrets of clients.
//!
//! `<prefix>_<tenant, 256 random bits>` in base64. Whoever shows one has no verified tenant yet, so it names the tenant through whose
//! door it is looked for; one whose tenant was changed finds nothing there. The database has its SHA-256: one round is enough, since
//! what is hashed is random.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserializer;
use shared_service::core::AssumedTenant;
use shared_service::prelude::*;
use uuid::Uuid;
use zeroize::Zeroizing;

const TENANT: usize = 16;
const RANDOM: usize = 32;

/// A new secret of this tenant, and the hash to be stored.
pub(crate) fn new(prefix: &str, tenant: TenantId) -> Result<(Secret, Vec<u8>), Problem> {
    let mut bytes = Zeroizing::new([0; TENANT + RANDOM]);
    let (named, random) = bytes.split_at_mut(TENANT);
    named.copy_from_slice(tenant.as_uuid().as_bytes());
    aws_lc_rs::rand::fill(random).map_err(|_| Problem::internal())?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    let secret = Secret::new([prefix, "_", &text].concat());
    let hash = hash(&secret);
    Ok((secret, hash))
}

/// The tenant that a secret names; `None` if it has not the form of one.
pub(crate) fn tenant_of(prefix: &str, secret: &Secret) -> Option<AssumedTenant> {
    let text = secret.expose().strip_prefix(prefix)?.strip_prefix('_')?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    if bytes.len() != TENANT + RANDOM {
        return None;
    }
    let tenant = TenantId::from_uuid(Uuid::from_slice(bytes.get(..TENANT)?).ok()?);
    Some(AssumedTenant::new(tenant, "a secret names it, and finds something of that tenant or nothing"))
}

/// What is stored of a secret.
pub(crate) fn hash(secret: &Secret) -> Vec<u8> {
    digest(&SHA256, secret.expose().as_bytes()).as_ref().to_vec()
}

/// Reads a secret of a body: `#[serde(deserialize_with = "secret::read")]`.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

/// The same where it may be missing.
pub(crate) fn read_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(Secret::from))
}

#[cfg(test)]
mod tests {
    use shared_service::core::InTenant as _;

    use super::*;

    #[test]
    fn a_secret_names_its_tenant_and_no_other_form_does() {
        let tenant = TenantId::new();
        let (secret, stored) = new("iv", tenant).unwrap();
        assert_eq!(tenant_of("iv", &secret).unwrap().context().tenant(), tenant);
        assert_eq!(hash(&secret), stored);
        let text = secret.expose();
        for other in ["", "iv_", &text[3..], &format!("{text}A"), &text.replacen("iv", "ci", 1)] {
            assert!(tenant_of("iv", &Secret::new(other)).is_none(), "{other}");
        }
    }
}

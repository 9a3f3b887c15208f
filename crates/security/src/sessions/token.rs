//! The form of a refresh token, `sr_<tenant, family, secret>` in base64.
//!
//! A refresh request has no verified tenant yet, so the token names it in the clear: with it the session is looked for through
//! the tenant's own door. A token whose tenant was changed finds nothing there, since its family is another tenant's.
//!
//! `family` is a secret that all tokens of a session share. By it an old token is recognised, however old it is, without
//! keeping every generation; and nobody can end a session who never held one of its tokens.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use shared_core::{AssumedTenant, Secret, TenantId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::family::Family;
use crate::{Error, claims, compact};

const PREFIX: &str = "sr_";
const TENANT: usize = 16;
const FAMILY: usize = 16;
/// 256 bits (ASVS 11.5.1 asks for 128).
pub(super) const SECRET: usize = 32;

/// What continues a session: opaque, used once, and shown to nobody but the client.
#[derive(Clone)]
pub struct RefreshToken(Secret);

impl RefreshToken {
    /// The text itself, for the answer to the client.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The tenant that a text names if it has the form of a refresh token: for the record of a token that was refused. It proves
    /// nothing.
    pub fn named_tenant(token: &Secret) -> Option<TenantId> {
        Parts::read(token).map(|parts| parts.tenant)
    }

    /// The first token of a new family, and what is stored of it.
    pub(super) fn first(tenant: TenantId) -> Result<(Self, Family), Error> {
        let mut family = Zeroizing::new([0; FAMILY]);
        fill(&mut *family)?;
        let parts = Parts { tenant, family, secret: new_secret()? };
        let stored = Family { family: parts.family_hash(), current: parts.secret_hash() };
        Ok((parts.to_token(), stored))
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(***)")
    }
}

/// What stands in a token.
pub(super) struct Parts {
    tenant: TenantId,
    family: Zeroizing<[u8; FAMILY]>,
    pub(super) secret: Zeroizing<[u8; SECRET]>,
}

impl Parts {
    /// Reads a text that is exactly as long as a token, and in the one form that base64 gives it.
    pub(super) fn read(token: &Secret) -> Option<Self> {
        let text = token.expose().strip_prefix(PREFIX)?;
        if text.len() != (TENANT + FAMILY + SECRET) * 4 / 3 + 1 {
            return None;
        }
        let bytes = Zeroizing::new(compact::decode(text.as_bytes())?);
        let (tenant, rest) = bytes.split_first_chunk()?;
        let (family, rest) = rest.split_first_chunk()?;
        let secret = rest.first_chunk()?;
        Some(Self {
            tenant: TenantId::from_uuid(Uuid::from_bytes(*tenant)),
            family: Zeroizing::new(*family),
            secret: Zeroizing::new(*secret),
        })
    }

    /// The same family with another secret.
    pub(super) fn with_secret(&self, secret: Zeroizing<[u8; SECRET]>) -> Self {
        Self { tenant: self.tenant, family: self.family.clone(), secret }
    }

    pub(super) fn to_token(&self) -> RefreshToken {
        let tenant = self.tenant.as_uuid();
        let bytes = Zeroizing::new([&tenant.as_bytes()[..], &self.family[..], &self.secret[..]].concat());
        let text = Zeroizing::new(claims::encode(&*bytes));
        RefreshToken(Secret::new([PREFIX, &text].concat()))
    }

    pub(super) fn tenant(&self) -> AssumedTenant {
        AssumedTenant::new(
            self.tenant,
            "its refresh token names it, and finds a session of that tenant or none",
        )
    }

    pub(super) fn family_hash(&self) -> Vec<u8> {
        hash(&self.family[..])
    }

    pub(super) fn secret_hash(&self) -> Vec<u8> {
        hash(&self.secret[..])
    }
}

/// One round is enough: what is hashed is random, and has as many bits as the hash.
fn hash(secret: &[u8]) -> Vec<u8> {
    digest(&SHA256, secret).as_ref().to_vec()
}

pub(super) fn new_secret() -> Result<Zeroizing<[u8; SECRET]>, Error> {
    let mut secret = Zeroizing::new([0; SECRET]);
    fill(&mut *secret)?;
    Ok(secret)
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| Error::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_in_no_other_form() {
        let tenant = TenantId::new();
        let (token, stored) = RefreshToken::first(tenant).unwrap();
        let parts = Parts::read(&token.0).unwrap();
        assert_eq!((parts.tenant, parts.family_hash()), (tenant, stored.family));
        assert_eq!(parts.secret_hash(), stored.current);
        let text = token.expose();
        for other in [
            String::new(),
            PREFIX.to_owned(),
            text[3..].to_owned(),
            format!("{text}="),
            format!("{text}A"),
            text[..text.len() - 1].to_owned(),
            format!("{}\u{0}", &text[..text.len() - 1]),
            format!("{}é", &text[..text.len() - 2]),
            text.to_uppercase(),
            "sr_".repeat(1 << 20),
        ] {
            assert!(Parts::read(&Secret::new(other)).is_none());
        }
    }

    /// The last character of 64 bytes in base64 carries two bits alone; the other values of it are another text.
    #[test]
    fn the_last_bits_of_a_token_can_not_be_varied() {
        let (token, _) = RefreshToken::first(TenantId::new()).unwrap();
        let (start, _) = token.expose().split_at(token.expose().len() - 1);
        let accepted = |last: &char| Parts::read(&Secret::new(format!("{start}{last}"))).is_some();
        assert_eq!(
            ('A'..='Z').chain('a'..='z').chain('0'..='9').filter(accepted).collect::<String>(),
            "AQgw"
        );
    }
}

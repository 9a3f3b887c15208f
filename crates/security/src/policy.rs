use std::collections::BTreeSet;
use std::sync::Arc;

use shared_core::TenantId;

use crate::{Algorithm, Error, Keys};

/// What is believed of one issuer. There is none without an issuer, an audience, a type of token, one algorithm and a
/// source of keys, since a verifier that leaves one of them open believes somebody it should not.
///
/// ```
/// # use shared_core::{Secret, TenantId};
/// # use shared_security::{Algorithm, Keys, Policy, SigningKey, TokenType, Verifier};
/// # fn main() -> Result<(), shared_security::Error> {
/// # let (key, acme) = (SigningKey::generate(Algorithm::EdDsa)?, TenantId::new());
/// # let (ours, theirs) = (Keys::fixed([key.verifying_key().clone()]), Keys::fixed([key.verifying_key().clone()]));
/// let own = Policy::new("https://id.example", "notes", TokenType::Access, Algorithm::EdDsa, ours)?;
/// let partner = Policy::new("https://id.acme.example", "notes", TokenType::Access, Algorithm::Es256, theirs)?
///     .for_tenants([acme]);
/// let verifier = Verifier::any_of([own, partner])?;
/// # let _ = verifier;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) issuer: Arc<str>,
    pub(crate) audience: String,
    pub(crate) token_type: TokenType,
    pub(crate) algorithm: Algorithm,
    pub(crate) keys: Keys,
    tenants: Option<BTreeSet<TenantId>>,
}

impl Policy {
    /// Believes tokens of this issuer, for this audience, of this type, signed with this algorithm by one of these
    /// keys. Keys of another algorithm among them are never used.
    ///
    /// # Errors
    /// [`Error::IncompletePolicy`] if issuer or audience is empty.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        token_type: TokenType,
        algorithm: Algorithm,
        keys: Keys,
    ) -> Result<Self, Error> {
        let (issuer, audience) = (issuer.into(), audience.into());
        if issuer.is_empty() {
            return Err(Error::IncompletePolicy { missing: "an issuer" });
        }
        if audience.is_empty() {
            return Err(Error::IncompletePolicy { missing: "an audience" });
        }
        Ok(Self { issuer: issuer.into(), audience, token_type, algorithm, keys, tenants: None })
    }

    /// The issuer may speak for these tenants alone, so that it can't make itself anybody else's: permissions of the system,
    /// which lead into other tenants, count for nothing in its tokens, be it by scope or by role. Without it the issuer is one of
    /// our own, that speaks for all of them.
    pub fn for_tenants(mut self, tenants: impl IntoIterator<Item = TenantId>) -> Self {
        self.tenants = Some(tenants.into_iter().collect());
        self
    }

    /// Whether its issuer speaks for some tenants alone.
    pub(crate) fn is_bound(&self) -> bool {
        self.tenants.is_some()
    }

    pub(crate) fn may_speak_for(&self, tenant: TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(&tenant))
    }
}

/// What kind of token is believed: the header's `typ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenType {
    /// `at+jwt`, an access token of RFC 9068: what our issuers write.
    Access,
    /// `JWT`, of issuers that write no better. Their ID tokens have it as well: only the audience tells them apart, so
    /// it must be the API's and never that of a client.
    Plain,
}

impl TokenType {
    /// Media types have no case, and may be given with their tree (RFC 7515, section 4.1.9).
    pub(crate) fn named(typ: &str) -> Option<Self> {
        let is = |name: &str| typ.eq_ignore_ascii_case(name);
        if is("at+jwt") || is("application/at+jwt") {
            Some(Self::Access)
        } else if is("JWT") || is("application/jwt") {
            Some(Self::Plain)
        } else {
            None
        }
    }
}

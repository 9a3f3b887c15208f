use std::fmt;
use std::time::Duration;

use shared_core::{Clock, Id, Secret};
use time::OffsetDateTime;

use crate::claims::{self, Audience, Claims, Header};
use crate::matrix::is_permission;
use crate::verifier::MAX_TOKEN;
use crate::{Error, Grant, SigningKey};

/// 10 minutes: a token can't be called back, so it must not live long; and asking for the next one every few
/// minutes costs a client little.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// Makes tokens that say who may do what, in which tenant: access tokens of RFC 9068, signed with EdDSA.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: SigningKey,
    issuer: String,
    audience: String,
    lifetime: Duration,
    clock: Clock,
}

impl Issuer {
    /// Issues tokens as `issuer` to be shown to `audience`, valid for 10 minutes.
    pub fn new(key: SigningKey, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            key,
            issuer: issuer.into(),
            audience: audience.into(),
            lifetime: LIFETIME,
            clock: Clock::system(),
        }
    }

    /// How long a token is valid, in whole seconds.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Another clock, which a test can move.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`Error::Subject`], [`Error::Permission`] and [`Error::TooLarge`] for a grant that no verifier would accept;
    /// [`Error::Signing`] if the cryptographic library refuses.
    pub fn issue(&self, grant: &Grant) -> Result<Token, Error> {
        if !claims::is_name(&grant.subject) {
            return Err(Error::Subject);
        }
        if let Some(name) = grant.permissions.iter().find(|name| !is_permission(name)) {
            return Err(Error::Permission { name: name.clone() });
        }
        let issued = self.clock.now();
        let lifetime = time::Duration::seconds(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX));
        let expires = issued.saturating_add(lifetime);
        let text = self.sign(&self.claims(grant, issued, expires))?;
        if text.expose().len() > MAX_TOKEN {
            return Err(Error::TooLarge);
        }
        Ok(Token { text, expires })
    }

    fn claims(&self, grant: &Grant, issued: OffsetDateTime, expires: OffsetDateTime) -> Claims {
        Claims {
            iss: self.issuer.clone(),
            sub: grant.subject.clone(),
            aud: Audience::One(self.audience.clone()),
            exp: expires.unix_timestamp(),
            iat: issued.unix_timestamp(),
            nbf: None,
            jti: Id::<Token>::new().to_string(),
            tenant: Some(grant.tenant.to_string()),
            site: grant.site,
            scope: grant.permissions.join(" "),
        }
    }

    fn sign(&self, claims: &Claims) -> Result<Secret, Error> {
        let header = Header { alg: "EdDSA", typ: claims::TYPE, kid: self.key.verifying_key().id() };
        let message = format!("{}.{}", claims::encode_json(&header), claims::encode_json(claims));
        let signature = self.key.sign(message.as_bytes())?;
        Ok(Secret::new(format!("{message}.{}", claims::encode(signature))))
    }
}

/// A signed token. Whoever holds the text is taken for its subject, so `Debug` does not show it.
#[derive(Clone)]
pub struct Token {
    text: Secret,
    expires: OffsetDateTime,
}

impl Token {
    /// The text, for the header `Authorization: Bearer`; never for a log, an error or a URL.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// When it stops being valid.
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(***, expires {})", self.expires)
    }
}

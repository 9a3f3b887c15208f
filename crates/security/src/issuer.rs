use std::fmt;
use std::time::Duration;

use shared_core::{Clock, Id, Secret};
use time::OffsetDateTime;

use crate::claims::{self, Acting, Written};
use crate::verifier::MAX_TOKEN;
use crate::{Error, Grant, SigningKey, SigningKeys};

/// 10 minutes: a stolen token must not live long; and asking for the next one every few minutes costs a client little.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// Makes tokens that say who may do what, in which tenant: access tokens of RFC 9068, signed with the algorithm of the
/// key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Issuer {
    keys: SigningKeys,
    issuer: String,
    audience: String,
    lifetime: Duration,
    clock: Clock,
}

impl Issuer {
    /// Issues tokens as `issuer` to be shown to `audience`, valid for 10 minutes. The key is a
    /// [`SigningKey`], or one that changes, of a key ring.
    pub fn new(keys: impl Into<SigningKeys>, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            keys: keys.into(),
            issuer: issuer.into(),
            audience: audience.into(),
            lifetime: LIFETIME,
            clock: Clock::system(),
        }
    }

    /// The same for another audience. Services with an audience each can't use a token that they got towards another one.
    pub fn for_audience(&self, audience: impl Into<String>) -> Self {
        Self { audience: audience.into(), ..self.clone() }
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
    /// [`Error::Subject`], [`Error::Claim`], [`Error::Permission`] and [`Error::TooLarge`] for a grant that no verifier
    /// would accept; [`Error::NoSigningKey`] while the key ring has none; [`Error::Signing`] if the cryptographic library
    /// refuses.
    pub fn issue(&self, grant: &Grant) -> Result<Token, Error> {
        grant.check()?;
        let issued = self.clock.now();
        let lifetime = time::Duration::seconds(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX));
        let expires = issued.saturating_add(lifetime);
        let text = sign(&self.keys.current()?, &self.claims(grant, issued, expires))?;
        if text.expose().len() > MAX_TOKEN {
            return Err(Error::TooLarge);
        }
        Ok(Token { text, expires })
    }

    fn claims<'g>(
        &'g self,
        grant: &'g Grant,
        issued: OffsetDateTime,
        expires: OffsetDateTime,
    ) -> Written<'g> {
        Written {
            iss: &self.issuer,
            sub: &grant.subject,
            aud: &self.audience,
            exp: expires.unix_timestamp(),
            iat: issued.unix_timestamp(),
            jti: Id::<Token>::new().to_string(),
            tenant: grant.tenant,
            site: grant.site,
            scope: grant.permissions.join(" "),
            roles: &grant.roles,
            client_id: grant.client.as_deref(),
            sid: grant.session,
            auth_time: grant.authenticated.map(OffsetDateTime::unix_timestamp),
            amr: &grant.methods,
            act: grant.actor.as_deref().map(|sub| Acting { sub }),
        }
    }
}

fn sign(key: &SigningKey, claims: &Written<'_>) -> Result<Secret, Error> {
    let header = claims::Header { alg: key.algorithm().name(), typ: claims::TYPE, kid: key.id() };
    let message = format!("{}.{}", claims::encode_json(&header), claims::encode_json(claims));
    let signature = key.sign(message.as_bytes())?;
    Ok(Secret::new(format!("{message}.{}", claims::encode(signature))))
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

use std::sync::Arc;
use std::time::Duration;

use shared_core::{Clock, Id, Site, TenantId};

use crate::claims::{self, Claims, ReceivedHeader};
use crate::{Error, VerifyError, VerifyingKey};

/// 8 KiB: what common servers accept as the whole head of a request, so no honest token is larger.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;

/// 1 KiB, encoded: ours have less than a tenth of it.
const MAX_HEADER: usize = 1024;

/// 30 seconds: more than clocks differ that are kept by NTP, and little beside a lifetime of minutes.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

/// Decides whether a token is to be believed. Cheap to clone.
///
/// It accepts access tokens (`typ: at+jwt`, RFC 9068) that are signed with EdDSA by one of its keys, issued by its
/// issuer for its audience, valid now, and bound to a tenant. Nothing that a token says about itself widens that.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Policy>);

#[derive(Clone, Debug)]
struct Policy {
    issuer: String,
    audience: String,
    keys: Vec<VerifyingKey>,
    leeway: Duration,
    clock: Clock,
}

impl Verifier {
    /// Accepts tokens of `issuer` for `audience`, signed with any of `keys`: during a rotation there are two.
    ///
    /// # Errors
    /// [`Error::IncompletePolicy`] if one of them is empty.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: impl IntoIterator<Item = VerifyingKey>,
    ) -> Result<Self, Error> {
        let (issuer, audience) = (issuer.into(), audience.into());
        let keys: Vec<_> = keys.into_iter().collect();
        let parts = [
            (issuer.is_empty(), "an issuer"),
            (audience.is_empty(), "an audience"),
            (keys.is_empty(), "a key"),
        ];
        if let Some((_, missing)) = parts.into_iter().find(|(empty, _)| *empty) {
            return Err(Error::IncompletePolicy { missing });
        }
        Ok(Self(Arc::new(Policy { issuer, audience, keys, leeway: LEEWAY, clock: Clock::system() })))
    }

    /// How far the clocks of issuer and verifier may differ; 30 seconds unless said otherwise.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        Arc::make_mut(&mut self.0).leeway = leeway;
        self
    }

    /// Another clock, which a test can move.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        Arc::make_mut(&mut self.0).clock = clock;
        self
    }

    /// Verifies a token. Costs one signature check, some tens of microseconds, and only if everything before it is
    /// right; never more than that, whatever the bytes.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn verify(&self, token: impl AsRef<[u8]>) -> Result<Verified, VerifyError> {
        let token = token.as_ref();
        if token.len() > MAX_TOKEN {
            return Err(VerifyError::TooLarge);
        }
        let parts = Parts::of(token)?;
        let key = self.key_for(parts.header)?;
        let signature = claims::decode(parts.signature).ok_or(malformed("the signature is not base64"))?;
        if !key.verifies(parts.message, &signature) {
            return Err(VerifyError::BadSignature);
        }
        self.judge(claims::decode_json(parts.claims).ok_or(malformed("the claims"))?)
    }

    /// The key that a header is allowed to choose.
    fn key_for(&self, header: &[u8]) -> Result<&VerifyingKey, VerifyError> {
        if header.len() > MAX_HEADER {
            return Err(VerifyError::TooLarge);
        }
        let header: ReceivedHeader = claims::decode_json(header).ok_or(malformed("the header"))?;
        if header.alg != "EdDSA" {
            return Err(VerifyError::WrongAlgorithm);
        }
        if header.crit.is_some() {
            return Err(VerifyError::CriticalExtension);
        }
        if !header.is_access_token() {
            return Err(VerifyError::WrongType);
        }
        let id = header.kid.as_deref();
        self.0.keys.iter().find(|key| Some(key.id()) == id).ok_or(VerifyError::UnknownKey)
    }

    /// Judges claims whose signature was right.
    fn judge(&self, claims: Claims) -> Result<Verified, VerifyError> {
        let policy = &*self.0;
        if claims.iss != policy.issuer {
            return Err(VerifyError::WrongIssuer);
        }
        if !claims.aud.includes(&policy.audience) {
            return Err(VerifyError::WrongAudience);
        }
        let now = policy.clock.now().unix_timestamp();
        let leeway = i64::try_from(policy.leeway.as_secs()).unwrap_or(i64::MAX);
        if now >= claims.exp.saturating_add(leeway) {
            return Err(VerifyError::Expired);
        }
        if claims.iat.max(claims.nbf.unwrap_or(claims.iat)) > now.saturating_add(leeway) {
            return Err(VerifyError::NotYetValid);
        }
        if !claims::is_name(&claims.sub) || !claims::is_name(&claims.jti) {
            return Err(malformed("the claims"));
        }
        let tenant = claims.tenant.and_then(|tenant| tenant.parse().ok()).ok_or(VerifyError::NoTenant)?;
        Ok(Verified {
            tenant,
            site: claims.site,
            subject: claims.sub,
            token_id: claims.jti,
            scope: claims.scope,
        })
    }
}

fn malformed(part: &'static str) -> VerifyError {
    VerifyError::Malformed { part }
}

/// A token in compact form (RFC 7515, section 7.1).
struct Parts<'t> {
    /// Header and claims with the dot between: what is signed.
    message: &'t [u8],
    header: &'t [u8],
    claims: &'t [u8],
    signature: &'t [u8],
}

impl<'t> Parts<'t> {
    fn of(token: &'t [u8]) -> Result<Self, VerifyError> {
        let mut parts = token.split(|byte| *byte == b'.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(claims), Some(signature), None) => {
                Ok(Self { message: &token[..header.len() + 1 + claims.len()], header, claims, signature })
            }
            _ => Err(malformed("not three parts")),
        }
    }
}

/// What a token said, once it was verified. Only [`Verifier::verify`] makes it.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(crate) tenant: TenantId,
    pub(crate) site: Option<Id<Site>>,
    pub(crate) subject: String,
    pub(crate) token_id: String,
    pub(crate) scope: String,
}

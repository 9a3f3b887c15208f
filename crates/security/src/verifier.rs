use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared_core::Clock;

use crate::claims::Claims;
use crate::compact::{self, Compact};
use crate::header::{Header, KnownHeaders};
use crate::json;
use crate::metrics::METRICS;
use crate::policy::Policy;
use crate::token_cache::{Digest, Entry, TokenCache};
use crate::{Error, Keys, Revocations, TokenType, Verified, VerifyError, VerifyingKey};

#[cfg(test)]
mod tests;

/// 8 KiB: what common servers accept as the whole head of a request, so no honest token is larger.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;

/// 30 seconds: more than clocks differ that are kept by NTP, and little beside a lifetime of minutes.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

/// 4,096 tokens, 4 MiB: the callers of ten minutes of a busy instance.
const CACHED: usize = 4096;

/// 16 issuers: each costs a look-up of the key, and those that share one a signature.
const MAX_POLICIES: usize = 16;

/// Decides whether a token is to be believed. Cheap to clone.
///
/// It believes a token if one of its policies does: signed with the policy's algorithm by one of its keys, of its type,
/// issued by its issuer for its audience, bound to a tenant that the issuer may speak for, valid now, and not revoked.
/// Nothing that a token says about itself widens that. Tokens that were verified are remembered, so that the next
/// request with the same one costs no signature; time, keys and revocations are looked at each time.
#[derive(Clone)]
pub struct Verifier(Arc<Rules>);

#[derive(Clone)]
struct Rules {
    policies: Vec<Policy>,
    headers: Arc<KnownHeaders>,
    cache: TokenCache,
    revocations: Option<Revocations>,
    leeway: Duration,
    clock: Clock,
}

impl Verifier {
    /// Believes access tokens of `issuer` for `audience`, signed with any of `keys`: during a rotation there are two. The
    /// algorithm is that of the keys.
    ///
    /// # Errors
    /// [`Error::IncompletePolicy`] if one of them is empty, [`Error::SeveralAlgorithms`] for keys that differ.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: impl IntoIterator<Item = VerifyingKey>,
    ) -> Result<Self, Error> {
        let keys: Vec<_> = keys.into_iter().collect();
        let algorithm = keys.first().map(VerifyingKey::algorithm).unwrap_or_default();
        if keys.iter().any(|key| key.algorithm() != algorithm) {
            return Err(Error::SeveralAlgorithms);
        }
        let none = keys.is_empty();
        let policy = Policy::new(issuer, audience, TokenType::Access, algorithm, Keys::fixed(keys))?;
        if none {
            return Err(Error::IncompletePolicy { missing: "a key" });
        }
        Self::any_of([policy])
    }

    /// Believes what any of these policies believes.
    ///
    /// # Errors
    /// [`Error::IncompletePolicy`] without one, [`Error::ManyPolicies`] for more than 16.
    pub fn any_of(policies: impl IntoIterator<Item = Policy>) -> Result<Self, Error> {
        let policies: Vec<_> = policies.into_iter().collect();
        match policies.len() {
            0 => Err(Error::IncompletePolicy { missing: "a policy" }),
            1..=MAX_POLICIES => Ok(Self(Arc::new(Rules {
                policies,
                headers: Arc::default(),
                cache: TokenCache::new(CACHED),
                revocations: None,
                leeway: LEEWAY,
                clock: Clock::system(),
            }))),
            _ => Err(Error::ManyPolicies { max: MAX_POLICIES }),
        }
    }

    /// Refuses what was revoked, and what lives longer than a revocation is remembered
    /// ([`RevocationConfig::longest_token`](crate::RevocationConfig::longest_token)).
    pub fn with_revocations(mut self, revocations: Revocations) -> Self {
        self.change().revocations = Some(revocations);
        self
    }

    /// Remembers about as many tokens as this, each of up to 1 KiB (larger ones count for more); 4,096 unless said
    /// otherwise, and none with 0.
    pub fn with_cache(mut self, tokens: usize) -> Self {
        self.change().cache = TokenCache::new(tokens);
        self
    }

    /// How far the clocks of issuer and verifier may differ; 30 seconds unless said otherwise.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.change().leeway = leeway;
        self
    }

    /// Another clock, which a test can move.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.change().clock = clock;
        self
    }

    fn change(&mut self) -> &mut Rules {
        Arc::make_mut(&mut self.0)
    }

    /// Verifies a token. Costs a hash if it was verified before. Otherwise one signature check, some tens of
    /// microseconds, for each policy that has its key, and only if everything before it is right; never more than
    /// that, whatever the bytes.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn verify(&self, token: impl AsRef<[u8]>) -> Result<Verified, VerifyError> {
        self.decide(token.as_ref()).inspect_err(|reason| METRICS.token_refused(*reason))
    }

    /// The same; but for a token whose key is not known, the source of the keys is asked once more, as a JWKS is whose
    /// issuer has a new key. The source bounds how often that happens. Dropping the future stops waiting, and nothing
    /// else.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub async fn verify_or_fetch(&self, token: impl AsRef<[u8]>) -> Result<Verified, VerifyError> {
        let decided = match self.decide(token.as_ref()) {
            Err(VerifyError::UnknownKey) => self.decide_after_fetch(token.as_ref()).await,
            decided => decided,
        };
        decided.inspect_err(|reason| METRICS.token_refused(*reason))
    }

    /// Verifies without counting, for who may ask again.
    pub(crate) fn decide(&self, token: &[u8]) -> Result<Verified, VerifyError> {
        self.0.verify(token)
    }

    /// Verifies a token whose key was not known once more, if its source has it now.
    pub(crate) async fn decide_after_fetch(&self, token: &[u8]) -> Result<Verified, VerifyError> {
        if self.0.fetch_key_of(token).await { self.decide(token) } else { Err(VerifyError::UnknownKey) }
    }
}

impl Rules {
    fn verify(&self, token: &[u8]) -> Result<Verified, VerifyError> {
        if token.len() > MAX_TOKEN {
            return Err(VerifyError::TooLarge);
        }
        if !self.cache.keeps_any() {
            return self.allow(self.check(token)?.verified);
        }
        let digest = Digest::of(token);
        if let Some(entry) = self.cache.get(&digest, |entry| self.is_current(entry)) {
            return self.allow(entry.verified);
        }
        let entry = self.check(token)?;
        let verified = self.allow(entry.verified.clone())?;
        self.cache.insert(digest, entry);
        Ok(verified)
    }

    /// The keys are still those by which it was believed.
    fn is_current(&self, entry: &Entry) -> bool {
        self.policies.get(entry.policy).is_some_and(|policy| policy.keys.current().epoch() == entry.epoch)
    }

    /// Judges what changes while a token lives: at each use of it.
    fn allow(&self, verified: Verified) -> Result<Verified, VerifyError> {
        verified.in_time(self.clock.now(), self.leeway)?;
        let Some(revocations) = &self.revocations else { return Ok(verified) };
        // It may be revoked by a clock that is behind its issuer's, and be believed by one that is behind that.
        if !revocations.remember_for(verified.lifetime().saturating_add(self.leeway * 2)) {
            return Err(VerifyError::OutlivesRevocations);
        }
        if revocations.refuses(&verified) { Err(VerifyError::Revoked) } else { Ok(verified) }
    }

    /// Judges what stays: signature and claims.
    fn check(&self, token: &[u8]) -> Result<Entry, VerifyError> {
        let token = Compact::of(token)?;
        self.headers.with(token.header, |header| {
            let mut refusal = VerifyError::WrongAlgorithm;
            for (policy, rules) in self.policies.iter().enumerate() {
                match rules.check(&token, header) {
                    Ok((verified, epoch)) => return Ok(Entry { verified, policy, epoch }),
                    // Of several policies, the one that got furthest has most to say.
                    Err(reason) if reason.progress() >= refusal.progress() => refusal = reason,
                    Err(_) => {}
                }
            }
            Err(refusal)
        })
    }

    async fn fetch_key_of(&self, token: &[u8]) -> bool {
        let Some(header) = Compact::of(token).ok().and_then(|token| Header::parse(token.header)) else {
            return false;
        };
        for policy in self.policies.iter().filter(|policy| policy.reads(&header)) {
            if policy.keys.look_for(&header.key_id).await {
                return true;
            }
        }
        false
    }
}

impl Policy {
    /// A token with this header is one that this policy is about.
    fn reads(&self, header: &Header<'_>) -> bool {
        header.algorithm == self.algorithm && header.token_type == self.token_type
    }

    /// Judges signature and claims by this policy, and says by which epoch of its keys.
    fn check(&self, token: &Compact<'_>, header: &Header<'_>) -> Result<(Verified, u64), VerifyError> {
        if header.algorithm != self.algorithm {
            return Err(VerifyError::WrongAlgorithm);
        }
        if header.token_type != self.token_type {
            return Err(VerifyError::WrongType);
        }
        let keys = self.keys.current();
        let key = keys.get(&header.key_id).ok_or(VerifyError::UnknownKey)?;
        // The key decides how it verifies; a key of another algorithm is never asked.
        if key.algorithm() != self.algorithm {
            return Err(VerifyError::WrongAlgorithm);
        }
        let mut buffer = compact::signature_buffer();
        let signature = compact::decode_into(token.signature, &mut buffer)
            .ok_or(VerifyError::Malformed { part: "the signature is not base64" })?;
        if !key.verifies(token.message, signature) {
            return Err(VerifyError::BadSignature);
        }
        const MALFORMED: VerifyError = VerifyError::Malformed { part: "the claims" };
        let claims = compact::decode(token.claims).ok_or(MALFORMED)?;
        let claims: Claims<'_> = json::read(&claims).ok_or(MALFORMED)?;
        Ok((Verified::judge(claims, self)?, keys.epoch()))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rules { policies, cache, leeway, clock, .. } = &*self.0;
        write!(f, "Verifier({policies:?}, {cache:?}, leeway {leeway:?}, {clock:?})")
    }
}

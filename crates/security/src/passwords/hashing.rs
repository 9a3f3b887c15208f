use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use opentelemetry::metrics::Counter;

use super::PasswordConfig;
use crate::Error;

/// What a stored hash may ask for at most: a row that was tampered with must not take the memory of the machine.
pub(super) const MOST_MEMORY_KIB: u32 = 256 * 1024;
pub(super) const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 8;

pub(super) enum Judgement {
    Wrong,
    /// `current` if it was hashed with the parameters of today.
    Right {
        current: bool,
    },
}

pub(super) fn argon(config: &PasswordConfig) -> Result<Argon2<'static>, Error> {
    let params = Params::new(config.memory_kib, config.passes, 1, None);
    let params = params.map_err(|_| Error::OutOfRange { what: "Argon2 can't work with these parameters" })?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

pub(super) fn random() -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

pub(super) fn hash(argon: &Argon2<'_>, password: &[u8]) -> Result<String, Error> {
    HASHES.add(1, &[]);
    let hash = argon.hash_password_with_salt(password, &random()?).map_err(|_| Error::Random)?;
    Ok(hash.to_string())
}

/// Hashes the password as the stored one was, and compares.
pub(super) fn verify(argon: &Argon2<'_>, password: &[u8], stored: &str) -> Result<Judgement, Error> {
    let stored = PasswordHash::new(stored).map_err(|_| Error::PasswordHash)?;
    let as_stored = parameters(&stored)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else { return Err(Error::PasswordHash) };
    HASHES.add(1, &[]);
    let computed = as_stored.hash_password_with_salt(password, &salt).map_err(|_| Error::PasswordHash)?;
    let same = computed
        .hash
        .is_some_and(|computed| verify_slices_are_equal(computed.as_bytes(), expected.as_bytes()).is_ok());
    let current = is_current(argon, &as_stored, &stored);
    Ok(if same { Judgement::Right { current } } else { Judgement::Wrong })
}

/// The function that a stored hash was made with, if it does not ask for too much.
fn parameters(stored: &PasswordHash) -> Result<Argon2<'static>, Error> {
    let refused = |_: password_hash::Error| Error::PasswordHash;
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(|_| Error::PasswordHash)?;
    let version = Version::try_from(stored.version.unwrap_or_default()).map_err(|_| Error::PasswordHash)?;
    let params = Params::try_from(stored).map_err(refused)?;
    let fits = params.m_cost() <= MOST_MEMORY_KIB
        && params.t_cost() <= MOST_PASSES
        && params.p_cost() <= MOST_LANES
        && algorithm == Algorithm::Argon2id;
    if fits { Ok(Argon2::new(algorithm, version, params)) } else { Err(Error::PasswordHash) }
}

fn is_current(now: &Argon2<'_>, then: &Argon2<'_>, stored: &PasswordHash) -> bool {
    let costs = |argon: &Argon2<'_>| {
        let params = argon.params();
        (params.m_cost(), params.t_cost(), params.p_cost())
    };
    costs(now) == costs(then)
        && stored.version == Some(Version::V0x13.into())
        && stored.hash.is_some_and(|hash| hash.len() >= Params::DEFAULT_OUTPUT_LEN)
}

static HASHES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter("shared_security")
        .u64_counter("security.passwords.hashes")
        .with_description("hashes of passwords that were computed")
        .build()
});

//! Passwords: hashed with Argon2id, verified in a time that says nothing, and refused when everybody guesses them.

mod hashing;
mod policy;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::Argon2;
use shared_core::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::{Error, Weakness};
use hashing::Judgement;

/// What passwords cost, and which are accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PasswordConfig {
    /// Memory of one hash, in KiB. 19,456 (19 MiB) with two passes and one lane is what OWASP's Password Storage Cheat Sheet
    /// names for Argon2id, as of 2026; the default of the crate `argon2` is the same.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Characters at least. 8 as ASVS 6.2.1 has it; where a password is all that a user shows, NIST SP 800-63B asks for 15.
    pub min_length: usize,
    /// Characters at most. 128: ASVS 6.2.9 asks for 64, and no passphrase is longer.
    pub max_length: usize,
    /// Hashes that are computed at once, each with a thread and its memory. 2: 38 MiB, and some 100 logins a second.
    pub at_once: usize,
    /// Calls that wait for their turn; a further one is refused at once. 64 wait for less than a second.
    pub waiting: usize,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, min_length: 8, max_length: 128, at_once: 2, waiting: 64 }
    }
}

/// How a password compares with what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one, or there is nothing stored.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, hashed with other parameters than today's: now is the moment to [`hash`](Passwords::hash) it anew, and
    /// store that.
    NeedsRehash,
}

impl Verdict {
    /// Whether the user may come in.
    pub fn is_right(self) -> bool {
        self != Self::Wrong
    }
}

/// Hashes and verifies passwords. Cheap to clone; clones share their bounds.
///
/// A password is taken exactly as it was received (ASVS 6.2.8): neither cut nor changed in case.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    config: PasswordConfig,
    argon: Argon2<'static>,
    /// What is compared with where there is no user: made like any other hash, of a password that nobody has.
    dummy: String,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Passwords {
    /// Computes one hash.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a hash would cost less than 7 MiB with five passes, OWASP's smallest choice for Argon2id, or more
    /// than [`verify`](Self::verify) accepts, or if the lengths are not in order.
    pub fn new(config: PasswordConfig) -> Result<Self, Error> {
        policy::check(&config)?;
        let argon = hashing::argon(&config)?;
        let nobodys = Zeroizing::new(hashing::random()?);
        let dummy = hashing::hash(&argon, &*nobodys)?;
        let permits = Arc::new(Semaphore::new(config.at_once));
        Ok(Self(Arc::new(Inner { config, argon, dummy, permits, waiting: AtomicUsize::new(0) })))
    }

    /// The hash of a new password, to store: a PHC string, with its own salt and parameters.
    ///
    /// `known` are words that an attacker knows: the user's name and address, the service's name.
    ///
    /// Dropping the future does not stop a hash that has begun; it keeps its place until it is done.
    ///
    /// # Errors
    /// [`Error::WeakPassword`], which may be told the user; [`Error::PasswordsBusy`].
    pub async fn hash(&self, password: &Secret, known: &[&str]) -> Result<String, Error> {
        self.check(password, known).map_err(Error::WeakPassword)?;
        let (argon, password) = (self.0.argon.clone(), copy(password));
        self.run(move || hashing::hash(&argon, password.as_bytes())).await
    }

    /// Whether this password may be set; what [`hash`](Self::hash) asks first.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, password: &Secret, known: &[&str]) -> Result<(), Weakness> {
        policy::judge(&self.0.config, password.expose(), known)
    }

    /// Compares a password with a stored hash, or, where there is no such user, with one that nobody has: the same work for
    /// both, so that the time does not tell which users exist.
    ///
    /// # Errors
    /// [`Error::PasswordHash`] if what is stored is no hash, after the same work. [`Error::PasswordsBusy`].
    pub async fn verify(&self, password: &Secret, stored: Option<&str>) -> Result<Verdict, Error> {
        // No user has one that is too long: it costs as much as another, and not more.
        let fits = policy::fits(&self.0.config, password.expose());
        let password = if fits { copy(password) } else { Zeroizing::default() };
        let (inner, stored) = (Arc::clone(&self.0), stored.map(str::to_owned));
        let exists = fits && stored.is_some();
        let judged = self.run(move || {
            let stored = stored.as_deref().unwrap_or(&inner.dummy);
            match hashing::verify(&inner.argon, password.as_bytes(), stored) {
                Err(unusable) => {
                    hashing::verify(&inner.argon, password.as_bytes(), &inner.dummy)?;
                    Err(unusable)
                }
                judged => judged,
            }
        });
        match judged.await? {
            _ if !exists => Ok(Verdict::Wrong),
            Judgement::Wrong => Ok(Verdict::Wrong),
            Judgement::Right { current: true } => Ok(Verdict::Right),
            Judgement::Right { current: false } => Ok(Verdict::NeedsRehash),
        }
    }

    /// On a thread for what computes, as many as may at once. The permit stays with the work, also when nobody waits for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.permit().await?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        // It can only have failed by a panic, or with the runtime.
        done.await.map_err(|_| Error::Random)?
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permits = Arc::clone(&self.0.permits);
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            return Ok(permit);
        }
        let Some(_place) = Place::take(&self.0) else {
            return Err(Error::PasswordsBusy { waiting: self.0.config.waiting });
        };
        // Nothing closes it.
        permits.acquire_owned().await.map_err(|_| Error::Random)
    }
}

/// A place in the line, given back when it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(inner: &'a Inner) -> Option<Self> {
        let before = inner.waiting.fetch_add(1, Ordering::AcqRel);
        let place = Self(&inner.waiting);
        (before < inner.config.waiting).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn copy(password: &Secret) -> Zeroizing<String> {
    Zeroizing::new(password.expose().to_owned())
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("config", &self.0.config).finish_non_exhaustive()
    }
}

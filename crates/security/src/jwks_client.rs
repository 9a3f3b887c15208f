//! The keys of another issuer.

use std::fmt;
use std::time::Duration;

use shared_core::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::keys::Supply;
use crate::metrics::METRICS;
use crate::{Error, JwksConfig, Keys, VerifyingKey};

mod discovery;
mod fetch;
mod remote;

use fetch::Fetch;
pub use remote::RemoteIssuer;

/// Failed attempts are repeated soon, and do not hammer an issuer that is down.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Keeps the keys of another issuer up to date, in a task of its own.
///
/// - They are fetched at the start, ahead of their time, and, within limits, when a token names one that is not known.
/// - A key that is no longer in the document is not believed any more; a signature that is wrong never causes a fetch.
/// - A document that is too large, that has two keys of one id, or that holds no key for tokens changes nothing: it counts as
///   a failed fetch. Keys in it of other kinds are ignored, secrets among them.
/// - No redirect is followed, and no proxy of the environment is used.
///
/// [`stop`](Self::stop) ends it in order, and dropping it at once; either way its keys are believed no longer.
pub struct JwksClient {
    keys: Keys,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl JwksClient {
    /// Fetches the document at `url`, and goes on doing so.
    ///
    /// # Errors
    /// [`Error::JwksUrl`] unless it is `https`, or leads to this machine; [`Error::JwksFetch`] if there is no good document
    /// now: start again when the issuer is there.
    pub async fn start(url: &str, config: JwksConfig) -> Result<Self, Error> {
        Self::run(Fetch::new(url, config.timeout)?, config).await
    }

    /// Asks an OpenID provider where its document is (OpenID Connect Discovery 1.0, section 4), and starts with that.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and [`Error::Discovery`] if the provider calls itself otherwise than `issuer`: it is
    /// compared as it stands, character by character.
    pub async fn discover(issuer: &str, config: JwksConfig) -> Result<Self, Error> {
        let url = discovery::jwks_url(issuer, config.timeout).await?;
        Self::start(&url, config).await
    }

    async fn run(fetch: Fetch, config: JwksConfig) -> Result<Self, Error> {
        let first = fetch.keys().await;
        METRICS.refresh("jwks", first.is_ok());
        let (keys, supply) = Keys::supplied(config.cool_down);
        supply.publish(first?);
        let stop = CancellationToken::new();
        let refresher = Refresher { fetch, config, supply, failures: 0, good: Instant::now() };
        let task = AbortOnDropHandle::new(tokio::spawn(refresher.run(stop.clone())));
        Ok(Self { keys, stop, task })
    }

    /// The keys, for a [`Verifier`](crate::Verifier).
    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Ends the task, and returns when it does not run any more. Dropping the future ends it as well.
    pub async fn stop(self) {
        self.stop.cancel();
        // It can only have ended by itself: nobody else has the handle to abort it.
        let _ = self.task.await;
    }
}

impl fmt::Debug for JwksClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksClient").field("keys", &self.keys).finish_non_exhaustive()
    }
}

struct Refresher {
    fetch: Fetch,
    config: JwksConfig,
    supply: Supply,
    failures: u32,
    /// When the issuer last answered.
    good: Instant,
}

impl Refresher {
    async fn run(mut self, stop: CancellationToken) {
        // A fetch that is dropped half-way leaves nothing behind.
        let _ = stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut next = self.good + self.config.refresh;
        loop {
            let stale = self.good + self.config.max_stale;
            let is_stale = Instant::now() >= stale;
            if is_stale {
                self.forget();
            }
            tokio::select! {
                () = tokio::time::sleep_until(stale), if !is_stale => {}
                () = tokio::time::sleep_until(next) => next = self.refresh().await,
                () = self.supply.wanted() => next = self.refresh().await,
            }
        }
    }

    /// Fetches once, and says when to do so again.
    async fn refresh(&mut self) -> Instant {
        let fetched = self.fetch.keys().await;
        let heard = fetched.is_ok();
        METRICS.refresh("jwks", heard);
        let wait = self.take(fetched);
        self.supply.answer(heard);
        Instant::now() + wait
    }

    fn take(&mut self, fetched: Result<Vec<VerifyingKey>, Error>) -> Duration {
        match fetched {
            Ok(keys) => {
                (self.failures, self.good) = (0, Instant::now());
                self.supply.publish(keys);
                self.config.refresh
            }
            Err(error) => {
                self.failures += 1;
                tracing::warn!(%error, failures = self.failures, "the keys of an issuer could not be fetched");
                RETRY.delay(self.failures).max(Duration::from_secs(1)).min(self.config.refresh)
            }
        }
    }

    /// Fails closed.
    fn forget(&self) {
        if self.supply.keys().current().iter().next().is_some() {
            METRICS.stale.add(1, &[]);
            tracing::error!(
                "an issuer has been silent for too long: its tokens are refused until it answers"
            );
            self.supply.publish(Vec::new());
        }
    }
}

#[cfg(test)]
mod tests;

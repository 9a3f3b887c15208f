//! Our own keys: made, rotated and revoked, the same in every instance.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared_core::Backoff;
use shared_db::{Db, Listener};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::keys::Supply;
use crate::metrics::METRICS;
use crate::trail::Trail;
use crate::{Audit, AuditEvent, Error, KeyRingConfig, Keys, Sealer, SigningKeys};

mod change;
mod rows;

/// What the ring's own SQL is, for the test that compares it with the schema.
#[cfg(test)]
pub(crate) const STATEMENTS: [&[(&str, &dyn shared_db::Check)]; 2] = [change::STATEMENTS, rows::STATEMENTS];
pub use rows::{KeyState, KeyStatus};

/// Where a change of the keys is told.
const CHANNEL: &str = "shared_security_keys";

/// How long an instance that can't reach the database goes on with the keys that it knows. It hears of no revocation
/// meanwhile, and may sign with a key that others have retired, so those verify that much longer.
const MAX_STALE: Duration = Duration::from_secs(300);

/// How long one look may take. Making RSA keys is the slowest part of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// After a token with an unknown key, how long the database is not asked again for another.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// Failed attempts are repeated soon: revocations must be heard.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// The keys of this issuer, kept in Postgres and shared by all its instances.
///
/// - One key is active and signs; the next one is published long before it does. A retired key verifies until the last token
///   that it has signed is over. A revoked key is gone at once: in this process when [`revoke`](Self::revoke) returns, in
///   others as soon as they hear of it, which is a second at most while they reach the database.
/// - Private keys are sealed, and deleted when they stop signing. Times are the server's; one instance at a time changes
///   anything, and a change is one transaction.
/// - An instance that can't reach the database for some 5 minutes neither signs nor believes any more.
///
/// [`stop`](Self::stop) ends it in order, and dropping it at once; either way nothing is signed and believed by it any longer.
pub struct KeyRing {
    core: Arc<Core>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
    trail: Trail,
}

struct Core {
    db: Db,
    sealer: Sealer,
    config: KeyRingConfig,
    signing: SigningKeys,
    supply: Supply,
    /// The epoch whose keys are in use. Held while they are read, so that older ones never replace newer ones.
    seen: Mutex<Option<i64>>,
}

impl KeyRing {
    /// Opens the ring, makes its first keys if it has none, and keeps up with it in a task of its own.
    ///
    /// # Errors
    /// [`Error::KeyRing`] for settings that can't work, [`Error::UnknownMasterKey`] and [`Error::Unsealable`] if the keys
    /// can't be read with this sealer, [`Error::Database`].
    pub async fn open(db: Db, sealer: Sealer, config: KeyRingConfig) -> Result<Self, Error> {
        config.check()?;
        let listener = db.listen(&[CHANNEL]).await?;
        let (_, supply) = Keys::supplied(COOL_DOWN);
        let signing = SigningKeys::default();
        let core = Arc::new(Core { db, sealer, config, signing, supply, seen: Mutex::default() });
        core.refresh().await?;
        let stop = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(run(
            Arc::clone(&core),
            listener,
            stop.clone(),
            Instant::now(),
        )));
        Ok(Self { core, stop, task, trail: Trail::default() })
    }

    /// Records which keys somebody has replaced or revoked, in the transaction that does it, so in the log of this database.
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.trail = Trail::to(audit);
        self
    }

    /// The keys that verify, for a [`Verifier`](crate::Verifier) and for [`Jwks`](crate::Jwks).
    pub fn keys(&self) -> Keys {
        self.core.supply.keys().clone()
    }

    /// The key that signs, for an [`Issuer`](crate::Issuer).
    pub fn signing_keys(&self) -> SigningKeys {
        self.core.signing.clone()
    }

    /// All keys, the newest first, for people who look after them.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn list(&self) -> Result<Vec<KeyStatus>, Error> {
        rows::list(&self.core.db).await
    }

    /// Replaces the key that signs, as soon as its successor has been published for long enough, which it usually has. Several
    /// that ask at once replace it once. Tokens that it has signed stay valid. Dropping the future changes nothing, or all.
    ///
    /// # Errors
    /// [`Error::NoSigningKey`] if this instance has none, [`Error::Database`].
    pub async fn rotate(&self) -> Result<(), Error> {
        let signs = self.core.signing.current()?;
        let event = AuditEvent::new("key.rotated").target("key", signs.id());
        change::rotate(&self.core, signs.id(), (&self.trail, event)).await?.committed();
        self.core.refresh().await
    }

    /// Withdraws a key at once: no token that it has signed is valid any more. If it was the one that signs, the next one takes
    /// its place. Dropping the future changes nothing, or all.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] if the ring has none of that id, or has revoked it before; [`Error::Database`].
    pub async fn revoke(&self, id: &str) -> Result<(), Error> {
        let event = AuditEvent::new("key.revoked").target("key", id);
        change::revoke(&self.core, id, (&self.trail, event)).await?.committed();
        self.core.refresh().await
    }

    /// Ends the task, and returns when it does not run any more. Dropping the future ends it as well.
    pub async fn stop(self) {
        self.stop.cancel();
        // It can only have ended by itself: nobody else has the handle to abort it.
        let _ = self.task.await;
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ring = f.debug_struct("KeyRing");
        ring.field("keys", self.core.supply.keys())
            .field("signing", &self.core.signing)
            .finish_non_exhaustive()
    }
}

/// The keys of a task that has ended, however it did, are nobody's.
struct Ends(Arc<Core>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.forget();
    }
}

async fn run(core: Arc<Core>, listener: Listener, stop: CancellationToken, read: Instant) {
    let _ends = Ends(Arc::clone(&core));
    // A change that is dropped half-way is rolled back.
    let _ = stop.run_until_cancelled(core.work(listener, read)).await;
}

impl Core {
    /// Keeps up, from when the ring was last read.
    async fn work(&self, mut listener: Listener, mut good: Instant) {
        let mut failures = 0;
        loop {
            let pause = if failures == 0 { self.config.poll } else { RETRY.delay(failures) };
            tokio::select! {
                _ = listener.next() => {}
                () = self.supply.wanted() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let done = match tokio::time::timeout(PATIENCE, self.refresh()).await {
                Ok(done) => done.map_err(|error| error.to_string()),
                Err(_) => Err(format!("the database did not answer within {PATIENCE:?}")),
            };
            METRICS.refresh("key_ring", done.is_ok());
            self.supply.answer(done.is_ok());
            let Err(reason) = done else {
                (good, failures) = (Instant::now(), 0);
                continue;
            };
            failures = failures.saturating_add(1);
            tracing::warn!(%reason, failures, "the key ring could not be read");
            if good.elapsed() >= MAX_STALE && self.signing.current().is_ok() {
                METRICS.stale.add(1, &[]);
                tracing::error!("the key ring was out of reach for too long: nothing is signed or believed");
                self.forget();
            }
        }
    }

    /// Makes the changes whose time has come, and takes over what has changed.
    async fn refresh(&self) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        let look = rows::look(&self.db).await?;
        if look.due {
            change::turn(self, look.missing).await?;
        }
        // Without a key they were forgotten, and what comes next is news.
        if look.due || *seen != Some(look.epoch) || self.signing.current().is_err() {
            let loaded = rows::load(&self.db, &self.sealer).await?;
            if loaded.outdated {
                change::reseal(self).await?;
            }
            self.signing.set(loaded.signs);
            self.supply.publish(loaded.verify);
            *seen = Some(loaded.epoch);
        }
        Ok(())
    }

    fn forget(&self) {
        self.signing.set(None);
        self.supply.publish(Vec::new());
    }
}

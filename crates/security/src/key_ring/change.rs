//! The changes of the ring: each one transaction, under one lock, by the server's clock.

use shared_core::fault;
use shared_db::{Tx, statements};

use super::rows::{self, place};
use super::{CHANNEL, Core, MAX_STALE, PATIENCE};
use crate::trail::{Recorded, Trail};
use crate::{Algorithm, AuditEvent, Error, Sealed, SigningKey, VerifyingKey};

/// How long a revoked key is remembered, for those who ask later what happened: 90 days.
const REMEMBERED: f64 = 90.0 * 24.0 * 3600.0;

statements! {
    const LOCK: Statement<(), i64> = "select epoch from shared_security.key_ring for update";
    const RAISE: Statement<(), ()> = "update shared_security.key_ring set epoch = epoch + 1";
    const TELL: Statement<(String,), bool> = "select pg_notify($1, '') is not null";
    const PRUNE: Statement<(), ()> = "delete from shared_security.signing_key where expires_at <= now()";
    const RETIRE: Statement<(f64,), ()> = "
        update shared_security.signing_key
           set state = 'retiring', private_key = null, expires_at = now() + make_interval(secs => $1)
         where state = 'active'
           and exists (select 1 from shared_security.signing_key as other
                        where other.state = 'next' and other.signs_from <= now())";
    const PROMOTE: Statement<(), ()> = "
        update shared_security.signing_key
           set state = 'active', signs_from = now()
         where state = 'next'
           and not exists (select 1 from shared_security.signing_key as other where other.state = 'active')";
    const MISSING: Statement<(), (bool, bool)> = "
        select count(*) filter (where state = 'active') = 0, count(*) filter (where state = 'next') = 0
          from shared_security.signing_key";
    const ADD: Statement<(String, String, String, Sealed<SigningKey>, Sealed<VerifyingKey>, f64), ()> = "
        insert into shared_security.signing_key (id, algorithm, state, private_key, public_key, signs_from)
        values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))";
    const HASTEN: Statement<(f64, String), ()> = "
        update shared_security.signing_key
           set signs_from = least(signs_from, greatest(now(), created_at + make_interval(secs => $1)))
         where state = 'next'
           and exists (select 1 from shared_security.signing_key as other
                        where other.state = 'active' and other.id = $2)";
    const REVOKE: Statement<(String, f64), ()> = "
        update shared_security.signing_key
           set state = 'revoked', private_key = null, public_key = null,
               expires_at = now() + make_interval(secs => $2)
         where id = $1 and state <> 'revoked'";
    const RESEAL: Statement<(String, Option<Sealed<SigningKey>>, Sealed<VerifyingKey>), ()> = "
        update shared_security.signing_key set private_key = $2, public_key = $3 where id = $1";
}

/// Makes the changes whose time has come, if no other instance was faster.
pub(super) async fn turn(core: &Core, missing: usize) -> Result<(), Error> {
    let spares = spares(core.config.algorithm, missing).await?;
    core.db
        .system()
        .tx(async |tx| {
            tx.one(&LOCK, ()).await?;
            core.turn_locked(tx, spares).await
        })
        .await
}

/// Brings the turn of the next key forward, while the active one is still this one.
pub(super) async fn rotate(
    core: &Core,
    active: &str,
    (trail, event): (&Trail, AuditEvent),
) -> Result<Recorded, Error> {
    let ahead = core.config.publish_ahead.as_secs_f64();
    let spares = spares(core.config.algorithm, 0).await?;
    core.db
        .system()
        .tx(async |tx| {
            tx.one(&LOCK, ()).await?;
            tx.execute(&HASTEN, (ahead, active)).await?;
            core.turn_locked(tx, spares).await?;
            trail.record_by_system(tx, event).await
        })
        .await
}

pub(super) async fn revoke(
    core: &Core,
    id: &str,
    (trail, event): (&Trail, AuditEvent),
) -> Result<Recorded, Error> {
    let spares = spares(core.config.algorithm, 1).await?;
    core.db
        .system()
        .tx(async |tx| {
            tx.one(&LOCK, ()).await?;
            if tx.execute(&REVOKE, (id, REMEMBERED)).await? == 0 {
                return Err(Error::NoSuchKey);
            }
            core.turn_locked(tx, spares).await?;
            tell(tx).await?;
            trail.record_by_system(tx, event).await
        })
        .await
}

/// Seals everything under the master key that seals now. The keys stay the same, so nobody is told.
pub(super) async fn reseal(core: &Core) -> Result<(), Error> {
    core.db
        .system()
        .tx(async |tx| {
            tx.one(&LOCK, ()).await?;
            for (id, _, private, public) in tx.all(&rows::STORED, ()).await? {
                let private = match &private {
                    Some(sealed) => {
                        let key = core.sealer.open(sealed, place("private_key", &id))?;
                        Some(core.sealer.seal(&key, place("private_key", &id))?)
                    }
                    None => None,
                };
                let Some(public) = public else { continue };
                let key = core.sealer.open(&public, place("public_key", &id))?;
                let public = core.sealer.seal(&key, place("public_key", &id))?;
                tx.execute(&RESEAL, (&id, private, public)).await?;
            }
            Ok(())
        })
        .await
}

/// New keys for those that are missing, or one for the place that a promotion leaves. Made before the lock is taken, since
/// RSA takes its time; what is not needed is dropped.
async fn spares(algorithm: Algorithm, missing: usize) -> Result<Vec<SigningKey>, Error> {
    let make = move || (0..missing.max(1)).map(|_| SigningKey::generate(algorithm)).collect();
    tokio::task::spawn_blocking(make).await.unwrap_or(Err(Error::Generate))
}

async fn tell(tx: &mut Tx) -> Result<(), Error> {
    tx.execute(&RAISE, ()).await?;
    tx.one(&TELL, (CHANNEL,)).await?;
    Ok(())
}

impl Core {
    /// What the clock says: expired keys go, the next one takes over, and there is a new next one.
    async fn turn_locked(&self, tx: &mut Tx, mut spares: Vec<SigningKey>) -> Result<(), Error> {
        let verify_for = self.config.verify_for + MAX_STALE + PATIENCE;
        let mut touched = tx.execute(&PRUNE, ()).await?;
        touched += tx.execute(&RETIRE, (verify_for.as_secs_f64(),)).await?;
        fault::point("security.keys.retired");
        touched += tx.execute(&PROMOTE, ()).await?;
        let (no_active, no_next) = tx.one(&MISSING, ()).await?;
        let needed = [(no_active, "active", 0.0), (no_next, "next", self.config.rotate_every.as_secs_f64())];
        for (_, state, signs_in) in needed.into_iter().filter(|(missing, _, _)| *missing) {
            // Too few only if others have changed the ring meanwhile: the next look makes up for it.
            let Some(key) = spares.pop() else { break };
            self.add(tx, &key, state, signs_in).await?;
            touched += 1;
        }
        fault::point("security.keys.turned");
        if touched > 0 { tell(tx).await } else { Ok(()) }
    }

    async fn add(&self, tx: &mut Tx, key: &SigningKey, state: &str, signs_in: f64) -> Result<(), Error> {
        let id = key.id();
        let private = self.sealer.seal(key, place("private_key", id))?;
        let public = self.sealer.seal(key.verifying_key(), place("public_key", id))?;
        let row = (id, key.algorithm().name(), state, private, public, signs_in);
        tx.execute(&ADD, row).await?;
        Ok(())
    }
}

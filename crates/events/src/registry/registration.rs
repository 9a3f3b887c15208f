//! A member that is there: a task renews its entry.

use std::time::Duration;

use shared_core::Backoff;
use shared_db::Db;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{LEAVE, Member, RENEW, SIGNAL};
use crate::Error;

/// Between attempts while the database is away: soon enough to be back within the lease.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// A member's place in the registry. Dropping it ends the signs of life: the member is listed as not healthy once its lease is over.
#[derive(Debug)]
pub struct Registration {
    db: Db,
    instance: Uuid,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Registration {
    pub(super) async fn start(db: Db, member: Member, lease: Duration) -> Result<Self, Error> {
        let instance = Uuid::now_v7();
        renew(&db, instance, &member, lease).await?;
        wake(&db);
        let stop = CancellationToken::new();
        let beats = beat(db.clone(), instance, member, lease);
        let until_stopped = stop.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            until_stopped.run_until_cancelled(beats).await;
        }));
        Ok(Self { db, instance, stop, task })
    }

    /// This run of the program, as it stands in the registry.
    pub fn instance(&self) -> Uuid {
        self.instance
    }

    /// Takes the member out. Nothing of it runs afterwards.
    ///
    /// # Errors
    /// [`Error::Database`]: then the entry stays until its lease is over, as it does if the future is dropped.
    pub async fn leave(self) -> Result<(), Error> {
        self.stop.cancel();
        // It ends by this alone.
        let _ = self.task.await;
        self.db.system().execute(&LEAVE, (self.instance,)).await?;
        wake(&self.db);
        Ok(())
    }
}

/// Three signs of life within a lease, for ever.
async fn beat(db: Db, instance: Uuid, member: Member, lease: Duration) {
    let mut failures = 0;
    loop {
        let wait = match failures {
            0 => lease / 3,
            _ => BACKOFF.delay(failures).min(lease / 3),
        };
        tokio::time::sleep(wait).await;
        match renew(&db, instance, &member, lease).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(
                    member = member.name,
                    "the registry can't be told that this program lives: {error}"
                );
            }
        }
    }
}

async fn renew(db: &Db, instance: Uuid, member: &Member, lease: Duration) -> Result<(), Error> {
    let names: Vec<String> = member.events.iter().map(|(name, _)| (*name).to_owned()).collect();
    let versions: Vec<i32> = member.events.iter().map(|(_, version)| i32::from(*version)).collect();
    let params = (
        instance,
        member.role.as_str(),
        &member.name,
        &member.version,
        &member.base_url,
        &member.capabilities,
        names,
        versions,
        lease.as_secs_f64(),
    );
    db.system().execute(&RENEW, params).await?;
    Ok(())
}

/// Watchers of this process need not poll for it.
fn wake(db: &Db) {
    db.signal(SIGNAL).notify_waiters();
}

//! Events that come in no order: what a consumer has done of them is known by their ids.

use futures_util::future::try_join_all;
use shared_core::Failure;
use shared_db::{Db, TenantTx, statements};
use uuid::Uuid;

use super::{Executor, Named, Turned, run, turn};
use crate::{Envelope, Error};

statements! {
    // While another transaction has the same mark in hand, it waits for that one's end.
    const MARK: Statement<(String, String, Uuid), bool> = "
        with marked as (
            insert into shared_events.inbox (tenant_id, subscription, consumer, event_id) values ($tenant, $1, $2, $3)
                on conflict do nothing returning 1)
        select exists (select from marked)";
    const IS_PARKED: Statement<(String, String, String), bool> = "
        select exists (select from shared_events.parked
                        where tenant_id = $tenant and subscription = $1 and consumer = $2 and key = $3)";
    // The oldest of one group; marks of others go with theirs.
    const FORGET: Statement<(String, f64, i64), ()> = "
        delete from shared_events.inbox
         where (tenant_id, subscription, consumer, event_id) in (
               select tenant_id, subscription, consumer, event_id from shared_events.inbox
                where at < clock_timestamp() - make_interval(secs => $2) and subscription = $1
                order by at limit $3)";
}

/// Marks that are forgotten in one statement: some milliseconds of it.
const FORGOTTEN_AT_ONCE: i64 = 1000;

/// What became of an event at a consumer.
enum Once {
    Effect,
    Known,
    /// Of its key something is parked, and it waits behind.
    Parked,
    Failed(Failure),
}

impl Executor {
    /// Brings an event to every consumer, whatever came before it. `Ok`: it had its effect, was known, or is parked.
    ///
    /// # Errors
    /// Where the database fails: the same is to come again. So it is where the future is dropped.
    pub(crate) async fn once(&self, event: &Envelope) -> Result<Turned, Error> {
        let consumers = self.consumers.iter().filter(|to| to.function(&event.name).is_some());
        let each = try_join_all(consumers.map(|to| self.once_to(to, event))).await?;
        Ok(each.into_iter().fold(Turned::default(), Turned::and))
    }

    async fn once_to(&self, to: &Named, event: &Envelope) -> Result<Turned, Error> {
        let Some(_slot) = self.slots.ask(event.tenant).slot().await else {
            return Ok(Turned { stopped: true, ..Turned::default() });
        };
        let once = match self.try_once(to, event).await? {
            Once::Failed(failure) => self.park_once(to, event, &failure).await?,
            once => once,
        };
        Ok(to.counted(match once {
            Once::Effect => Turned { effects: 1, ..Turned::default() },
            Once::Known => Turned { known: 1, ..Turned::default() },
            Once::Parked | Once::Failed(_) => Turned { parked: 1, ..Turned::default() },
        }))
    }

    /// The mark and the effect, in one transaction.
    async fn try_once(&self, to: &Named, event: &Envelope) -> Result<Once, Error> {
        let Some(mut tx) = self.mark(to, event).await? else { return Ok(Once::Known) };
        let key = (&self.subscription, to.name, &event.key);
        // Under the lock nobody takes the last one of the key out while this one goes behind it.
        if tx.one(&IS_PARKED, key).await? && self.lock(&mut tx, to, event.lane, event).await? {
            self.park_behind(&mut tx, to, &[event]).await?;
            tx.commit().await?;
            return Ok(Once::Parked);
        }
        let Some(function) = to.function(&event.name) else { return Ok(Once::Known) };
        if let Err(failed) = run::call(function, &mut tx, event, 1, self.limits.timeout).await {
            if failed.is_answered {
                tx.rollback().await;
            }
            return Ok(Once::Failed(failed.failure));
        }
        match tx.commit().await {
            Ok(()) => Ok(Once::Effect),
            Err(error) => Ok(Once::Failed(turn::at_commit(error)?)),
        }
    }

    /// The mark and its place among the parked, in one transaction.
    async fn park_once(&self, to: &Named, event: &Envelope, failure: &Failure) -> Result<Once, Error> {
        let Some(mut tx) = self.mark(to, event).await? else { return Ok(Once::Known) };
        match self.lock(&mut tx, to, event.lane, event).await? {
            false => self.park(&mut tx, to, event, failure).await?,
            true => self.park_behind(&mut tx, to, &[event]).await?,
        }
        tx.commit().await?;
        Ok(Once::Parked)
    }

    /// A transaction with the event's mark; `None` if it was there already.
    async fn mark(&self, to: &Named, event: &Envelope) -> Result<Option<TenantTx>, Error> {
        let params = (&self.subscription, to.name, event.id);
        let (tx, is_new) = self.db.tenant(&event.proof()).begin_with(&MARK, params).await?;
        if !is_new {
            tx.rollback().await;
            return Ok(None);
        }
        Ok(Some(tx))
    }
}

/// Forgets marks that are older than this, in seconds, some at a time. Returns whether there may be more.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn forget(db: &Db, subscription: &str, older: f64) -> Result<bool, Error> {
    let forgotten = db.system().execute(&FORGET, (subscription, older, FORGOTTEN_AT_ONCE)).await?;
    Ok(forgotten.cast_signed() >= FORGOTTEN_AT_ONCE)
}

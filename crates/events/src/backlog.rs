use shared_db::{Db, statements};

use crate::{Error, Parked, ParkedFilter, Subscriptions};

statements! {
    // The upper bound changes nothing but the plan: with both, the index is read, and not the whole log.
    pub(crate) const BACKLOG: Statement<(), (i64, i64, i64)> = "
        select (select coalesce(sum(
                       (select count(*) from shared_events.log
                         where log.lane = cursor.lane and log.xid >= pg_snapshot_xmax(tick.snap)
                           and log.xid < pg_snapshot_xmax(pg_current_snapshot()))
                     + (select count(*) from shared_events.log
                         where log.lane = cursor.lane and log.xid = any (array(select pg_snapshot_xip(tick.snap))))), 0)::int8
                  from shared_events.cursor
                  join shared_events.subscription on name = subscription and (ends is null or cursor.tick < ends)
                  join shared_events.tick on tick.tick = cursor.tick) as waiting,
               coalesce(sum(events) filter (where not is_dead), 0)::int8 as retrying,
               coalesce(sum(events) filter (where is_dead), 0)::int8 as parked
          from (select count(*) as events, bool_or(state = 'dead') as is_dead
                  from shared_events.parked where state <> 'sent'
                 group by tenant_id, subscription, consumer, key) as of_key";
}

/// How much is still to be done. See [`backlog`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Committed events that a subscription has yet to pass, counted once for each subscription; a batch counts whole until
    /// its last event is delivered. With those that failed and are to be tried again by themselves, and those that wait behind them.
    pub waiting: u64,
    /// Events that wait for an operator, and those that wait behind them, counted once for each consumer.
    pub parked: u64,
}

/// Counts what the subscriptions have yet to pass, and what is parked. Both are zero when every event that was committed
/// before the call had its effect. It reads an index entry for all that it counts.
///
/// # Errors
/// [`Error::Database`].
pub async fn backlog(db: &Db) -> Result<Backlog, Error> {
    let (waiting, retrying, parked) = db.system().one(&BACKLOG, ()).await?;
    Ok(Backlog { waiting: waiting.unsigned_abs() + retrying.unsigned_abs(), parked: parked.unsigned_abs() })
}

/// The parked events of all tenants and subscriptions, oldest first, at most `limit`: as [`Subscriptions::parked`] without a filter.
///
/// # Errors
/// [`Error::Database`].
pub async fn parked(db: &Db, limit: u32) -> Result<Vec<Parked>, Error> {
    Subscriptions::new(db).parked(&ParkedFilter::new(), limit).await
}

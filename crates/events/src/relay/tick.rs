//! Ticks cut the log: a batch is what the later of two ticks sees and the earlier did not.

use shared_db::{Db, statements};

use crate::Error;

statements! {
    // The next tick, and whether anything was committed behind the last one: a read alone, which draws no transaction id. Ticks
    // themselves can't tell, since each moves the snapshot of the next. The newest row is asked for by its order, because the
    // planner would read the whole log for one that it believes to be frequent, and when nothing is new there is none.
    pub(super) const LOOK: Statement<(i64,), (Option<i64>, bool)> = "
        select (select min(tick) from shared_events.tick where tick > $1),
               exists (select 1 from shared_events.tick
                        where tick.tick = $1 and pg_snapshot_xmax(tick.snap) <= (
                              select log.xid from shared_events.log order by log.xid desc limit 1))
            or exists (select 1 from shared_events.tick
                        cross join lateral pg_snapshot_xip(tick.snap) as open (xid)
                         join shared_events.log on log.xid = open.xid
                        where tick.tick = $1)";

    // The lock has a statement of its own: a snapshot taken in the same one would be older than the wait for the lock, and the
    // later tick would hold the older snapshot.
    const LOCK: Statement<(), bool> = "
        select set_config('synchronous_commit', 'on', true) = 'on'
               and current_setting('transaction_isolation') = 'read committed'
               and not pg_is_in_recovery()
          from shared_events.tick_lock for update";
    const CUT: Statement<(), ()> = "
        insert into shared_events.tick (snap) values (pg_current_snapshot())";

    // Tick 0 stays, for subscriptions to come, and so does the cursor of the slowest.
    const PRUNE: Statement<(), ()> = "
        delete from shared_events.tick
         where tick > 0 and tick < (select min(tick) from shared_events.subscription)";
}

/// Ticks are pruned at every hundredth: rows enough for one statement, and few enough that the table stays a handful of pages.
const PRUNED_EVERY: i64 = 100;

/// The tick after this one, and whether there are events behind it that no tick has cut off yet.
pub(crate) async fn look(db: &Db, tick: i64) -> Result<(Option<i64>, bool), Error> {
    Ok(db.system().one(&LOOK, (tick,)).await?)
}

/// Makes a tick, in a short transaction of its own, flushed: what it sees may have been committed asynchronously, and its own
/// flush covers that as well. Only then may anything of it be delivered.
pub(crate) async fn cut(db: &Db) -> Result<(), Error> {
    db.system()
        .tx(async |tx| {
            if !tx.one(&LOCK, ()).await? {
                return Err(Error::Unsafe(
                    "ticks need a primary, READ COMMITTED and synchronous_commit; the session has been set otherwise".to_owned(),
                ));
            }
            tx.execute(&CUT, ()).await?;
            Ok(())
        })
        .await
}

/// Forgets the ticks that every subscription has passed.
pub(crate) async fn prune(db: &Db, passed: i64) -> Result<(), Error> {
    if passed % PRUNED_EVERY == 0 {
        db.system().execute(&PRUNE, ()).await?;
    }
    Ok(())
}

//! Ticks cut the log ([`shared_db::cut`]): a batch is what the later of two ticks sees and the earlier did not.

use shared_db::{Db, cut, cut_behind, cut_lock, statements};

use crate::Error;

statements! {
    // The next tick, and whether anything was committed behind the last one: a read alone, which draws no transaction id. Ticks
    // themselves can't tell, since each moves the snapshot of the next.
    pub(super) const LOOK: Statement<(i64,), (Option<i64>, bool)> = concat!("
        with cut as materialized (select snap as seen from shared_events.tick where tick = $1)
        select (select min(tick) from shared_events.tick where tick > $1), ", cut_behind!("shared_events.log"));

    const LOCK: Statement<(), bool> = cut_lock!("shared_events.tick_lock");
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
            cut::lock(tx, &LOCK).await.map_err(Error::uncut)?;
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

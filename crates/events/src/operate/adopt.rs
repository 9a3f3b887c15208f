//! A log that goes on at another server.

use shared_db::statements;

use super::Subscriptions;
use crate::Error;
use crate::relay::tick;

statements! {
    // The highest transaction id that is spoken of, if this server has yet to reach it. The newest row of a lane is found by the index.
    const AHEAD: Statement<(), Option<i64>> = "
        select max(xid::text::bigint) as xid
          from (select newest.xid from generate_series(0, 15) as own (lane) cross join lateral (
                       select log.xid from shared_events.log where log.lane = own.lane order by log.xid desc limit 1) as newest
                union all
                select pg_snapshot_xmax(snap) from shared_events.tick) as known
         where xid > pg_snapshot_xmax(pg_current_snapshot())";
    const RESTAMP: Statement<(), i64> = "select shared_events.restamp()";
    const ADOPT: Statement<(), ()> = "
        update shared_events.tick_lock set server = (select system_identifier from pg_control_system())";
}

impl Subscriptions {
    /// Lets this server go on with a log whose transaction ids another one drew: after an upgrade by `pg_upgrade`, which carries the ids over,
    /// or after a dump was restored and this server's transaction counter was raised beyond them. Until then no relay starts, since
    /// an event published here would have a lower id than those that subscriptions have passed, and be taken for passed, too. What was
    /// published here meanwhile is delivered with the rest. Returns how many such events there were.
    ///
    /// A copy that the server itself made (a standby, a base backup, a recovery to a point in time) is no other server.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the counter is too low, with what raises it; [`Error::Database`]. If the future is dropped, it was done
    /// whole or not at all.
    pub async fn adopt(&self) -> Result<u64, Error> {
        self.db
            .system()
            .tx(async |tx| {
                tick::lock(tx).await?;
                if let Some(xid) = tx.one(&AHEAD, ()).await? {
                    let epoch = (xid >> 32) + 1;
                    return Err(Error::conflict(
                        "adopting the log",
                        format!(
                            "it has transaction ids that this server is yet to come to; stop the server, run `pg_resetwal --epoch={epoch}` on its directory, and start it again"
                        ),
                    ));
                }
                let restamped = tx.one(&RESTAMP, ()).await?;
                tx.execute(&ADOPT, ()).await?;
                Ok(restamped.unsigned_abs())
            })
            .await
    }
}

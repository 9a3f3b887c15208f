//! Reading the batch between two ticks, a page at a time.

use shared_db::{Db, cut_between, statements};

use crate::Error;
use crate::received::Stored;

// `pos` was drawn under whatever lock orders the writers of a key, so it orders the events of a key within a batch; across
// batches what a snapshot sees does. Neither `pos` nor `xid` alone orders the log.
statements! {
    pub(super) const FIRST: Statement<(i64, i64, i64), Stored> = concat!("
        with cut as materialized (
            select earlier.snap as seen, later.snap as sees
              from shared_events.tick as earlier, shared_events.tick as later
             where earlier.tick = $1 and later.tick = $2),
        page as (", cut_between!("shared_events.log"), " order by pos limit $3)
        select log.pos, log.id, log.tenant_id, log.name, log.version, log.key, log.payload::text as payload,
               log.context::text as context, log.at, extract(epoch from clock_timestamp() - log.at)::float8 as age
          from page join shared_events.log on log.pos = page.pos
         order by log.pos");

    // The rest of a large batch, along the positions: the sort over the whole batch is not repeated for each page.
    pub(super) const NEXT: Statement<(i64, i64, i64, i64), Stored> = "
        select log.pos, log.id, log.tenant_id, log.name, log.version, log.key, log.payload::text as payload,
               log.context::text as context, log.at, extract(epoch from clock_timestamp() - log.at)::float8 as age
          from shared_events.log
         where log.pos > $3
           and pg_visible_in_snapshot(log.xid, (select snap from shared_events.tick where tick = $2))
           and not pg_visible_in_snapshot(log.xid, (select snap from shared_events.tick where tick = $1))
         order by log.pos limit $4";
}

/// The next events of the batch between the cursor's tick and `next`, in the order of their positions.
pub(crate) async fn page(db: &Db, cursor: (i64, i64), next: i64, size: usize) -> Result<Vec<Stored>, Error> {
    let (tick, pos) = cursor;
    let limit = i64::try_from(size).unwrap_or(i64::MAX);
    // Before tick 0 there is nothing: the batch behind it is the whole log, and is not sorted for its first page.
    let page = if pos == 0 && tick > 0 {
        db.system().all(&FIRST, (tick, next, limit)).await?
    } else {
        db.system().all(&NEXT, (tick, next, pos, limit)).await?
    };
    Ok(page)
}

//! Reading what lies between two ticks: all lanes together while it is little, and a lane alone in pages when it is much.

use std::collections::VecDeque;

use shared_db::{Db, statements};
use time::OffsetDateTime;

use crate::log::{Stored, stored};
use crate::{Error, Lane};

/// The keys of the rows of the lanes `$3` between the ticks `$1` and `$2`, as `lane`, `xid`, `pos` and `at`, and with them what was
/// parked for the subscription `$4` and stamped with the later tick.
///
/// `pos` was drawn under whatever lock orders the writers of a key, so it orders the events of a key within a batch; across batches
/// what a snapshot sees does. Neither `pos` nor `xid` alone orders the log. Each leg reads the index: what began after the earlier
/// cut, and what was open then.
macro_rules! keys {
    () => {
        "cut as materialized (
            select earlier.snap as seen, later.snap as sees
              from shared_events.tick as earlier, shared_events.tick as later
             where earlier.tick = $1 and later.tick = $2),
        keys as materialized (
            select log.lane, log.xid, log.pos, log.at
              from cut cross join unnest($3::int2[]) as own (lane)
              join shared_events.log on log.lane = own.lane and log.xid >= pg_snapshot_xmax(cut.seen)
                                    and log.xid < pg_snapshot_xmax(cut.sees)
             where pg_visible_in_snapshot(log.xid, cut.sees)
             union all
            select log.lane, log.xid, log.pos, log.at
              from cut cross join unnest($3::int2[]) as own (lane) cross join lateral pg_snapshot_xip(cut.seen) as open (xid)
              join shared_events.log on log.lane = own.lane and log.xid = open.xid
             where pg_visible_in_snapshot(log.xid, cut.sees)
             union all
            select log.lane, log.xid, log.pos, log.at
              from shared_events.parked
              join shared_events.log on log.lane = parked.lane and log.xid = parked.xid and log.pos = parked.pos
             where parked.subscription = $4 and parked.tick = $2 and parked.lane = any ($3::int2[])"
    };
}

/// The columns of `stored!`, from a sub-select named `log`.
macro_rules! columns {
    () => {
        "log.pos, log.xid, log.lane, log.id, log.tenant_id, log.name, log.version, log.key, log.payload, log.context, log.at, log.age"
    };
}

statements! {
    // In no order, so that it ends early where there are too many; a row is found in its day by `at`.
    pub(super) const BATCH: Statement<(i64, i64, Vec<i16>, String, i64), Stored> = concat!("
        with ", keys!(), " limit $5)
        select ", columns!(), "
          from keys cross join lateral (
               select ", stored!(), " from shared_events.log
                where log.lane = keys.lane and log.xid = keys.xid and log.pos = keys.pos and log.at = keys.at offset 0) as log
         order by log.pos");
    // The order of a large batch, as far as it fits into memory.
    pub(super) const ORDER: Statement<(i64, i64, Vec<i16>, String, i64, i64), (i64, i64, OffsetDateTime)> = concat!("
        with ", keys!(), ")
        select pos, xid::text::bigint, at from keys where pos > $5 order by pos limit $6");
    pub(super) const ROWS: Statement<(i16, Vec<i64>, Vec<i64>, Vec<OffsetDateTime>), Stored> = concat!("
        select ", columns!(), "
          from unnest($2::int8[], $3::int8[], $4::timestamptz[]) as key (pos, xid, at) cross join lateral (
               select ", stored!(), " from shared_events.log
                where log.lane = $1 and log.xid = key.xid::text::xid8 and log.pos = key.pos and log.at = key.at offset 0) as log
         order by log.pos");
}

/// Keys of a large batch in memory: 1.2 MB a lane. The index of the batch is read once for so many.
const KEYS: usize = 50_000;

/// What the lanes have between two ticks, in the order of the positions; `None` if it is more than `most`.
pub(super) async fn batch(
    db: &Db,
    subscription: &str,
    lanes: &[Lane],
    (passed, to): (i64, i64),
    most: usize,
) -> Result<Option<Vec<Stored>>, Error> {
    let lanes: Vec<i16> = lanes.iter().map(|lane| lane.column()).collect();
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let rows = db.system().all(&BATCH, (passed, to, lanes, subscription, limit)).await?;
    Ok((rows.len() <= most).then_some(rows))
}

/// A batch of one lane that is read page by page: the order of what comes next.
#[derive(Default)]
pub(super) struct Large {
    keys: VecDeque<(i64, i64, OffsetDateTime)>,
    /// Behind these keys there are no more.
    is_last: bool,
}

impl Large {
    /// The next page, and whether the batch ends with it.
    pub(super) async fn page(
        &mut self,
        db: &Db,
        subscription: &str,
        lane: Lane,
        (passed, to, pos): (i64, i64, i64),
        most: usize,
    ) -> Result<(Vec<Stored>, bool), Error> {
        if self.keys.is_empty() {
            let limit = i64::try_from(KEYS).unwrap_or(i64::MAX);
            let order = (passed, to, vec![lane.column()], subscription, pos, limit);
            self.keys = db.system().all(&ORDER, order).await?.into();
            self.is_last = self.keys.len() < KEYS;
        }
        let page: Vec<_> = self.keys.drain(..most.min(self.keys.len())).collect();
        let (mut positions, mut xids, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for (pos, xid, at) in page {
            positions.push(pos);
            xids.push(xid);
            times.push(at);
        }
        let rows = match positions.is_empty() {
            true => Vec::new(),
            false => db.system().all(&ROWS, (lane.column(), positions, xids, times)).await?,
        };
        Ok((rows, self.keys.is_empty() && self.is_last))
    }
}

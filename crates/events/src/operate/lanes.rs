//! How far each lane of a subscription is, and who has it.

use std::fmt;
use std::time::Duration;

use shared_db::{Db, Row, statements};
use uuid::Uuid;

use crate::{Error, Lane, Place};

/// Events of a lane that are counted at most: a count reads an index entry for each, and whoever has ten thousand behind in one lane
/// needs no better figure.
const COUNTED: i64 = 10_000;

/// The events of the lane of the cursor `c` that it has not passed, as `pos` and `at`, up to the end of the replay `s` if it is one:
/// the legs of a batch, from the cursor to what is committed now. `$2` how many at most.
macro_rules! unread {
    () => {
        "select log.at from pg_snapshot_xip(base.snap) as open (xid)
           join shared_events.log on log.lane = c.lane and log.xid = open.xid
          where not (log.pos <= c.pos and pg_visible_in_snapshot(log.xid, batch.snap))
            and (s.ends is null or pg_visible_in_snapshot(log.xid, batch.ends))
         union all
         (select log.at from shared_events.log
           where log.lane = c.lane and log.xid >= pg_snapshot_xmax(base.snap) and log.xid < pg_snapshot_xmax(pg_current_snapshot())
             and not (log.pos <= c.pos and pg_visible_in_snapshot(log.xid, batch.snap))
             and (s.ends is null or pg_visible_in_snapshot(log.xid, batch.ends))
           order by log.xid limit $2)"
    };
}

statements! {
    // Of one subscription, or of all. What a broker has for an intake is known as its readers saw it last.
    const LANES: Statement<(Option<String>, i64), LaneRow> = concat!("
        select c.subscription, c.lane, c.tick, c.pos, null::text as mark, c.owner, r.host, r.pid,
               coalesce(c.expires > clock_timestamp(), false) as held,
               extract(epoch from clock_timestamp() - c.moved)::float8 as still, u.waiting,
               extract(epoch from clock_timestamp() - u.oldest)::float8 as oldest
          from shared_events.cursor as c
          join shared_events.subscription as s on s.name = c.subscription
          join shared_events.tick as base on base.tick = c.tick
          left join shared_events.relay as r on r.subscription = c.subscription and r.owner = c.owner
         cross join lateral (
               select (select next.snap from shared_events.tick as next where next.tick > c.tick order by next.tick limit 1) as snap,
                      (select last.snap from shared_events.tick as last where last.tick = s.ends) as ends) as batch
         cross join lateral (select count(*) as waiting, min(unread.at) as oldest from (", unread!(), ") as unread) as u
         where $1::text is null or c.subscription = $1
         union all
        select i.subscription, i.lane, null, null, i.mark, i.owner, r.host, r.pid, coalesce(i.expires > clock_timestamp(), false),
               extract(epoch from clock_timestamp() - i.moved)::float8, i.waiting,
               extract(epoch from clock_timestamp() - i.oldest)::float8
          from shared_events.intake as i
          left join shared_events.relay as r on r.subscription = i.subscription and r.owner = i.owner
         where $1::text is null or i.subscription = $1
         order by 1, 2");
}

/// A lane of a subscription at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Whose it is.
    pub subscription: String,
    /// Which one.
    pub lane: Lane,
    /// How far it was read: past everything up to this tick, and of the next one up to this position. An intake has none.
    pub place: Option<Place>,
    /// The broker's own word for what an intake has done last; `None` before the first, and of other subscriptions.
    pub mark: Option<String>,
    /// Committed events that it has not passed; counted to some ten thousand. Of a replay, before its filter. Of an intake, what its readers saw
    /// at the broker last, 15 s ago or less; counted to a thousand.
    pub waiting: u64,
    /// How old the oldest of them is, by the server's clock.
    pub oldest: Option<Duration>,
    /// For how long its cursor has stood where it stands.
    pub still: Duration,
    /// The relay that has it.
    pub holder: Option<Holder>,
}

/// A relay or an intake that has a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// What it calls itself.
    pub relay: Uuid,
    /// Where it runs; `None` if it says so no more.
    pub host: Option<String>,
    /// Its process there.
    pub pid: Option<u32>,
}

#[derive(Row)]
struct LaneRow {
    subscription: String,
    lane: i16,
    tick: Option<i64>,
    pos: Option<i64>,
    mark: Option<String>,
    owner: Option<Uuid>,
    host: Option<String>,
    pid: Option<i32>,
    held: bool,
    still: Option<f64>,
    waiting: i64,
    oldest: Option<f64>,
}

/// The lanes of a subscription, or of all, in their order.
pub(crate) async fn lanes(db: &Db, subscription: Option<&str>) -> Result<Vec<LaneStatus>, Error> {
    let rows: Vec<LaneRow> = db.system().all(&LANES, (subscription, COUNTED)).await?;
    Ok(rows.into_iter().filter_map(LaneStatus::read).collect())
}

impl LaneStatus {
    fn read(row: LaneRow) -> Option<Self> {
        let owner = row.owner.filter(|_| row.held);
        Some(Self {
            lane: Lane::new(row.lane.try_into().ok()?)?,
            place: row.tick.zip(row.pos).map(|(tick, pos)| Place::new(tick, pos)),
            mark: row.mark,
            waiting: row.waiting.unsigned_abs(),
            oldest: row.oldest.map(seconds),
            still: row.still.map_or(Duration::MAX, seconds),
            holder: owner.map(|relay| Holder { relay, host: row.host, pid: row.pid.map(i32::unsigned_abs) }),
            subscription: row.subscription,
        })
    }
}

/// A time of the server, which may have set its clock back.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.pid) {
            (Some(host), Some(pid)) => write!(f, "in process {pid} on {host}"),
            _ => self.relay.fmt(f),
        }
    }
}

//! Reading what lies between ticks: all lanes together while it is little, and a window of a lane when it is much.

use std::collections::{HashMap, VecDeque};

use shared_core::TenantId;
use shared_db::{Db, Row, statements};
use time::OffsetDateTime;

use super::machine::Cursor;
use super::ticks::{self, Cut};
use crate::log::{Stored, lane, stored};
use crate::metrics::{self, METRICS};
use crate::window::Seen;
use crate::{Envelope, Error, Lane, Place};

/// The snapshots of the ticks `$1` and `$2`.
macro_rules! cut {
    () => {
        "cut as materialized (
            select earlier.snap as seen, later.snap as sees
              from shared_events.tick as earlier, shared_events.tick as later
             where earlier.tick = $1 and later.tick = $2)"
    };
}

/// The event of a row of `parked`, found by its key.
macro_rules! parked {
    () => {
        "select pos, xid, lane, id, tenant_id, name, version, key, payload, context, at
           from shared_events.log where log.lane = parked.lane and log.xid = parked.xid and log.pos = parked.pos offset 0"
    };
}

/// These columns of what the lanes `$3` have between the ticks `$1` and `$2`, and of what was parked for the subscription `$4` and
/// stamped with one of them; in no order.
///
/// `pos` was drawn under whatever lock orders the writers of a key, so it orders the events of a key within a batch; across batches
/// what a snapshot sees does. Neither `pos` nor `xid` alone orders the log. Each leg reads the index: what began after the earlier
/// cut, and what was open then.
///
/// What the index is searched by are values, and no columns of a join: a plan that was made while the log was empty
/// would join by reading the whole of it, and is kept for as long as nothing is analysed.
macro_rules! between {
    ($($columns:tt)*) => {
        concat!(
            "select ", $($columns)*, ", null::bigint as stamp
               from shared_events.log
              where log.lane = any ($3) and log.xid >= (select pg_snapshot_xmax(seen) from cut)
                and log.xid < (select pg_snapshot_xmax(sees) from cut)
                and pg_visible_in_snapshot(log.xid, (select sees from cut))
              union all
             select ", $($columns)*, ", null
               from shared_events.log
              where log.lane = any ($3) and log.xid = any (array(select pg_snapshot_xip(seen) from cut))
                and pg_visible_in_snapshot(log.xid, (select sees from cut))
              union all
             select ", $($columns)*, ", parked.tick
               from shared_events.parked cross join lateral (", parked!(), ") as log
              where parked.subscription = $4 and parked.tick > $1 and parked.tick <= $2 and parked.lane = any ($3)"
        )
    };
}

/// The columns of `stored!` and `stamp`, of a sub-select.
macro_rules! columns {
    () => {
        "pos, xid, lane, id, tenant_id, name, version, key, payload, context, at, read, stamp"
    };
}

/// The first of these rows, of so many bytes of payloads: more than one only as far as they fit.
macro_rules! as_far_as {
    ($bytes:literal, $order:literal, $($rows:tt)*) => {
        concat!(
            "select ", columns!(), "
               from (select ", columns!(), ", sum(octet_length(payload)) over (", $order, " rows unbounded preceding) as sum
                       from (", $($rows)*, " offset 0) as log) as log
              where sum - octet_length(payload) < ", $bytes
        )
    };
}

statements! {
    pub(super) const COUNT: Statement<(i64, i64, Vec<i16>, String, i64, i64), i64> = concat!("
        with ", cut!(), "
        select count(*) from (select from (", between!("log.pos"), ") as key where pos > $6 limit $5) as key");
    const HAS: Statement<(i64, i64, Vec<i16>, String, i64), bool> = concat!("
        with ", cut!(), "
        select exists (select from (", between!("log.pos"), ") as key where pos = $5)");
    // The whole lane's index is read.
    const HAD: Statement<(i64, i16, i64), bool> = "
        select exists (select from shared_events.log
                        where log.lane = $2 and log.pos = $3
                          and pg_visible_in_snapshot(log.xid, (select snap from shared_events.tick where tick = $1)))";
    pub(super) const BATCH: Statement<(i64, i64, Vec<i16>, String, i64), Stored> = concat!("
        with ", cut!(), " ", as_far_as!("$5", "", between!(stored!())));
    // A large batch takes longer than other statements may.
    const UNBOUND: Statement<(String,), String> = "select set_config('statement_timeout', $1, true)";
    // Where a window ends, and which transactions and times it has: of those that were open side by side. The first `$7` events alone.
    pub(super) const WINDOWS: Statement<(i64, i64, Vec<i16>, String, i64, i64, i64), Ends> = concat!("
        with ", cut!(), ",
        keys as (
            select pos, xid, at, stamp, (row_number() over (order by pos) - 1) / $6 as nth
              from (select xid, pos, at, stamp from (", between!("log.xid, log.pos, log.at"), ") as key
                     where pos > $5 order by pos limit $7) as key)
        select count(*) as count, max(pos) as until,
               coalesce(min(xid) filter (where stamp is null), '1')::text::bigint as first,
               coalesce(max(xid) filter (where stamp is null), '0')::text::bigint as last,
               min(at) filter (where stamp is null) as since, max(at) filter (where stamp is null) as at
          from keys group by nth order by nth");
    pub(super) const WINDOW: Statement<Bounded, Stored> = concat!("
        with ", cut!(), " ", as_far_as!("$11", "order by pos", "
            select ", stored!(), ", null::bigint as stamp
              from cut join shared_events.log on log.lane = $3 and log.xid between $7::int8::text::xid8 and $8::int8::text::xid8
                                             and log.pos > $5 and log.pos <= $6 and log.at between $9 and $10
             where pg_visible_in_snapshot(log.xid, cut.sees) and not pg_visible_in_snapshot(log.xid, cut.seen)
             union all
            select ", stored!(), ", parked.tick
              from shared_events.parked cross join lateral (", parked!(), ") as log
             where parked.subscription = $4 and parked.tick = $2 and parked.lane = $3 and parked.pos > $5 and parked.pos <= $6"),
        " order by pos");
    // The same of events that are to be read later.
    pub(super) const KEYS: Statement<(i64, i64, Vec<i16>, String), Key> = concat!("
        with ", cut!(), "
        select lane, pos, xid::text::bigint as xid, tenant_id, at
          from (", between!("log.lane, log.pos, log.xid, log.tenant_id, log.at"), ") as key");
    pub(super) const WINDOW_KEYS: Statement<Within, Key> = concat!("
        with ", cut!(), "
        select log.lane, log.pos, log.xid::text::bigint as xid, log.tenant_id, log.at
          from cut join shared_events.log on log.lane = $3 and log.xid between $6::int8::text::xid8 and $7::int8::text::xid8
                                         and log.pos > $4 and log.pos <= $5 and log.at between $8 and $9
         where pg_visible_in_snapshot(log.xid, cut.sees) and not pg_visible_in_snapshot(log.xid, cut.seen)
         order by log.pos");
    pub(super) const EVENTS: Statement<Keyed, Stored> = as_far_as!("$6", "order by nth", "
        select ", stored!(), ", null::bigint as stamp, key.nth
          from unnest($2::int8[], $3::int8[]) with ordinality as key (xid, pos, nth) cross join lateral (
               select pos, xid, lane, id, tenant_id, name, version, key, payload, context, at
                 from shared_events.log where log.lane = $1 and log.xid = key.xid::text::xid8 and log.pos = key.pos
                                                 and log.at between $4 and $5 offset 0) as log");
    // Whether nothing of these lanes is parked. What is, is parked by whoever owns the lane, and by nobody else.
    const IS_CLEAR: Statement<(String, Vec<i16>), bool> = "
        select not exists (select from shared_events.parked where subscription = $1 and lane = any ($2))";
}

/// What [`WINDOW`] is given.
type Bounded =
    (i64, i64, i16, String, i64, i64, i64, i64, Option<OffsetDateTime>, Option<OffsetDateTime>, i64);

/// What [`WINDOW_KEYS`] is given.
type Within = (i64, i64, i16, i64, i64, i64, i64, Option<OffsetDateTime>, Option<OffsetDateTime>);

/// What [`EVENTS`] is given.
type Keyed = (i16, Vec<i64>, Vec<i64>, OffsetDateTime, OffsetDateTime, i64);

/// An event's lane and position, its transaction, whose it is, and when it was written, by which its day is known.
type Key = (i16, i64, i64, TenantId, OffsetDateTime);

/// Bytes of payloads that are read at once, over all lanes: half a mebibyte for each, so that pages of 1 KiB an event are full. What a
/// relay holds is some times as much.
pub(super) const BYTES: usize = 8 * 1024 * 1024;

/// Where a window of a large batch ends, and what it has.
#[derive(Clone, Debug, Row)]
pub(super) struct Ends {
    count: i64,
    until: i64,
    first: i64,
    last: i64,
    since: Option<OffsetDateTime>,
    at: Option<OffsetDateTime>,
}

/// The log, as a subscription reads it.
#[derive(Clone, Copy)]
pub(super) struct Log<'a> {
    pub(super) db: &'a Db,
    pub(super) subscription: &'a str,
}

impl Log<'_> {
    /// How many events the lanes have between two ticks, behind this position; at most so many.
    pub(super) async fn count(
        self,
        lanes: &[Lane],
        (passed, to, pos): (i64, i64, i64),
        most: usize,
    ) -> Result<usize, Error> {
        let between = (passed, to, columns(lanes), self.subscription, number(most), pos);
        let count = self.db.system().one(&COUNT, between).await?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Whether a lane has an event at this place, whose batch begins behind that tick.
    pub(super) async fn has(self, lane: Lane, before: i64, place: Place) -> Result<bool, Error> {
        let between = (before, place.tick, columns(&[lane]), self.subscription, place.pos);
        Ok(self.db.system().one(&HAS, between).await?)
    }

    /// Whether it may be one that came back there from an earlier batch: that was said by a parked row, which went with its subscription.
    pub(super) async fn had(self, lane: Lane, place: Place) -> Result<bool, Error> {
        let door = self.db.system();
        let had = door.tx(async |tx| {
            tx.one(&UNBOUND, (WITHIN,)).await?;
            tx.one(&HAD, (place.tick, lane.column(), place.pos)).await
        });
        Ok(had.await?)
    }

    /// What the lanes have between a tick and the last of these, in the order of the places; `None` if it has more bytes.
    pub(super) async fn batch(
        self,
        lanes: &[Lane],
        passed: i64,
        cuts: &[Cut],
        bytes: usize,
    ) -> Result<Option<Vec<Envelope>>, Error> {
        let Some(to) = cuts.last() else { return Ok(Some(Vec::new())) };
        let between = (passed, to.tick, columns(lanes), self.subscription, number(bytes));
        let rows = self.db.system().all(&BATCH, between).await?;
        let read: usize = rows.iter().map(Stored::bytes).sum();
        Ok((read < bytes).then(|| placed(self, rows, cuts)))
    }

    /// The same, of events that are read later; the log must have nothing for a sink among them.
    pub(super) async fn keys(self, lanes: &[Lane], passed: i64, cuts: &[Cut]) -> Result<Vec<Seen>, Error> {
        let Some(to) = cuts.last() else { return Ok(Vec::new()) };
        let between = (passed, to.tick, columns(lanes), self.subscription);
        Ok(seen(self.db.system().all(&KEYS, between).await?, cuts))
    }

    /// The first of these events of a lane, as far as they have so many bytes, and how many of them that were. One that is there no more was
    /// taken away by an operator: that is said aloud, since it passes without an effect.
    pub(super) async fn events(
        self,
        lane: Lane,
        of: &[Seen],
        bytes: usize,
    ) -> Result<(Vec<Envelope>, usize), Error> {
        let ats = || of.iter().map(|seen| seen.at);
        let (Some(since), Some(until)) = (ats().min(), ats().max()) else { return Ok((Vec::new(), 0)) };
        let (xids, positions): (Vec<i64>, Vec<i64>) =
            of.iter().map(|seen| (seen.xid, seen.place.pos)).unzip();
        let keys = (lane.column(), xids, positions, since, until, number(bytes));
        let rows = self.db.system().all(&EVENTS, keys).await?;
        let ticks: HashMap<i64, i64> = of.iter().map(|seen| (seen.place.pos, seen.place.tick)).collect();
        let of_this = metrics::subscription(self.subscription);
        let place = |row: Stored| {
            METRICS.lag.record(row.age(), &of_this);
            let tick = ticks.get(&row.pos).copied().unwrap_or_default();
            row.at(tick)
        };
        let mut events: Vec<Envelope> = rows.into_iter().map(place).collect();
        events.sort_unstable_by_key(|event| event.place);
        let last = events.last().map(|event| event.place);
        let count = last.map_or(of.len(), |last| of.partition_point(|seen| seen.place <= last));
        if events.len() < count {
            let gone = count - events.len();
            METRICS.gone.add(gone as u64, &[]);
            tracing::error!(subscription = self.subscription, %lane, gone, "events were taken out of the log before they were delivered");
        }
        Ok((events, count))
    }

    /// The windows of what a lane has behind the cursor in the batch of this tick, of so many events each. It costs one look through the
    /// index for each million events.
    pub(super) async fn windows(
        self,
        lane: Lane,
        cursor: Cursor,
        cut: Cut,
        most: usize,
    ) -> Result<Windows, Error> {
        let (Cursor { passed, pos }, most) = (cursor, number(most.max(1)));
        let mut windows = Windows { lane, passed, cut, pos, most, ends: VecDeque::new(), is_last: false };
        windows.look(self).await?;
        Ok(windows)
    }

    /// Whether nothing of these lanes is parked.
    pub(super) async fn is_clear(self, lanes: &[Lane]) -> Result<bool, Error> {
        Ok(self.db.system().one(&IS_CLEAR, (self.subscription, columns(lanes))).await?)
    }
}

/// What a lane has of one batch, in windows: ranges of positions, and of the transactions that wrote there.
pub(super) struct Windows {
    lane: Lane,
    passed: i64,
    cut: Cut,
    /// What lies before is read.
    pos: i64,
    /// Events of a window.
    most: i64,
    ends: VecDeque<Ends>,
    /// Behind these there are no more.
    is_last: bool,
}

/// Windows that are known at once: 100 KiB a lane, and of 250 events each a million events.
const WINDOWS_MOST: i64 = 4096;

/// How long a look through the index of a whole lane may take, in milliseconds.
const WITHIN: &str = "600000";

impl Windows {
    /// Looks where the next windows end.
    async fn look(&mut self, log: Log<'_>) -> Result<(), Error> {
        let events = self.most.saturating_mul(WINDOWS_MOST);
        let lanes = columns(&[self.lane]);
        let between = (self.passed, self.cut.tick, lanes, log.subscription, self.pos, self.most, events);
        let door = log.db.system();
        let ends = door.tx(async |tx| {
            tx.one(&UNBOUND, (WITHIN,)).await?;
            tx.all(&WINDOWS, between).await
        });
        self.ends = ends.await?.into();
        self.is_last = self.ends.iter().map(|end| end.count).sum::<i64>() < events;
        Ok(())
    }

    /// The next events, of so many bytes, and where the lane is behind them: behind the whole batch where there are no more.
    pub(super) async fn next(
        &mut self,
        log: Log<'_>,
        bytes: usize,
    ) -> Result<(Vec<Envelope>, Cursor), Error> {
        let (lane, to) = (self.lane.column(), self.cut.tick);
        if self.ends.is_empty() && !self.is_last {
            self.look(log).await?;
        }
        let Some(end) = self.ends.front_mut() else { return Ok((Vec::new(), Cursor { passed: to, pos: 0 })) };
        let (from, until, bytes) = (self.pos, end.until, number(bytes.max(1)));
        let within = (
            self.passed,
            to,
            lane,
            log.subscription,
            from,
            until,
            end.first,
            end.last,
            end.since,
            end.at,
            bytes,
        );
        let rows = log.db.system().all(&WINDOW, within).await?;
        match rows.last().filter(|_| number(rows.len()) < end.count) {
            // The rest did not fit.
            Some(last) => (self.pos, end.count) = (last.pos, end.count - number(rows.len())),
            None => {
                self.pos = until;
                self.ends.pop_front();
            }
        }
        Ok((placed(log, rows, std::slice::from_ref(&self.cut)), self.reached()))
    }

    /// The same, of events that are read later.
    pub(super) async fn keys(&mut self, log: Log<'_>) -> Result<(Vec<Seen>, Cursor), Error> {
        let (lane, to) = (self.lane.column(), self.cut.tick);
        if self.ends.is_empty() && !self.is_last {
            self.look(log).await?;
        }
        let Some(end) = self.ends.pop_front() else { return Ok((Vec::new(), Cursor { passed: to, pos: 0 })) };
        let within = (self.passed, to, lane, self.pos, end.until, end.first, end.last, end.since, end.at);
        let rows = log.db.system().all(&WINDOW_KEYS, within).await?;
        self.pos = end.until;
        Ok((seen(rows, std::slice::from_ref(&self.cut)), self.reached()))
    }

    /// Where the lane is behind what was read.
    fn reached(&self) -> Cursor {
        match self.ends.is_empty() && self.is_last {
            true => Cursor { passed: self.cut.tick, pos: 0 },
            false => Cursor { passed: self.passed, pos: self.pos },
        }
    }
}

/// The events at their places, in the order of those.
fn placed(log: Log<'_>, rows: Vec<Stored>, cuts: &[Cut]) -> Vec<Envelope> {
    let of_this = metrics::subscription(log.subscription);
    let place = |row: Stored| {
        METRICS.lag.record(row.age(), &of_this);
        // It lies between them, so one of them has cut it off.
        let tick = row.stamp.or_else(|| ticks::of(cuts, row.xid)).or(cuts.last().map(|cut| cut.tick));
        row.at(tick.unwrap_or_default())
    };
    let mut events: Vec<Envelope> = rows.into_iter().map(place).collect();
    events.sort_unstable_by_key(|event| event.place);
    events
}

/// Events that are read later, at their places and in the order of those.
fn seen(rows: Vec<Key>, cuts: &[Cut]) -> Vec<Seen> {
    let place = |(of, pos, xid, tenant, at): Key| {
        let tick = ticks::of(cuts, xid).or(cuts.last().map(|cut| cut.tick)).unwrap_or_default();
        Seen { lane: lane(of), tenant, place: Place::new(tick, pos), xid, at }
    };
    let mut keys: Vec<Seen> = rows.into_iter().map(place).collect();
    keys.sort_unstable_by_key(|seen| seen.place);
    keys
}

fn columns(lanes: &[Lane]) -> Vec<i16> {
    lanes.iter().map(|lane| lane.column()).collect()
}

fn number(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

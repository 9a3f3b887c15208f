//! Ticks cut the log ([`shared_db::cut`]): a batch is what the later of two ticks sees and the earlier did not.

#[cfg(test)]
mod tests;

use std::time::Duration;

use shared_db::{Db, Row, Tx, cut, cut_lock, statements};

use super::machine::{Cursor, Taken};
use super::read::Log;
use super::ticks::{self, Cut};
use crate::{Error, Lane, Place, delayed};

statements! {
    // Whether that tick is there, and the newest that this relay has seen; the next ones, and the newest; whether anything was committed behind the last
    // one, or is due to be stamped; and in how many seconds the next of the parked is due, and of the delayed. A read alone, which draws no transaction id.
    // Ticks themselves can't tell, since each moves the snapshot of the next. The newest row of a lane is asked for by its order: the planner would read the whole lane for one that it
    // believes to be frequent, and when nothing is new there is none.
    pub(super) const LOOK: Statement<(i64, String, Vec<i16>, i64, i64), Look> = "
        with cut as materialized (select snap as seen from shared_events.tick where tick = $1),
        next as materialized (select tick, snap::text as snap from shared_events.tick where tick > $1 order by tick limit $4)
        select exists (select 1 from cut) and exists (select 1 from shared_events.tick where tick = $5) as is_kept,
               (select coalesce(array_agg(tick order by tick), '{}') from next) as ticks,
               (select coalesce(array_agg(snap order by tick), '{}') from next) as snaps,
               (select max(tick) from shared_events.tick) as newest,
               exists (select 1 from cut cross join unnest($3::int2[]) as own (lane)
                        where pg_snapshot_xmax(cut.seen) <= (
                              select log.xid from shared_events.log where log.lane = own.lane order by log.xid desc limit 1))
               or exists (select 1 from shared_events.log
                           where log.lane = any ($3) and log.xid = any (array(select pg_snapshot_xip(seen) from cut)))
               or exists (select 1 from shared_events.subscription
                            join shared_events.parked on parked.subscription = subscription.name
                           where subscription.kind = 'sink' and parked.next_at <= clock_timestamp() and parked.tick is null)
                  as is_behind,
               (select extract(epoch from min(next_at) - clock_timestamp())::float8 from shared_events.parked
                 where subscription = $2 and next_at is not null and lane = any ($3)) as due,
               (select extract(epoch from min(due) - clock_timestamp())::float8 from shared_events.delayed) as delayed";

    const IS_KEPT: Statement<(i64,), bool> = "select exists (select from shared_events.tick where tick = $1)";

    const LOCK: Statement<(), bool> = cut_lock!("shared_events.tick_lock");
    // Nothing where the log's transaction ids are another server's: a cut there would take new events for old ones.
    const CUT: Statement<(), i64> = "
        insert into shared_events.tick (snap)
        select pg_current_snapshot() from shared_events.tick_lock
         where server = (select system_identifier from pg_control_system()) returning tick";

    // What is due again for a sink, with what waits behind it, gets its place in the order by the new tick: a thousand events of a hundred keys at
    // once, some milliseconds for which nobody else makes a tick. What is left of a key is due when these are there. What waits is read by its
    // order, which ends when there are enough. The limits are no arguments: without their values the planner would read the whole table.
    // The first of a key is locked, by which it waits for whoever throws the key away, and then finds it due no more.
    pub(super) const STAMP: Statement<(i64,), ()> = "
        with due as (
            select parked.tenant_id, parked.subscription, parked.consumer, parked.key, parked.pos, parked.next_at
              from shared_events.parked
              join shared_events.subscription on subscription.name = parked.subscription and subscription.kind = 'sink'
             where parked.next_at <= clock_timestamp() and parked.tick is null
             order by parked.next_at limit 100 for update of parked),
        next as (
            select due.tenant_id, due.subscription, due.consumer, due.key, key.pos
              from due cross join lateral (
                   select due.pos, false as follows
                   union all
                   (select waiting.pos, true from shared_events.parked as waiting
                     where waiting.tenant_id = due.tenant_id and waiting.subscription = due.subscription
                       and waiting.consumer = due.consumer and waiting.key = due.key
                       and waiting.state = 'waiting' and waiting.tick is null
                     order by waiting.pos limit 1000)) as key
             order by due.next_at, due.tenant_id, due.subscription, due.consumer, due.key, key.follows, key.pos limit 1000)
        update shared_events.parked set tick = $1
          from next
         where parked.tenant_id = next.tenant_id and parked.subscription = next.subscription
           and parked.consumer = next.consumer and parked.key = next.key and parked.pos = next.pos";

    // Whoever lets a subscription begin at a tick shares the row; whoever takes ticks or days away has it alone. What else is written to
    // the row does not conflict with the former.
    const HOLD: Statement<(), bool> = "select one from shared_events.upkeep for key share";
    const HOLD_STILL: Statement<(), bool> = "select one from shared_events.upkeep for update";

    // For a rewind of `$1` seconds behind the slowest: the last tick that is older stays, since there the first batch begins that may be
    // asked for again. Tick 0 stays, for subscriptions to come.
    const PRUNE: Statement<(f64,), ()> = "
        with gone as (
            delete from shared_events.tick
             where tick > 0
               and tick < least((select min(tick) from shared_events.cursor),
                                (select coalesce(max(tick), 0) from shared_events.tick
                                  where at < clock_timestamp() - make_interval(secs => $1)))
            returning tick)
        update shared_events.upkeep set pruned = (select max(tick) from gone) where exists (select 1 from gone)";
    const PRUNE_SENT: Statement<(), ()> = "
        delete from shared_events.parked as p
         using (select min(tick) as tick, min(at) as at from shared_events.tick where tick > 0) as kept
         where p.state = 'sent' and (p.tick < kept.tick or p.tick is null and p.at < kept.at)";

    // Of the kept ticks those are not for going back that PRUNE may take before the cursor is written there.
    const AROUND: Statement<(i64, f64), Around> = "
        select coalesce((select max(tick) from shared_events.tick where tick < $1), 0) as before,
               exists (select 1 from shared_events.tick where tick = $1) as is_kept,
               coalesce((select min(tick) from shared_events.tick where tick > 0), 0) as first,
               coalesce((select max(tick) from shared_events.tick
                          where tick > 0 and at < clock_timestamp() - make_interval(secs => $2)), 0) as safe,
               (select max(tick) from shared_events.tick) as newest, pruned
          from shared_events.upkeep";
    // Not to where no clock can have been: the numbers would come to their end.
    const RAISE: Statement<(i64,), i64> = "
        select setval('shared_events.tick_seq', greatest($1, last_value)) from shared_events.tick_seq
         where $1 < (extract(epoch from clock_timestamp() + interval '1 year') * 1000)::bigint";
}

/// Events that are counted when a sink has lost some.
const MOST: usize = 1000;

/// What [`LOOK`] answers.
#[derive(Row)]
pub(super) struct Look {
    is_kept: bool,
    ticks: Vec<i64>,
    snaps: Vec<String>,
    newest: i64,
    is_behind: bool,
    due: Option<f64>,
    delayed: Option<f64>,
}

/// What a look has found.
pub(super) struct Looked {
    /// The next ticks, as many as can be read together.
    pub(super) cuts: Vec<Cut>,
    /// The last of all.
    pub(super) newest: i64,
    /// Whether there is something that no tick has cut off yet.
    pub(super) is_behind: bool,
    /// In how many seconds the next of the parked is due.
    pub(super) due: Option<f64>,
    /// In how many seconds the next delayed event is.
    pub(super) delayed: Option<f64>,
}

/// What lies behind this tick, for a relay that has seen later ones up to `seen`.
///
/// # Errors
/// [`Error::Unsafe`] if one of the two is gone, [`Error::Database`].
pub(super) async fn look(log: Log<'_>, tick: i64, seen: i64, lanes: &[Lane]) -> Result<Looked, Error> {
    let (subscription, lanes) =
        (log.subscription, lanes.iter().map(|lane| lane.column()).collect::<Vec<_>>());
    let look = log.db.system().one(&LOOK, (tick, subscription, lanes, ticks::TOGETHER as i64, seen)).await?;
    let Look { is_kept, ticks, snaps, newest, is_behind, due, delayed } = look;
    if !is_kept {
        // What lies behind it can't be told from what lies before.
        return Err(gone_back());
    }
    let cuts = ticks.into_iter().zip(&snaps).map(|(tick, snap)| Cut::new(tick, snap)).collect();
    Ok(Looked { cuts, newest, is_behind, due, delayed })
}

/// Makes a tick, in a short transaction of its own, flushed: what it sees may have been committed asynchronously, and its own
/// flush covers that as well. Only then may anything of it be delivered. Returns how many delayed events it has moved into the log.
pub(super) async fn cut(db: &Db) -> Result<u32, Error> {
    db.system()
        .tx(async |tx| {
            lock(tx).await?;
            let released = delayed::release(tx).await?;
            let tick = insert(tx).await?;
            tx.execute(&STAMP, (tick,)).await?;
            Ok(released)
        })
        .await
}

/// Makes a tick where something was committed behind the newest one, or a delayed event is due: for a log that no relay reads.
pub(super) async fn cut_if_behind(db: &Db) -> Result<(), Error> {
    let log = Log { db, subscription: "" };
    // Tick 0 is always there, and tells the newest.
    let newest = look(log, 0, 0, &[]).await?.newest;
    let looked = look(log, newest, 0, &Lane::all().collect::<Vec<_>>()).await?;
    if looked.is_behind || looked.delayed.is_some_and(|wait| wait <= 0.0) {
        cut(db).await?;
    }
    Ok(())
}

/// A tick of this moment, within a transaction.
pub(crate) async fn cut_within(tx: &mut Tx) -> Result<i64, Error> {
    lock(tx).await?;
    insert(tx).await
}

/// Until the transaction ends nobody else makes ticks.
pub(crate) async fn lock(tx: &mut Tx) -> Result<(), Error> {
    cut::lock(tx, &LOCK).await.map_err(Error::uncut)
}

async fn insert(tx: &mut Tx) -> Result<i64, Error> {
    tx.opt(&CUT, ()).await?.ok_or_else(|| Error::Unsafe(ELSEWHERE.to_owned()))
}

/// What is to be done about a log whose transaction ids are another server's.
pub(super) const ELSEWHERE: &str = "this is another server than the one that drew the log's transaction ids, as after an upgrade or a \
    restored dump, and events could be taken for passed; see `Subscriptions::adopt`";

/// Of a database that has gone back.
const GONE_BACK: &str = "a tick that was read is gone: the database has gone back, as by a failover to a standby that was behind, or a restore, or this relay \
            stood still for longer than ticks are kept; its lanes begin anew where the database has them";

/// The database has no more what this relay has read there.
pub(crate) fn gone_back() -> Error {
    Error::Unsafe(GONE_BACK.to_owned())
}

/// Whether it is that, and no other reason for which reading would not be safe.
pub(super) fn is_gone_back(error: &Error) -> bool {
    matches!(error, Error::Unsafe(why) if why == GONE_BACK)
}

/// That the database has not gone back behind this tick, which it had.
///
/// # Errors
/// [`gone_back`], [`Error::Database`].
pub(super) async fn still_has(db: &Db, tick: i64) -> Result<(), Error> {
    if db.system().one(&IS_KEPT, (tick,)).await? { Ok(()) } else { Err(gone_back()) }
}

/// Until the transaction ends every tick stays that is there, so that a subscription can begin at one.
pub(crate) async fn hold(tx: &mut Tx) -> Result<(), Error> {
    tx.one(&HOLD, ()).await?;
    Ok(())
}

/// Until the transaction ends no subscription begins.
pub(crate) async fn hold_still(tx: &mut Tx) -> Result<(), Error> {
    tx.one(&HOLD_STILL, ()).await?;
    Ok(())
}

/// Forgets the ticks that every subscription has passed for longer than that.
pub(crate) async fn prune(db: &Db, rewind: Duration) -> Result<(), Error> {
    db.system()
        .tx(async |tx| {
            hold_still(tx).await?;
            // In a statement of its own, which sees the subscriptions that have begun meanwhile.
            tx.execute(&PRUNE, (rewind.as_secs_f64() * LONGER,)).await?;
            Ok::<_, Error>(())
        })
        .await?;
    db.system().execute(&PRUNE_SENT, ()).await?;
    Ok(())
}

/// What is kept around a tick.
#[derive(Row)]
struct Around {
    before: i64,
    is_kept: bool,
    first: i64,
    safe: i64,
    newest: i64,
    pruned: i64,
}

/// A place that a sink has reached, as a cursor, or as near behind it as ticks are kept.
pub(super) struct Back {
    pub(super) cursor: Cursor,
    /// The tick of the place, if its batch can still be read.
    tick: Option<i64>,
    known: Known,
    /// It is yet to come, be it that the database has forgotten it, as after a restore.
    pub(super) is_later: bool,
}

/// Whose a place is that a sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// It is one of this log, or not ahead of where the lane stands.
    Ours,
    /// It is ahead, and the log does not know its tick: taken for one of before a restore.
    Unknown,
    /// It is ahead, and certainly none of this log.
    Foreign,
}

/// What the log can tell of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// If it is one, it is in the batch between this tick and its own.
    Within(i64),
    /// It has no such tick: it never had, or was set back since.
    Not,
    /// Its tick is forgotten, since all have passed it.
    Forgotten,
}

/// Ticks are kept for so much longer than one may go back: until the cursor is written there.
const LONGER: f64 = 1.1;

/// Where a sink stands whose last event has this place, with ticks that are kept for so long.
pub(super) async fn cursor_at(db: &Db, place: Option<Place>, rewind: Duration) -> Result<Back, Error> {
    let Place { tick, pos } = place.unwrap_or_default();
    let around = db.system().one(&AROUND, (tick, rewind.as_secs_f64())).await?;
    let oldest = around.first.max(around.safe);
    let known = match around.is_kept {
        true if around.before > 0 || around.pruned == 0 => Known::Within(around.before),
        false if tick > around.pruned => Known::Not,
        _ => Known::Forgotten,
    };
    if tick > around.newest {
        let cursor = Cursor { passed: around.newest, pos: 0 };
        return Ok(Back { cursor, tick: None, known, is_later: true });
    }
    let (cursor, tick) = match tick {
        0 if around.pruned == 0 && around.safe == 0 => (Cursor::default(), None),
        _ if tick < oldest => (Cursor { passed: oldest, pos: 0 }, None),
        // Forgotten, as after a restore: all that came before is there, and what comes after has a later tick.
        _ if !around.is_kept => (Cursor { passed: around.before, pos: 0 }, None),
        // Where its batch began is not kept.
        _ if around.before == 0 && around.pruned > 0 => (Cursor { passed: tick, pos: 0 }, None),
        _ => (Cursor { passed: around.before, pos }, Some(tick)),
    };
    Ok(Back { cursor, tick, known, is_later: false })
}

/// The next ticks come behind this one; `false` if that is later than a year from now, where no log can have been. Nobody makes one meanwhile,
/// which could take that back.
pub(super) async fn raise(db: &Db, tick: i64) -> Result<bool, Error> {
    db.system()
        .tx(async |tx| {
            lock(tx).await?;
            Ok(tx.opt(&RAISE, (tick,)).await?.is_some())
        })
        .await
}

impl Back {
    /// Whose the place is, which a lane's sink has; `since` from which on this process knows it to be somebody else's.
    ///
    /// One of a tick that the log does not know may be of before a restore, unless the sink was seen behind it by the relay that asks.
    pub(super) async fn whose(
        &self,
        log: Log<'_>,
        lane: Lane,
        place: Place,
        (taken, since): (Taken, Option<Place>),
    ) -> Result<Whose, Error> {
        let is_ahead = match self.known {
            Known::Within(_) => self.cursor > taken.cursor,
            // Later ticks that were made meanwhile change nothing.
            Known::Not => place.tick > taken.cursor.passed,
            Known::Forgotten => false,
        };
        let is_behind = |known: Option<Place>| known.is_some_and(|known| known < place);
        Ok(match self.known {
            _ if !is_ahead => Whose::Ours,
            _ if since == Some(place) => Whose::Foreign,
            Known::Within(before) if log.has(lane, before, place).await? => Whose::Ours,
            // A subscription that begins anew has no parked rows of what it sent under another name, or before it was retired.
            Known::Within(_) if taken.floor.is_none() && log.had(lane, place).await? => Whose::Ours,
            Known::Within(_) => Whose::Foreign,
            _ if is_behind(taken.floor) || is_behind(since) => Whose::Foreign,
            _ => Whose::Unknown,
        })
    }

    /// Whether the log does not know its tick.
    pub(super) fn is_unknown(&self) -> bool {
        self.known == Known::Not
    }

    /// How many events of the lane lie between here and the cursor; of very many, how many at least.
    pub(super) async fn lost(&self, log: Log<'_>, lane: Lane, cursor: Cursor) -> Result<u64, Error> {
        let count = async |passed, to, pos| match passed < to {
            true => log.count(&[lane], (passed, to, pos), MOST).await,
            false => Ok(0),
        };
        let Cursor { passed, pos } = self.cursor;
        let lost = match self.tick {
            None => count(passed, cursor.passed, 0).await?,
            Some(tick) => count(passed, tick, pos).await? + count(tick, cursor.passed, 0).await?,
        };
        Ok(lost as u64)
    }
}

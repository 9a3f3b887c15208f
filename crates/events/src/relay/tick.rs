//! Ticks cut the log ([`shared_db::cut`]): a batch is what the later of two ticks sees and the earlier did not.

use shared_db::{Db, Row, cut, cut_lock, statements};

use super::machine::Cursor;
use super::read;
use crate::{Error, Lane, Place, delayed};

statements! {
    // Whether that tick is there; the next one; whether anything was committed behind the last one, or is due to be stamped; and in how many seconds the next of
    // the parked is due, and of the delayed. A read alone, which draws no transaction id. Ticks themselves can't tell, since each moves the snapshot of
    // the next. The newest row of a lane is asked for by its order: the planner would read the whole lane for one that it believes
    // to be frequent, and when nothing is new there is none.
    pub(super) const LOOK: Statement<(i64, String, Vec<i16>), (bool, Option<i64>, bool, Option<f64>, Option<f64>)> = "
        with cut as materialized (select snap as seen from shared_events.tick where tick = $1)
        select exists (select 1 from cut) as is_kept,
               (select min(tick) from shared_events.tick where tick > $1) as next,
               exists (select 1 from cut cross join unnest($3::int2[]) as own (lane)
                        where pg_snapshot_xmax(cut.seen) <= (
                              select log.xid from shared_events.log where log.lane = own.lane order by log.xid desc limit 1))
               or exists (select 1 from cut cross join lateral pg_snapshot_xip(cut.seen) as open (xid)
                           cross join unnest($3::int2[]) as own (lane)
                            join shared_events.log on log.lane = own.lane and log.xid = open.xid)
               or exists (select 1 from shared_events.subscription
                            join shared_events.parked on parked.subscription = subscription.name
                           where subscription.kind = 'sink' and parked.next_at <= clock_timestamp() and parked.tick is null)
                  as is_behind,
               (select extract(epoch from min(next_at) - clock_timestamp())::float8 from shared_events.parked
                 where subscription = $2 and next_at is not null and lane = any ($3)) as due,
               (select extract(epoch from min(due) - clock_timestamp())::float8 from shared_events.delayed) as delayed";

    const LOCK: Statement<(), bool> = cut_lock!("shared_events.tick_lock");
    const CUT: Statement<(), i64> = "
        insert into shared_events.tick (snap) values (pg_current_snapshot()) returning tick";

    // What is due again for a sink, with all that waits behind it, gets its place in the order by the new tick.
    const STAMP: Statement<(i64, i64), ()> = "
        with due as (
            select parked.tenant_id, parked.subscription, parked.consumer, parked.key
              from shared_events.parked
              join shared_events.subscription on subscription.name = parked.subscription and subscription.kind = 'sink'
             where parked.next_at <= clock_timestamp() and parked.tick is null
             order by parked.next_at limit $2)
        update shared_events.parked set tick = $1
          from due
         where parked.tenant_id = due.tenant_id and parked.subscription = due.subscription
           and parked.consumer = due.consumer and parked.key = due.key
           and parked.state in ('retrying', 'waiting') and parked.tick is null";

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
        delete from shared_events.parked
         where state = 'sent' and tick < (select min(tick) from shared_events.tick where tick > 0)";

    const AROUND: Statement<(i64,), Around> = "
        select coalesce((select max(tick) from shared_events.tick where tick < $1), 0) as before,
               exists (select 1 from shared_events.tick where tick = $1) as is_kept,
               coalesce((select min(tick) from shared_events.tick where tick > 0), 0) as oldest,
               (select max(tick) from shared_events.tick) as newest, pruned
          from shared_events.upkeep";
    const RAISE: Statement<(i64,), i64> = "
        select setval('shared_events.tick_tick_seq', greatest($1, last_value)) from shared_events.tick_tick_seq";
}

/// Keys that are stamped at once.
const STAMPED: i64 = 100;

/// Events that are counted when a sink has lost some.
const MOST: usize = 1000;

/// What a look has found.
pub(super) struct Looked {
    /// The tick after that one.
    pub(super) next: Option<i64>,
    /// Whether there is something that no tick has cut off yet.
    pub(super) is_behind: bool,
    /// In how many seconds the next of the parked is due.
    pub(super) due: Option<f64>,
    /// In how many seconds the next delayed event is.
    pub(super) delayed: Option<f64>,
}

/// What lies behind this tick.
///
/// # Errors
/// [`Error::Unsafe`] if the tick is gone, [`Error::Database`].
pub(super) async fn look(db: &Db, subscription: &str, tick: i64, lanes: &[Lane]) -> Result<Looked, Error> {
    let lanes: Vec<i16> = lanes.iter().map(|lane| lane.column()).collect();
    let (is_kept, next, is_behind, due, delayed) =
        db.system().one(&LOOK, (tick, subscription, lanes)).await?;
    if !is_kept {
        // What lies behind it can't be told from what lies before.
        return Err(Error::Unsafe(format!(
            "`{subscription}` stands at tick {tick}, which is kept no more; retire it, and begin it anew"
        )));
    }
    Ok(Looked { next, is_behind, due, delayed })
}

/// Makes a tick, in a short transaction of its own, flushed: what it sees may have been committed asynchronously, and its own
/// flush covers that as well. Only then may anything of it be delivered. Returns how many delayed events it has moved into the log.
pub(super) async fn cut(db: &Db) -> Result<u32, Error> {
    db.system()
        .tx(async |tx| {
            cut::lock(tx, &LOCK).await.map_err(Error::uncut)?;
            let released = delayed::release(tx).await?;
            let tick = tx.one(&CUT, ()).await?;
            tx.execute(&STAMP, (tick, STAMPED)).await?;
            Ok(released)
        })
        .await
}

/// Forgets the ticks that every subscription has passed for longer than that.
pub(crate) async fn prune(db: &Db, rewind: std::time::Duration) -> Result<(), Error> {
    db.system().execute(&PRUNE, (rewind.as_secs_f64(),)).await?;
    db.system().execute(&PRUNE_SENT, ()).await?;
    Ok(())
}

/// What is kept around a tick.
#[derive(Row)]
struct Around {
    before: i64,
    is_kept: bool,
    oldest: i64,
    newest: i64,
    pruned: i64,
}

/// A place that a sink has reached, as a cursor, or as near behind it as ticks are kept.
pub(super) struct Back {
    pub(super) cursor: Cursor,
    /// The tick of the place, if its batch can still be read.
    tick: Option<i64>,
    /// It is one that is yet to come, which the database has forgotten, as after a restore: the next ones now come after it.
    pub(super) is_raised: bool,
}

/// Where a sink stands whose last event has this place.
pub(super) async fn cursor_at(db: &Db, place: Option<Place>) -> Result<Back, Error> {
    let Place { tick, pos } = place.unwrap_or_default();
    let around = db.system().one(&AROUND, (tick,)).await?;
    if tick > around.newest {
        db.system().one(&RAISE, (tick,)).await?;
        let cursor = Cursor { passed: around.newest, pos: 0 };
        return Ok(Back { cursor, tick: None, is_raised: true });
    }
    let (cursor, tick) = match tick {
        0 if around.pruned == 0 => (Cursor::default(), None),
        _ if tick == 0 || !around.is_kept => (Cursor { passed: around.oldest, pos: 0 }, None),
        // Where its batch began is not kept.
        _ if around.before == 0 && around.pruned > 0 => (Cursor { passed: tick, pos: 0 }, None),
        _ => (Cursor { passed: around.before, pos }, Some(tick)),
    };
    Ok(Back { cursor, tick, is_raised: false })
}

impl Back {
    /// How many events of the lane lie between here and the cursor; of very many, how many at least.
    pub(super) async fn lost(
        &self,
        db: &Db,
        subscription: &str,
        lane: Lane,
        cursor: Cursor,
    ) -> Result<u64, Error> {
        let read = async |passed, to| match passed < to {
            true => read::batch(db, subscription, &[lane], (passed, to), MOST).await,
            false => Ok(Some(Vec::new())),
        };
        let many = MOST as u64 + 1;
        let Some(tick) = self.tick else {
            return Ok(read(self.cursor.passed, cursor.passed).await?.map_or(many, |lost| lost.len() as u64));
        };
        let rest = read(self.cursor.passed, tick).await?;
        let rest = rest.map_or(many, |batch| {
            batch.into_iter().filter(|event| event.pos > self.cursor.pos).count() as u64
        });
        Ok(rest + read(tick, cursor.passed).await?.map_or(many, |lost| lost.len() as u64))
    }
}

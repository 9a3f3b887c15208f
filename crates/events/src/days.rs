//! The days of the log: those ahead are made, those behind are dropped, once every subscription has passed them.

use std::time::Duration;

use rand::RngExt;
use shared_db::{Db, Tx, statements};
use time::{Date, OffsetDateTime};

use crate::metrics::METRICS;
use crate::relay::tick;
use crate::{Config, Error, seal};

statements! {
    // One process at a time, and not more often than that.
    const TURN: Statement<(f64,), ()> = "
        update shared_events.upkeep set at = clock_timestamp()
         where at < clock_timestamp() - make_interval(secs => $1)";
    // The same for who has no relay, with those who read the log: beside them not before so many seconds, in which a relay would have had its turn.
    const TURN_WITHOUT: Statement<(f64, f64), Vec<String>> = "
        with cursors as materialized (select distinct subscription from shared_events.cursor)
        update shared_events.upkeep set at = clock_timestamp()
         where at < clock_timestamp() - make_interval(secs => case when exists (select 1 from cursors) then $2::float8 else $1::float8 end)
        returning array(select 'subscription ' || subscription from cursors order by subscription)";
    const TODAY: Statement<(), OffsetDateTime> = "select clock_timestamp()";
    const DAYS: Statement<(), (Date, Date)> = "select day, last from shared_events.days()";
    const STRAY: Statement<(), (Date, i64)> = "
        select (at at time zone 'UTC')::date, count(*) from shared_events.log_default group by 1 order by 1";
    const SETTLE: Statement<(Date, Date), bool> = "select shared_events.settle_strays($1, $2)";
    const MAKE: Statement<(Date, bool), bool> = "select shared_events.make_day($1, $2)";
    // Who has yet to pass an event of these days. The comparison of the transactions' ids is by the index, and settles nearly all of
    // them; what is left is asked of the snapshot. The bounds stand in the query themselves, so that no other partition is read.
    const HELD: Statement<(Date, Date), String> = "
        with kept as (
            select 'subscription ' || cursor.subscription as holder, cursor.lane, tick.snap
              from shared_events.cursor left join shared_events.tick on tick.tick = cursor.tick
             union all
            select 'the ticks that are kept, or the next seal', lane, other.snap
              from generate_series(0, 15) as lane cross join lateral (
                   (select snap from shared_events.tick where tick > 0 order by tick limit 1)
                    union all
                   select coalesce((select snap from shared_events.seal where upto is null order by seal desc limit 1), '1:1:'::pg_snapshot)
                   ) as other)
        select distinct kept.holder from kept
         where kept.snap is null
            or exists (select 1 from shared_events.log
                        where log.at >= $1::date::timestamp at time zone 'UTC' and log.at < ($2::date + 1)::timestamp at time zone 'UTC'
                          and log.lane = kept.lane
                          and log.xid >= pg_snapshot_xmin(kept.snap) and not pg_visible_in_snapshot(log.xid, kept.snap))
         order by 1";
    const PARKED: Statement<(Date, Date), String> = "
        select distinct 'parked for ' || parked.consumer || ' of subscription ' || parked.subscription
          from shared_events.parked
          join shared_events.log on log.lane = parked.lane and log.xid = parked.xid and log.pos = parked.pos
         where log.at >= $1::date::timestamp at time zone 'UTC' and log.at < ($2::date + 1)::timestamp at time zone 'UTC'
         order by 1";
    const BOUND: Statement<(String,), String> = "select set_config('statement_timeout', $1, true)";
    const LOCK: Statement<(Date,), String> = "select shared_events.lock_day($1)::text";
    const DROP: Statement<(Date,), String> = "select shared_events.drop_day($1)::text";
    const SAY: Statement<(Option<String>,), ()> = "
        update shared_events.upkeep set held = $1 where held is distinct from $1";
}

/// Days that are made before they come. Two outlast a weekend without a relay.
const AHEAD: i64 = 2;

/// Nobody's relay runs when there was no turn for so long: twice as long as relays leave between two.
const FORSAKEN: Duration = Duration::from_mins(4);

/// Tries at a lock, with waits in between: a publisher is never held up for longer than one of them.
const TRIES: u32 = 10;

/// What may be done at most while publishers wait, in milliseconds; as a rule it takes some.
const DROP_MOST: &str = "500";
const SETTLE_MOST: &str = "5000";

/// Events that are given a day at most while publishers wait: that takes about two seconds for a million.
const STRAYS_MOST: i64 = 1_000_000;

/// Looks after the days until it is dropped.
pub(crate) async fn keep(db: &Db, config: &Config) {
    loop {
        if let Err(error) = turn(db, config).await {
            tracing::warn!("the log's upkeep is tried again: {error}");
        }
        rest(config).await;
    }
}

/// How often a process looks.
fn every(config: &Config) -> Duration {
    (config.rewind / 4).clamp(Duration::from_millis(100), Duration::from_mins(1))
}

/// Until the next turn.
pub(crate) async fn rest(config: &Config) {
    tokio::time::sleep(every(config).mul_f64(jitter())).await;
}

/// What is due, unless another process has just looked.
pub(crate) async fn turn(db: &Db, config: &Config) -> Result<(), Error> {
    match db.system().execute(&TURN, (every(config).as_secs_f64() / 2.0,)).await? {
        0 => Ok(()),
        _ => all(db, config).await,
    }
}

/// The same in a program without a relay. From those who read the log it takes nothing away: theirs may be longer settings, and their
/// relays see to it.
pub(crate) async fn turn_without_relay(db: &Db, config: &Config) -> Result<(), Error> {
    let bounds = (every(config).as_secs_f64() / 2.0, FORSAKEN.as_secs_f64());
    match db.system().opt(&TURN_WITHOUT, bounds).await? {
        None => Ok(()),
        Some(readers) if readers.is_empty() => all(db, config).await,
        Some(readers) => beside(db, config, &readers).await,
    }
}

async fn all(db: &Db, config: &Config) -> Result<(), Error> {
    tick::prune(db, config.rewind).await?;
    let now = db.system().one(&TODAY, ()).await?;
    // What is wrong with the days to come is no reason to keep those that are over.
    let made = make(db, now).await;
    seal::seal(db).await?;
    // Longer than the log, so that the seals of all its days are there.
    seal::forget(db, config.retention * 2).await?;
    let held = forget(db, now - config.retention).await?;
    say(db, held).await?;
    made
}

/// What takes nothing away.
async fn beside(db: &Db, config: &Config, readers: &[String]) -> Result<(), Error> {
    let now = db.system().one(&TODAY, ()).await?;
    let made = make(db, now).await;
    seal::seal(db).await?;
    let oldest = over(db, now - config.retention).await?.first().copied();
    let held = oldest.map(|(day, _)| format!("{day} is held by {}, and no relay runs", readers.join(", ")));
    say(db, held).await?;
    made
}

/// Tells what holds the log.
async fn say(db: &Db, held: Option<String>) -> Result<(), Error> {
    if let Some(held) = &held {
        tracing::warn!("the log can't be cut back: {held}");
    }
    db.system().execute(&SAY, (held,)).await?;
    Ok(())
}

/// Makes today and the days ahead, and gives those a day whose events have none.
async fn make(db: &Db, now: OffsetDateTime) -> Result<(), Error> {
    let stray = db.system().all(&STRAY, ()).await?;
    for (day, events) in &stray {
        tracing::error!(%day, events, "the log had no partition for this day; its events get one of their own");
        METRICS.stray.add(events.unsigned_abs(), &[]);
    }
    let settled = settle(db, &stray).await;
    let known = db.system().all(&DAYS, ()).await?;
    let ahead = (0..=AHEAD).map(|days| (now + time::Duration::days(days)).date());
    for day in ahead.chain(stray.iter().map(|(day, _)| *day)) {
        let is_known = known.iter().any(|(first, last)| (*first..=*last).contains(&day));
        let is_stray = stray.iter().any(|(stray, _)| *stray == day);
        // Those that could not be settled now may be too many to move; tomorrow's events are to have their day all the same.
        let has_to_wait = is_stray && settled.is_err();
        if !is_known && !has_to_wait {
            // Of today somebody may be publishing just now.
            let is_stray = is_stray || day <= now.date();
            tried(db, Step::Make { day, is_stray }).await?;
        }
    }
    settled
}

/// Makes one partition of the events without one, unless other days lie between theirs.
async fn settle(db: &Db, stray: &[(Date, i64)]) -> Result<(), Error> {
    let (Some((first, _)), Some((last, _))) = (stray.first(), stray.last()) else { return Ok(()) };
    let events: i64 = stray.iter().map(|(_, events)| events).sum();
    if events > STRAYS_MOST {
        return Err(Error::conflict(
            "giving events their day",
            format!(
                "{events} are too many while events are published; when none are, run `select shared_events.settle_strays('{first}', '{last}')`"
            ),
        ));
    }
    tried(db, Step::Settle(*first, *last)).await.map(drop)
}

/// Drops the days that ended before then. Returns what holds the oldest of them, if something does.
async fn forget(db: &Db, before: OffsetDateTime) -> Result<Option<String>, Error> {
    for (day, last) in over(db, before).await? {
        // Before the locks, since this may take a while, and again under them.
        let mut held = db.system().all(&HELD, (day, last)).await?;
        if held.is_empty() {
            held = tried(db, Step::Drop(day, last)).await?;
        }
        if !held.is_empty() {
            return Ok(Some(format!("{day} is held by {}", held.join(", "))));
        }
        tracing::info!(%day, "dropped from the log");
    }
    Ok(None)
}

/// The partitions, each by its first and last day, that ended before then, the oldest first.
async fn over(db: &Db, before: OffsetDateTime) -> Result<Vec<(Date, Date)>, Error> {
    let mut days = db.system().all(&DAYS, ()).await?;
    days.retain(|(_, last)| *last < before.date());
    days.sort_unstable();
    Ok(days)
}

/// What takes a lock that publishers wait for.
#[derive(Clone, Copy)]
enum Step {
    Settle(Date, Date),
    /// `is_stray`: the day may have events already, which are moved.
    Make {
        day: Date,
        is_stray: bool,
    },
    Drop(Date, Date),
}

/// Takes the step, again and again while somebody else has the lock. Returns what holds the day.
async fn tried(db: &Db, step: Step) -> Result<Vec<String>, Error> {
    for _ in 1..TRIES {
        match step.take(db).await {
            Err(Error::Database(error)) if step.may_be_tried_again(&error) => {}
            done => return done,
        }
        tokio::time::sleep(Duration::from_millis(250).mul_f64(jitter())).await;
    }
    step.take(db).await
}

impl Step {
    /// The lock was not to be had; or what is done under it took too long, and can be expected to take less.
    fn may_be_tried_again(self, error: &shared_db::Error) -> bool {
        match error.code() {
            Some("55P03" | "40P01") => true,
            Some("57014") => matches!(self, Self::Drop(..)),
            _ => false,
        }
    }

    async fn take(self, db: &Db) -> Result<Vec<String>, Error> {
        let mut tx = db.system().begin().await?;
        let held = match self {
            Self::Settle(first, last) => {
                tx.one(&BOUND, (SETTLE_MOST,)).await?;
                tx.one(&SETTLE, (first, last)).await.map(|_| Vec::new())?
            }
            Self::Make { day, is_stray } => {
                tx.one(&BOUND, (SETTLE_MOST,)).await?;
                tx.one(&MAKE, (day, is_stray)).await.map(|_| Vec::new())?
            }
            Self::Drop(day, last) => drop_days(&mut tx, day, last).await?,
        };
        tx.commit().await?;
        Ok(held)
    }
}

async fn drop_days(tx: &mut Tx, day: Date, last: Date) -> Result<Vec<String>, Error> {
    // No subscription begins until the end, so none comes by these events any more that has not yet, and parks one.
    tick::hold_still(tx).await?;
    let parked = tx.all(&PARKED, (day, last)).await?;
    if !parked.is_empty() {
        return Ok(parked);
    }
    tx.one(&BOUND, (DROP_MOST,)).await?;
    tx.one(&LOCK, (day,)).await?;
    // Whoever wrote to the day has committed, or waits.
    let held = tx.all(&HELD, (day, last)).await?;
    if held.is_empty() {
        tx.one(&DROP, (day,)).await?;
    }
    Ok(held)
}

/// So that relays don't go on in step.
fn jitter() -> f64 {
    rand::rng().random_range(0.5..1.5)
}

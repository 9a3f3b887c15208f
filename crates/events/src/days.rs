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
    const TODAY: Statement<(), OffsetDateTime> = "select clock_timestamp()";
    const DAYS: Statement<(), Date> = "select day from shared_events.days() as day";
    const STRAY: Statement<(), (Date, i64)> = "
        select (at at time zone 'UTC')::date, count(*) from shared_events.log_default group by 1 order by 1";
    const MAKE: Statement<(Date,), bool> = "select shared_events.make_day($1)";
    // Who has yet to pass an event of the day. The comparison of the transactions' ids is by the index, and settles nearly all of
    // them; what is left is asked of the snapshot.
    const HELD: Statement<(Date,), String> = "
        with day as (select $1::date::timestamp at time zone 'UTC' as since, ($1::date + 1)::timestamp at time zone 'UTC' as until),
        kept as (
            select cursor.subscription, cursor.lane, tick.snap
              from shared_events.cursor left join shared_events.tick on tick.tick = cursor.tick
             union all
            select null, lane, (select snap from shared_events.tick where tick > 0 order by tick limit 1)
              from generate_series(0, 15) as lane
             union all
            select null, lane, coalesce((select snap from shared_events.seal order by seal desc limit 1), '1:1:'::pg_snapshot)
              from generate_series(0, 15) as lane)
        select distinct coalesce('subscription ' || kept.subscription, 'the ticks that are kept, or the next seal') as holder from kept cross join day
         where kept.snap is null and kept.subscription is not null
            or exists (select 1 from shared_events.log
                        where log.at >= day.since and log.at < day.until and log.lane = kept.lane
                          and log.xid >= pg_snapshot_xmin(kept.snap) and not pg_visible_in_snapshot(log.xid, kept.snap))
         union
        select 'parked for ' || parked.consumer || ' of subscription ' || parked.subscription
          from day cross join shared_events.parked
          join shared_events.log on log.lane = parked.lane and log.xid = parked.xid and log.pos = parked.pos
         where log.at >= day.since and log.at < day.until
         order by 1";
    const BOUND: Statement<(), (String, String)> = "
        select set_config('lock_timeout', '50ms', true), set_config('statement_timeout', '500ms', true)";
    const LOCK: Statement<(Date,), String> = "select shared_events.lock_day($1)::text";
    const DROP: Statement<(Date,), String> = "select shared_events.drop_day($1)::text";
    const SAY: Statement<(Option<String>,), ()> = "
        update shared_events.upkeep set held = $1 where held is distinct from $1";
}

/// Days that are made before they come. Two outlast a weekend without a relay.
const AHEAD: i64 = 2;

/// Tries at a lock, with waits in between: a publisher is never held up for longer than one of them.
const TRIES: u32 = 10;

/// Looks after the days until it is dropped.
pub(crate) async fn keep(db: &Db, config: &Config) {
    let every = (config.rewind / 4).clamp(Duration::from_millis(100), Duration::from_mins(1));
    loop {
        if let Err(error) = turn(db, config, every).await {
            tracing::warn!("the log's upkeep is tried again: {error}");
        }
        tokio::time::sleep(every.mul_f64(jitter())).await;
    }
}

async fn turn(db: &Db, config: &Config, every: Duration) -> Result<(), Error> {
    if db.system().execute(&TURN, (every.as_secs_f64() / 2.0,)).await? == 0 {
        return Ok(());
    }
    tick::prune(db, config.rewind).await?;
    let now = db.system().one(&TODAY, ()).await?;
    make(db, now).await?;
    // Longer than the log, so that the seals of all its days are there.
    seal::seal(db, config.retention * 2).await?;
    let held = forget(db, now - config.retention).await?;
    if let Some(held) = &held {
        tracing::warn!("the log can't be cut back: {held}");
    }
    db.system().execute(&SAY, (held,)).await?;
    Ok(())
}

/// Makes today and the days ahead, and those of the rows that have none.
async fn make(db: &Db, now: OffsetDateTime) -> Result<(), Error> {
    let known = db.system().all(&DAYS, ()).await?;
    let stray = db.system().all(&STRAY, ()).await?;
    for (day, events) in &stray {
        tracing::error!(%day, events, "the log had no partition for this day; its events are moved to one of their own");
        METRICS.stray.add(events.unsigned_abs(), &[]);
    }
    // The furthest first: as long as it takes to move what today has, tomorrow's events have their day.
    let ahead = (0..=AHEAD).rev().map(|days| (now + time::Duration::days(days)).date());
    for day in ahead.chain(stray.into_iter().map(|(day, _)| day)) {
        if !known.contains(&day) {
            tried(db, Step::Make(day)).await?;
        }
    }
    Ok(())
}

/// Drops the days that ended before then. Returns what holds the oldest of them, if something does.
async fn forget(db: &Db, before: OffsetDateTime) -> Result<Option<String>, Error> {
    let days = db.system().all(&DAYS, ()).await?;
    for day in days.into_iter().filter(|day| *day < before.date()) {
        // Before the lock, since this may take a while, and again under it.
        let mut held = db.system().all(&HELD, (day,)).await?;
        if held.is_empty() {
            held = tried(db, Step::Drop(day)).await?;
        }
        if !held.is_empty() {
            return Ok(Some(format!("{day} is held by {}", held.join(", "))));
        }
        tracing::info!(%day, "dropped from the log");
    }
    Ok(None)
}

/// What takes a lock that publishers wait for.
#[derive(Clone, Copy)]
enum Step {
    Make(Date),
    Drop(Date),
}

/// Takes the step, again and again while somebody else has the lock. Returns what holds the day.
async fn tried(db: &Db, step: Step) -> Result<Vec<String>, Error> {
    for _ in 1..TRIES {
        match step.take(db).await {
            Err(Error::Database(error)) if is_busy(&error) => {}
            done => return done,
        }
        tokio::time::sleep(Duration::from_millis(250).mul_f64(jitter())).await;
    }
    step.take(db).await
}

impl Step {
    async fn take(self, db: &Db) -> Result<Vec<String>, Error> {
        let mut tx = db.system().begin().await?;
        let held = match self {
            Self::Make(day) => tx.one(&MAKE, (day,)).await.map(|_| Vec::new())?,
            Self::Drop(day) => drop_day(&mut tx, day).await?,
        };
        tx.commit().await?;
        Ok(held)
    }
}

async fn drop_day(tx: &mut Tx, day: Date) -> Result<Vec<String>, Error> {
    tx.one(&BOUND, ()).await?;
    tx.one(&LOCK, (day,)).await?;
    // Whoever wrote to the day has committed, or waits.
    let held = tx.all(&HELD, (day,)).await?;
    if held.is_empty() {
        tx.one(&DROP, (day,)).await?;
    }
    Ok(held)
}

/// The lock was not to be had, or what was done under it took too long.
fn is_busy(error: &shared_db::Error) -> bool {
    matches!(error.code(), Some("55P03" | "57014" | "40P01"))
}

/// So that relays don't go on in step.
fn jitter() -> f64 {
    rand::rng().random_range(0.5..1.5)
}

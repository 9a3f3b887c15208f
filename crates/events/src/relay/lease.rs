//! The right to read lanes. One beat renews all of a relay's leases, and says how many relays share the subscription. Times are the
//! server's.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shared_db::{Row, statements};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::machine::{Cursor, Owned};
use super::{Core, tick};
use crate::log::lane;
use crate::replay::Bounds;
use crate::{Error, LANES, Lane};

statements! {
    // That it lives, and its lanes again; the others that live, whether it is to pause, and what it owns. A lane whose lease ran out is
    // still its own if nobody has taken it.
    const BEAT: Statement<(String, Uuid, f64, String, i32, String), Beaten> = "
        with me as (
            insert into shared_events.relay (subscription, owner, expires, host, pid, state)
            values ($1, $2, clock_timestamp() + make_interval(secs => $3), $4, $5, $6::text::json)
                on conflict (subscription, owner) do update set expires = excluded.expires, state = excluded.state
                 where not relay.has_left),
        renewed as (
            update shared_events.cursor set expires = clock_timestamp() + make_interval(secs => $3)
             where subscription = $1 and owner = $2
            returning lane, epoch, tick, pos),
        gone as (
            delete from shared_events.relay
             where subscription = $1 and owner <> $2 and expires < clock_timestamp() - make_interval(secs => 10 * $3))
        select coalesce((select paused from shared_events.subscription where name = $1), false) as paused,
               shared_events.timeline() as timeline,
               (select filter::text from shared_events.subscription where name = $1) as filter,
               (select ends from shared_events.subscription where name = $1) as ends,
               (select rate from shared_events.subscription where name = $1) as rate,
               (select count(*) from shared_events.relay
                 where subscription = $1 and owner <> $2 and expires > clock_timestamp()) as others,
               coalesce(array_agg(lane), '{}') as lanes, coalesce(array_agg(epoch), '{}') as epochs,
               coalesce(array_agg(tick), '{}') as ticks, coalesce(array_agg(pos), '{}') as positions
          from renewed";
    // Whoever leaves waits for the lock on its own row, and frees what was taken until then.
    const TAKE: Statement<(String, Uuid, f64, i64), (i16, i64, i64, i64)> = "
        with me as materialized (
            select 1 from shared_events.relay where subscription = $1 and owner = $2 and not has_left for share)
        update shared_events.cursor
           set owner = $2, epoch = epoch + 1, expires = clock_timestamp() + make_interval(secs => $3)
         where subscription = $1
           and lane = any (array(select lane from shared_events.cursor where subscription = $1 and expires < clock_timestamp()
                                  order by lane limit $4 for update skip locked))
           and exists (select from me)
        returning lane, epoch, tick, pos";
    // Where the newest tick is gone that the relay has seen, it has come so far in what the database has forgotten; on another timeline, in what
    // it may have forgotten.
    const ADVANCE: Statement<(String, Uuid, Vec<i16>, Vec<i64>, Vec<i64>, Vec<i64>, i64, Option<i32>), i16> = "
        update shared_events.cursor set tick = new.tick, pos = new.pos, moved = clock_timestamp()
          from unnest($3::int2[], $4::int8[], $5::int8[], $6::int8[]) as new (lane, epoch, tick, pos)
         where cursor.subscription = $1 and cursor.owner = $2 and cursor.lane = new.lane and cursor.epoch = new.epoch
           and exists (select from shared_events.tick where tick.tick = $7)
           and (select $8::integer is null or shared_events.timeline() = $8)
        returning cursor.lane";
    const RELEASE: Statement<(String, Uuid, Vec<i16>, Vec<i64>, Vec<i64>, Vec<i64>, i64, Option<i32>), i16> = "
        update shared_events.cursor
           set tick = case when is_kept then new.tick else cursor.tick end, pos = case when is_kept then new.pos else cursor.pos end,
               moved = clock_timestamp(), owner = null, expires = '-infinity'
          from unnest($3::int2[], $4::int8[], $5::int8[], $6::int8[]) as new (lane, epoch, tick, pos),
               (select exists (select from shared_events.tick where tick.tick = $7)
                       and ($8::integer is null or shared_events.timeline() = $8) as is_kept) as seen
         where cursor.subscription = $1 and cursor.owner = $2 and cursor.lane = new.lane and cursor.epoch = new.epoch
        returning cursor.lane";
    const LEAVE: Statement<(String, Uuid, String, i32), ()> = "
        insert into shared_events.relay (subscription, owner, expires, host, pid, has_left)
        select name, $2, clock_timestamp(), $3, $4, true from shared_events.subscription where name = $1
            on conflict (subscription, owner) do update set expires = excluded.expires, state = null, has_left = true";
    // What it has taken meanwhile. By itself, since beats lock the other way round.
    const FREE: Statement<(String, Uuid), ()> = "
        update shared_events.cursor set owner = null, expires = '-infinity' where subscription = $1 and owner = $2";
}

#[derive(Row)]
struct Beaten {
    paused: bool,
    timeline: Option<i32>,
    filter: Option<String>,
    ends: Option<i64>,
    rate: Option<f32>,
    others: i64,
    lanes: Vec<i16>,
    epochs: Vec<i64>,
    ticks: Vec<i64>,
    positions: Vec<i64>,
}

/// What a beat has found.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) owned: Vec<Owned>,
    /// How many lanes are its part.
    pub(super) share: usize,
    pub(super) paused: bool,
    /// On which the server has these lanes.
    pub(super) timeline: Option<i32>,
    /// What it is held to, if the subscription is a replay.
    pub(super) replay: Option<Bounds>,
    /// Cancelled when the leases may have run out before another beat came through.
    pub(super) alive: CancellationToken,
    /// What was let go before is not among them, unless it is its own again.
    pub(super) begun: Instant,
}

/// Beats until it is dropped. Three come in the time of a lease; when none has succeeded for so long that it may have run out, what is
/// in hand is cancelled.
///
/// One that is slow, such as while all connections have to be opened anew, is not given up for the next: they go on beside each other,
/// and the first that is answered counts.
pub(super) async fn beat(core: &Core, views: &watch::Sender<Option<View>>) {
    let (lease, subscription) = (core.config.lease, &core.config.subscription);
    let every = lease / 3;
    let mut alive = CancellationToken::new();
    let mut renewed = Instant::now();
    let mut next = renewed;
    let mut beats = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                let begun = Instant::now();
                next = begun + every;
                beats.push(async move { (begun, tokio::time::timeout(lease, once(core)).await) });
            }
            Some((begun, beaten)) = beats.next() => match beaten {
                // A later one was quicker.
                Ok(Ok(_)) if begun < renewed => {}
                Ok(Ok(Found { owned, share, paused, timeline, replay })) => {
                    if alive.is_cancelled() {
                        alive = CancellationToken::new();
                    }
                    renewed = begun;
                    let alive = alive.clone();
                    views.send_replace(Some(View { owned, share, paused, timeline, replay, alive, begun }));
                }
                Ok(Err(error)) => {
                    tracing::warn!(subscription, "a beat failed: {error}");
                    next = next.min(Instant::now() + every / 4);
                }
                Err(_) => tracing::warn!(subscription, "a beat took too long"),
            },
            // A dead lane's lease is taken soon after it ran out.
            () = tokio::time::sleep_until(renewed + every * 5 / 2), if !alive.is_cancelled() => alive.cancel(),
        }
    }
}

/// A view without what the beat itself knows.
struct Found {
    owned: Vec<Owned>,
    share: usize,
    paused: bool,
    timeline: Option<i32>,
    replay: Option<Bounds>,
}

async fn once(core: &Core) -> Result<Found, Error> {
    let seconds = core.config.lease.as_secs_f64();
    let (name, owner) = (&core.config.subscription, core.owner);
    let beat = (name, owner, seconds, &core.host, pid(), core.state());
    let Beaten { mut paused, timeline, filter, ends, rate, others, lanes, epochs, ticks, positions } =
        core.db.system().one(&BEAT, beat).await?;
    let replay = Bounds::read(filter.as_deref(), ends, rate).unwrap_or_else(|why| {
        tracing::warn!(subscription = name, "the replay waits for another program: {why}");
        paused = true;
        None
    });
    let columns = lanes.into_iter().zip(epochs).zip(ticks.into_iter().zip(positions));
    let mut owned: Vec<Owned> =
        columns.map(|((lane, epoch), (tick, pos))| row(lane, epoch, tick, pos)).collect();
    let share = usize::from(LANES).div_ceil(usize::try_from(others).unwrap_or_default() + 1);
    let free = i64::try_from(share.saturating_sub(owned.len())).unwrap_or_default();
    if free > 0 && !core.stop.is_cancelled() {
        let taken = core.db.system().all(&TAKE, (name, owner, seconds, free)).await?;
        owned.extend(taken.into_iter().map(|(lane, epoch, tick, pos)| row(lane, epoch, tick, pos)));
    }
    Ok(Found { owned, share, paused, timeline, replay })
}

fn pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}

fn row(of: i16, epoch: i64, tick: i64, pos: i64) -> Owned {
    Owned { lane: lane(of), epoch, cursor: Cursor { passed: tick, pos } }
}

/// Writes how far the lanes have come. Returns those that are still this relay's.
///
/// # Errors
/// [`Error::Unsafe`] where the database has gone back: nothing is written; [`Error::Database`].
pub(super) async fn advance(core: &Core, owned: &[Owned]) -> Result<Vec<Lane>, Error> {
    let written = core.db.system().all(&ADVANCE, params(core, owned)).await?;
    if written.len() < owned.len() {
        tick::still_has(&core.db, core.seen()).await?;
    }
    Ok(written.into_iter().map(lane).collect())
}

/// Lets other relays take these lanes at once, from where they stand; from where the database has them, if it has gone back.
pub(super) async fn release(core: &Core, owned: &[Owned]) -> Result<(), Error> {
    if !owned.is_empty() {
        core.db.system().all(&RELEASE, params(core, owned)).await?;
    }
    Ok(())
}

/// Says that this relay lives no more.
pub(super) async fn leave(core: &Core) -> Result<(), Error> {
    let me = (&core.config.subscription, core.owner, &core.host, pid());
    core.db.system().execute(&LEAVE, me).await?;
    core.db.system().execute(&FREE, (&core.config.subscription, core.owner)).await?;
    Ok(())
}

type Columns<'a> = (&'a String, Uuid, Vec<i16>, Vec<i64>, Vec<i64>, Vec<i64>, i64, Option<i32>);

fn params<'a>(core: &'a Core, owned: &[Owned]) -> Columns<'a> {
    (
        &core.config.subscription,
        core.owner,
        owned.iter().map(|owned| owned.lane.column()).collect(),
        owned.iter().map(|owned| owned.epoch).collect(),
        owned.iter().map(|owned| owned.cursor.passed).collect(),
        owned.iter().map(|owned| owned.cursor.pos).collect(),
        core.seen(),
        core.timeline.get(),
    )
}

#[cfg(test)]
mod tests;

//! Whether the log is as it was written: a chain of seals, each a hash over the events between two cuts and over the seal before.
//!
//! The triggers and rights keep everybody from changing the log but those who may take them away. A seal shows that they did: the
//! event that was changed, added or removed, or the seal. Whoever may do that may also seal everything anew, so keep the
//! [last root](Verified::last) elsewhere now and then, where they can't reach it, and compare.
//!
//! Seals are made in the background by the relays, about once a minute, and cost writers nothing.

#[cfg(test)]
mod tests;

use shared_db::{Db, Row, statements};

use crate::Error;

/// The rows between the cuts `cut.seen` and `cut.sees`, with these of their columns: by two legs of the index, what began after the earlier
/// one, and what was open then. `$where` bounds their positions. The index is searched by values, and no columns of a join, as where
/// relays read.
macro_rules! rows {
    ($columns:literal, $where:literal) => {
        concat!(
            "(select ", $columns, "
                from shared_events.log
               where log.lane = any ('{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}') and log.xid >= (select pg_snapshot_xmax(seen) from cut)
                 and log.xid < (select pg_snapshot_xmax(sees) from cut)
                 and pg_visible_in_snapshot(log.xid, (select sees from cut)) and ", $where, "
               union all
              select ", $columns, "
                from shared_events.log
               where log.lane = any ('{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}')
                 and log.xid = any (array(select pg_snapshot_xip(seen) from cut))
                 and pg_visible_in_snapshot(log.xid, (select sees from cut)) and ", $where, ")"
        )
    };
}

/// The hash of the events behind the position `page.behind`, up to `page.upto` if there is one, as one row: `events`, `since` and `digest`.
/// Numbers are of fixed forms and texts come with their lengths, so that two different events never look the same.
macro_rules! digest {
    () => {
        concat!(
            "cut as materialized (select seen, sees, behind, coalesce(upto, 9223372036854775807) as most from page),
            rows as ", rows!(
                "log.pos, log.xid, log.lane, log.id, log.tenant_id, log.name, log.version, log.key,
                 log.payload::text as payload, log.context::text as context, log.at",
                "log.pos > (select behind from cut) and log.pos <= (select most from cut)"), ",
            digest as (
            select count(*) as events, min(at) as since,
                   coalesce(string_agg(sha256(convert_to(concat_ws('|', pos, xid, lane, id, tenant_id, version,
                       (extract(epoch from at) * 1000000)::bigint, length(name), name, length(key), key,
                       length(payload), payload, length(context), context), 'UTF8')), ''::bytea order by pos), ''::bytea) as digest
              from rows)"
        )
    };
}

/// The root of a seal, from `previous`, `snap`, `upto`, `events` and `digest`.
macro_rules! root {
    ($previous:literal, $snap:literal, $upto:literal) => {
        concat!(
            "sha256(",
            $previous,
            " || convert_to(concat_ws('|', ",
            $snap,
            ", coalesce(",
            $upto,
            ", 0), digest.events, (extract(epoch from digest.since) * 1000000)::bigint), 'UTF8') || digest.digest)"
        )
    };
}

statements! {
    const LOCK: Statement<(), bool> = "select one from shared_events.upkeep for no key update";
    // What the newest tick sees and the last whole seal did not: the first `$1` events. Of more it takes the first transactions, as if the tick had been
    // made when the next began, so that it costs by what it seals: of each lane no more than its part, but one transaction whole; and of that
    // so many in the order of their positions, and the next seal goes on behind.
    pub(crate) const SEAL: Statement<(i32,), i64> = concat!("
        with last as materialized (select snap, upto, root from shared_events.seal order by seal desc limit 1),
        seen as materialized (
            select coalesce((select snap from shared_events.seal where upto is null order by seal desc limit 1), '1:1:'::pg_snapshot) as snap),
        newest as materialized (select snap from shared_events.tick order by tick desc limit 1),
        until as materialized (
            select case when bool_or(key.is_beyond) then greatest(min(key.xid) filter (where key.is_beyond), min(key.xid) + 1) end as xid
              from seen cross join newest cross join generate_series(0, 15) as own (lane) cross join lateral (
                   (select log.xid::text::bigint, false from shared_events.log
                     where log.lane = own.lane and log.xid >= pg_snapshot_xmax(seen.snap) and pg_visible_in_snapshot(log.xid, newest.snap)
                     order by log.lane, log.xid limit 1)
                    union all
                   (select log.xid::text::bigint, true from shared_events.log
                     where log.lane = own.lane and log.xid >= pg_snapshot_xmax(seen.snap) and pg_visible_in_snapshot(log.xid, newest.snap)
                     order by log.lane, log.xid offset $1 / 16 limit 1)) as key (xid, is_beyond)),
        bound as materialized (
            select case when until.xid < pg_snapshot_xmax(newest.snap)::text::bigint
                        then (least(pg_snapshot_xmin(newest.snap)::text::bigint, until.xid) || ':' || until.xid || ':' || coalesce((
                                   select string_agg(open.xid::text, ',' order by open.xid) from pg_snapshot_xip(newest.snap) as open (xid)
                                    where open.xid::text::bigint < until.xid), ''))::pg_snapshot
                        else newest.snap end as snap
              from newest cross join until),
        cut as materialized (
            select seen.snap as seen, coalesce((select snap from last where upto is not null), bound.snap) as sees,
                   coalesce((select upto from last), 0) as behind,
                   coalesce((select root from last), sha256(''::bytea)) as previous
              from seen cross join bound),
        page as materialized (
            select cut.seen, cut.sees, cut.behind, cut.previous,
                   (select case when count(*) > $1 then (array_agg(pos order by pos))[$1] end
                      from (select pos from ", rows!("log.pos", "log.pos > (select behind from cut)"), " as key order by pos limit $1 + 1) as first) as upto
              from cut),
        sealed as (
            with ", digest!(), "
            select page.sees, page.upto, digest.events, digest.since, page.previous, ", root!("page.previous", "page.sees", "page.upto"), " as root
              from page cross join digest where digest.events > 0)
        insert into shared_events.seal (snap, upto, events, since, previous, root)
        select sees, upto, events, since, previous, root from sealed
        returning events");
    const FORGET: Statement<(f64,), ()> = "
        delete from shared_events.seal where at < clock_timestamp() - make_interval(secs => $1)";
    const SEALS: Statement<(i64, i64), i64> = "
        select seal from shared_events.seal where seal >= $1 order by seal limit $2";
    // A seal whose first events are of a day that is gone can't be computed again, nor one whose beginning is forgotten.
    const CHECK: Statement<(i64,), Found> = concat!("
        with this as materialized (select seal, snap, upto, events, since, previous, root from shared_events.seal where seal = $1),
        before as materialized (
            select upto, root from shared_events.seal where seal < $1 order by seal desc limit 1),
        whole as materialized (
            select snap from shared_events.seal where seal < $1 and upto is null order by seal desc limit 1),
        page as materialized (
            select coalesce((select snap from whole), '1:1:'::pg_snapshot) as seen, this.snap as sees,
                   coalesce((select upto from before), 0) as behind, this.upto from this),
        ", digest!(), "
        select this.events, digest.events as found, this.root as root,
               ", root!("this.previous", "this.snap", "this.upto"), " as computed,
               coalesce((select root from before) = this.previous, true) as follows,
               exists (select 1 from whole)
                   or (select previous from shared_events.seal order by seal limit 1) = sha256(''::bytea) as has_before,
               coalesce(this.since >= (select min(day) from shared_events.days())::timestamp at time zone 'UTC', false) as is_kept
          from this cross join digest");
}

/// Events of one seal at most: hashed within a second or so, while the log's upkeep waits.
const SEALED: i32 = 50_000;

/// Seals that are made in one turn at most, a minute after the other.
const TURN: usize = 20;

/// Seals that are read at once.
const PAGE: i64 = 100;

/// What was found to be as it was sealed. See [`verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Seals whose events are all as they were.
    pub seals: u64,
    /// The events that they cover.
    pub events: u64,
    /// Seals that hold events of days which were dropped: they follow each other, and no more can be said of them.
    pub gone: u64,
    /// The last seal: its number, and its root as hexadecimal digits.
    pub last: Option<(i64, String)>,
}

#[derive(Row)]
struct Found {
    events: i64,
    found: i64,
    root: Vec<u8>,
    computed: Vec<u8>,
    follows: bool,
    has_before: bool,
    is_kept: bool,
}

/// Computes the seals anew, from this number on (1 for all), and compares. It reads every event that they cover.
///
/// # Errors
/// [`Error::Tampered`] for the first seal that does not fit; [`Error::Database`].
pub async fn verify(db: &Db, from: i64) -> Result<Verified, Error> {
    let (mut verified, mut next) = (Verified::default(), from);
    loop {
        let seals = db.system().all(&SEALS, (next, PAGE)).await?;
        let Some(last) = seals.last() else { return Ok(verified) };
        next = last.saturating_add(1);
        for seal in seals {
            let found = db.system().one(&CHECK, (seal,)).await?;
            found.judge(seal, &mut verified)?;
        }
    }
}

impl Found {
    fn judge(&self, seal: i64, verified: &mut Verified) -> Result<(), Error> {
        let tampered = |reason: String| Err(Error::Tampered { seal, reason });
        if !self.follows {
            return tampered("it does not follow the one before".to_owned());
        }
        // Those before the oldest that is kept are gone with their time.
        if !self.is_kept || !self.has_before {
            verified.gone += 1;
        } else if self.events != self.found {
            return tampered(format!("it covers {} events, and there are {}", self.events, self.found));
        } else if self.root != self.computed {
            return tampered("its events are not what they were".to_owned());
        } else {
            verified.seals += 1;
            verified.events += self.events.unsigned_abs();
        }
        let root = self.root.iter().map(|byte| format!("{byte:02x}")).collect();
        verified.last = Some((seal, root));
        Ok(())
    }
}

/// Seals what was committed since the last time, page by page.
pub(crate) async fn seal(db: &Db) -> Result<(), Error> {
    for _ in 0..TURN {
        if !page(db, SEALED).await? {
            break;
        }
    }
    Ok(())
}

/// Forgets the seals that are older than that.
pub(crate) async fn forget(db: &Db, kept: std::time::Duration) -> Result<(), Error> {
    db.system().execute(&FORGET, (kept.as_secs_f64(),)).await?;
    Ok(())
}

/// One seal of so many events at most. Returns whether there were any.
async fn page(db: &Db, events: i32) -> Result<bool, Error> {
    db.system()
        .tx(async |tx| {
            // One at a time; in a statement of its own, so that the next sees the last seal.
            tx.one(&LOCK, ()).await?;
            Ok(tx.opt(&SEAL, (events,)).await?.is_some())
        })
        .await
}

//! Whether the log is as it was written: a chain of seals, each a hash over the events between two cuts and over the seal before.
//!
//! The triggers and rights keep everybody from changing the log but those who may take them away. A seal shows that they did: the
//! event that was changed, added or removed, or the seal. Whoever may do that may also seal everything anew, so keep the
//! [last root](Verified::last) elsewhere now and then, where they can't reach it, and compare.
//!
//! Seals are made in the background by the relays, about once a minute, and cost writers nothing.

use shared_db::{Db, Row, statements};

use crate::Error;

/// The hash of the events between the cuts `cut.seen` and `cut.sees`, as one row: `events`, `since` and `digest`. Numbers are of fixed
/// forms and texts come with their lengths, so that two different events never look the same.
macro_rules! digest {
    () => {
        "rows as (
            select log.pos, log.xid, log.lane, log.id, log.tenant_id, log.name, log.version, log.key,
                   log.payload::text as payload, log.context::text as context, log.at
              from cut cross join generate_series(0, 15) as own (lane)
              join shared_events.log on log.lane = own.lane and log.xid >= pg_snapshot_xmax(cut.seen)
                                    and log.xid < pg_snapshot_xmax(cut.sees)
             where pg_visible_in_snapshot(log.xid, cut.sees)
             union all
            select log.pos, log.xid, log.lane, log.id, log.tenant_id, log.name, log.version, log.key,
                   log.payload::text, log.context::text, log.at
              from cut cross join generate_series(0, 15) as own (lane) cross join lateral pg_snapshot_xip(cut.seen) as open (xid)
              join shared_events.log on log.lane = own.lane and log.xid = open.xid
             where pg_visible_in_snapshot(log.xid, cut.sees)),
        digest as (
            select count(*) as events, min(at) as since,
                   coalesce(string_agg(sha256(convert_to(concat_ws('|', pos, xid, lane, id, tenant_id, version,
                       (extract(epoch from at) * 1000000)::bigint, length(name), name, length(key), key,
                       length(payload), payload, length(context), context), 'UTF8')), ''::bytea order by pos), ''::bytea) as digest
              from rows)"
    };
}

/// The root of a seal, from `previous`, `snap`, `events` and `digest`.
macro_rules! root {
    ($previous:literal, $snap:literal) => {
        concat!(
            "sha256(",
            $previous,
            " || convert_to(concat_ws('|', ",
            $snap,
            ", digest.events, (extract(epoch from digest.since) * 1000000)::bigint), 'UTF8') || digest.digest)"
        )
    };
}

statements! {
    const LOCK: Statement<(), bool> = "select one from shared_events.upkeep for update";
    // After hours without a relay there is much to hash, and it is not less the next time.
    const UNBOUND: Statement<(), String> = "select set_config('statement_timeout', '0', true)";
    // What the newest tick sees, and the last seal did not.
    const SEAL: Statement<(), i64> = concat!("
        with last as materialized (select snap, root from shared_events.seal order by seal desc limit 1),
        cut as materialized (
            select coalesce((select snap from last), '1:1:'::pg_snapshot) as seen, tick.snap as sees,
                   coalesce((select root from last), sha256(''::bytea)) as previous
              from shared_events.tick order by tick.tick desc limit 1),
        ", digest!(), "
        insert into shared_events.seal (snap, events, since, previous, root)
        select cut.sees, digest.events, digest.since, cut.previous, ", root!("cut.previous", "cut.sees"), "
          from cut cross join digest where digest.events > 0
        returning events");
    const FORGET: Statement<(f64,), ()> = "
        delete from shared_events.seal where at < clock_timestamp() - make_interval(secs => $1)";
    const SEALS: Statement<(i64, i64), i64> = "
        select seal from shared_events.seal where seal >= $1 order by seal limit $2";
    // A seal whose first events are of a day that is gone can't be computed again.
    const CHECK: Statement<(i64,), Found> = concat!("
        with this as materialized (select seal, snap, events, since, previous, root from shared_events.seal where seal = $1),
        before as materialized (
            select snap, root from shared_events.seal where seal < $1 order by seal desc limit 1),
        cut as materialized (
            select coalesce((select snap from before), '1:1:'::pg_snapshot) as seen, this.snap as sees from this),
        ", digest!(), "
        select this.events, digest.events as found, this.root as root,
               ", root!("this.previous", "this.snap"), " as computed,
               coalesce((select root from before) = this.previous, true) as follows,
               exists (select 1 from before) or this.previous = sha256(''::bytea) as has_before,
               coalesce(this.since >= (select min(day) from shared_events.days() as day)::timestamp at time zone 'UTC', false) as is_kept
          from this cross join digest");
}

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

/// Seals what was committed since the last time, and forgets seals that are older than that.
pub(crate) async fn seal(db: &Db, kept: std::time::Duration) -> Result<(), Error> {
    db.system()
        .tx(async |tx| {
            // One at a time; in a statement of its own, so that the next sees the last seal.
            tx.one(&LOCK, ()).await?;
            tx.one(&UNBOUND, ()).await?;
            tx.opt(&SEAL, ()).await?;
            tx.execute(&FORGET, (kept.as_secs_f64(),)).await?;
            Ok(())
        })
        .await
}

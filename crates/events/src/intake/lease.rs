//! Who reads which lanes. Times are the server's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use shared_db::{Db, Row, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use super::unread::Saw;
use crate::relay::host;
use crate::{Config, Error, Lane};

statements! {
    const SUBSCRIBE: Statement<(String, String, Option<String>), ()> = "
        insert into shared_events.subscription (name, kind, parked_under) values ($1, $2, $3) on conflict do nothing";
    const KIND: Statement<(String,), String> = "select kind from shared_events.subscription where name = $1";
    const LANES: Statement<(String, i16), ()> = "
        insert into shared_events.intake (subscription, lane)
        select $1, lane from generate_series(0, $2::int2 - 1) as lane on conflict do nothing";
    // Whether it is to pause, how many others live, and the server's timeline.
    const GREET: Statement<(String, Uuid, f64, String, i32, String), (bool, i64, Option<i32>)> = "
        with me as (
            insert into shared_events.relay (subscription, owner, expires, host, pid, state)
            values ($1, $2, clock_timestamp() + make_interval(secs => $3), $4, $5, $6::text::json)
                on conflict (subscription, owner) do update set expires = excluded.expires, state = excluded.state
                 where not relay.has_left),
        gone as (
            delete from shared_events.relay
             where subscription = $1 and owner <> $2 and expires < clock_timestamp() - make_interval(secs => 10 * $3))
        select coalesce((select paused from shared_events.subscription where name = $1), false) as paused,
               (select count(*) from shared_events.relay
                 where subscription = $1 and owner <> $2 and expires > clock_timestamp()) as others,
               shared_events.timeline() as timeline";
    const RENEW: Statement<(String, Uuid, f64), Owned> = "
        update shared_events.intake set expires = clock_timestamp() + make_interval(secs => $3)
         where subscription = $1 and owner = $2 returning lane, epoch, mark";
    // Whoever leaves waits for the lock on its own row, and frees what was taken until then.
    const TAKE: Statement<(String, Uuid, f64, i64), Owned> = "
        with me as materialized (
            select 1 from shared_events.relay where subscription = $1 and owner = $2 and not has_left for share)
        update shared_events.intake
           set owner = $2, epoch = epoch + 1, expires = clock_timestamp() + make_interval(secs => $3)
         where subscription = $1
           and lane in (select lane from shared_events.intake where subscription = $1 and expires < clock_timestamp()
                         order by lane limit $4 for update skip locked)
           and exists (select from me)
        returning lane, epoch, mark";
    // Not on another timeline, which may not have what was done up to there.
    const ADVANCE: Statement<(String, i16, i64, String, i64, Option<i32>), ()> = "
        update shared_events.intake
           set mark = $4, moved = clock_timestamp(), waiting = greatest(waiting - $5, 0),
               oldest = case when waiting > $5 then oldest end
         where subscription = $1 and lane = $2 and epoch = $3
           and (select $6::integer is null or shared_events.timeline() = $6)";
    const GIVE: Statement<(String, i16, i64), ()> = "
        update shared_events.intake set owner = null, expires = '-infinity'
         where subscription = $1 and lane = $2 and epoch = $3";
    // As a relay leaves: a beat that was on its way would bring back what is deleted.
    const LEAVE: Statement<(String, Uuid, String, i32), ()> = "
        insert into shared_events.relay (subscription, owner, expires, host, pid, has_left)
        select name, $2, clock_timestamp(), $3, $4, true from shared_events.subscription where name = $1
            on conflict (subscription, owner) do update set expires = excluded.expires, state = null, has_left = true";
    const FREE: Statement<(String, Uuid), ()> = "
        update shared_events.intake set owner = null, expires = '-infinity' where subscription = $1 and owner = $2";
    const SAW: Statement<(String, i16, Uuid, i64, Option<OffsetDateTime>), ()> = "
        update shared_events.intake set waiting = $4, oldest = $5
         where subscription = $1 and lane = $2 and owner = $3 and (waiting, oldest) is distinct from ($4, $5)";
}

/// A lane under a lease.
#[derive(Clone, Debug, Row)]
pub(super) struct Owned {
    lane: i16,
    /// Which owner this is: the writes of one that was away for too long touch nothing.
    pub(super) epoch: i64,
    /// What was done last.
    pub(super) mark: Option<String>,
}

impl Owned {
    pub(super) fn lane(&self) -> Option<Lane> {
        u8::try_from(self.lane).ok().and_then(Lane::new)
    }
}

/// What a reader is among those of its group.
pub(super) struct Reader {
    owner: Uuid,
    host: String,
    /// Why a lane, or all there is, could not be read last, until it can again.
    errors: Mutex<BTreeMap<Option<Lane>, String>>,
    /// What a group has yet to acknowledge, as its broker said last.
    waiting: Mutex<Option<u64>>,
}

/// What a reader says of itself.
#[derive(serde::Serialize)]
struct State<'a> {
    version: &'static str,
    last_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { owner: Uuid::now_v7(), host: host(), errors: Mutex::default(), waiting: Mutex::default() }
    }

    pub(super) fn says(&self, lane: Option<Lane>, error: Option<String>) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => drop(errors.insert(lane, error)),
            None => drop(errors.remove(&lane)),
        }
    }

    pub(super) fn waits(&self, waiting: Option<u64>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    fn state(&self) -> String {
        let waiting = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let last_error = errors.values().next().map(String::as_str);
        let state = State { version: env!("CARGO_PKG_VERSION"), last_error, waiting };
        serde_json::to_string(&state).unwrap_or_else(|_| "null".to_owned())
    }

    /// Says that it is alive. Returns whether it is to pause, how many live, and the server's timeline.
    pub(super) async fn greet(&self, db: &Db, config: &Config) -> Result<(bool, usize, Option<i32>), Error> {
        let (name, lease) = (config.subscription.as_str(), config.lease.as_secs_f64());
        let me = (name, self.owner, lease, self.host.as_str(), pid(), self.state());
        let (paused, others, timeline) = db.system().one(&GREET, me).await?;
        Ok((paused, usize::try_from(others).unwrap_or_default() + 1, timeline))
    }

    /// Says that it is gone, and has no lane any more.
    pub(super) async fn leave(&self, db: &Db, group: &str) -> Result<(), Error> {
        db.system().execute(&LEAVE, (group, self.owner, self.host.as_str(), pid())).await?;
        db.system().execute(&FREE, (group, self.owner)).await?;
        Ok(())
    }

    /// Writes down what the broker has of a lane that is its own.
    pub(super) async fn saw(&self, db: &Db, group: &str, lane: Lane, saw: Saw) -> Result<(), Error> {
        let waiting = saw.waiting.cast_signed();
        db.system().execute(&SAW, (group, lane.column(), self.owner, waiting, saw.oldest)).await?;
        Ok(())
    }
}

fn pid() -> i32 {
    std::process::id().cast_signed()
}

/// Makes the subscription of a group of readers, if it is not there.
pub(super) async fn subscribe(
    db: &Db,
    name: &str,
    kind: &str,
    parked_under: Option<&str>,
) -> Result<(), Error> {
    db.system().execute(&SUBSCRIBE, (name, kind, parked_under)).await?;
    let found = db.system().one(&KIND, (name,)).await?;
    match found == kind {
        true => Ok(()),
        false => Err(Error::Config(format!(
            "subscription `{name}` is one of kind `{found}`, and not `{kind}`; use another name"
        ))),
    }
}

/// Makes the lanes of a group, if they are not there.
pub(super) async fn begin(db: &Db, subscription: &str) -> Result<(), Error> {
    db.system().execute(&LANES, (subscription, i16::from(crate::LANES))).await?;
    Ok(())
}

/// What a beat has found.
pub(super) struct Beaten {
    pub(super) paused: bool,
    pub(super) timeline: Option<i32>,
    pub(super) owned: Vec<Owned>,
    /// How many lanes are its part.
    pub(super) share: usize,
}

/// Says that this reader is alive, renews its lanes, and takes free ones up to its share.
pub(super) async fn beat(db: &Db, config: &Config, reader: &Reader) -> Result<Beaten, Error> {
    let (paused, living, timeline) = reader.greet(db, config).await?;
    let (owner, group, lease) = (reader.owner, config.subscription.as_str(), config.lease.as_secs_f64());
    let share = usize::from(crate::LANES).div_ceil(living);
    let mut owned = db.system().all(&RENEW, (group, owner, lease)).await?;
    if let Some(more) = share.checked_sub(owned.len()).filter(|more| *more > 0) {
        let more = i64::try_from(more).unwrap_or_default();
        owned.extend(db.system().all(&TAKE, (group, owner, lease, more)).await?);
    }
    Ok(Beaten { paused, timeline, owned, share })
}

/// Writes down what was done last, so many events further. `false` where the lane is another's, or the server goes on with another timeline.
pub(super) async fn advance(
    db: &Db,
    group: &str,
    lane: Lane,
    (epoch, timeline): (i64, Option<i32>),
    (mark, count): (&str, usize),
) -> Result<bool, Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    Ok(db.system().execute(&ADVANCE, (group, lane.column(), epoch, mark, count, timeline)).await? == 1)
}

/// Lets another reader have the lane at once.
pub(super) async fn give(db: &Db, group: &str, lane: Lane, epoch: i64) -> Result<(), Error> {
    db.system().execute(&GIVE, (group, lane.column(), epoch)).await?;
    Ok(())
}

#[cfg(test)]
mod tests;

//! Who reads which lanes. Times are the server's.

use shared_db::{Db, Row, statements};
use uuid::Uuid;

use crate::{Config, Error, LANES, Lane};

statements! {
    const BEGIN: Statement<(String, i16), ()> = "
        insert into shared_events.intake (subscription, lane)
        select $1, lane from generate_series(0, $2::int2 - 1) as lane on conflict do nothing";
    const GREET: Statement<(String, Uuid, f64), ()> = "
        insert into shared_events.reader (subscription, owner, expires)
        values ($1, $2, clock_timestamp() + make_interval(secs => $3))
            on conflict (subscription, owner) do update set expires = excluded.expires";
    const LIVING: Statement<(String,), i64> = "
        select count(*) from shared_events.reader where subscription = $1 and expires > clock_timestamp()";
    const RENEW: Statement<(String, Uuid, f64), Owned> = "
        update shared_events.intake set expires = clock_timestamp() + make_interval(secs => $3)
         where subscription = $1 and owner = $2 returning lane, epoch, mark";
    const TAKE: Statement<(String, Uuid, f64, i64), Owned> = "
        update shared_events.intake
           set owner = $2, epoch = epoch + 1, expires = clock_timestamp() + make_interval(secs => $3)
         where subscription = $1
           and lane in (select lane from shared_events.intake where subscription = $1 and expires < clock_timestamp()
                         order by lane limit $4 for update skip locked)
        returning lane, epoch, mark";
    const ADVANCE: Statement<(String, i16, i64, String), ()> = "
        update shared_events.intake set mark = $4, moved = clock_timestamp()
         where subscription = $1 and lane = $2 and epoch = $3";
    const GIVE: Statement<(String, i16, i64), ()> = "
        update shared_events.intake set owner = null, expires = '-infinity'
         where subscription = $1 and lane = $2 and epoch = $3";
    // With those that are long gone.
    const LEAVE: Statement<(String, Uuid), ()> = "
        delete from shared_events.reader
         where subscription = $1 and (owner = $2 or expires < clock_timestamp() - interval '1 hour')";
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

/// Makes the lanes of a group, if they are not there.
pub(super) async fn begin(db: &Db, subscription: &str) -> Result<(), Error> {
    db.system().execute(&BEGIN, (subscription, i16::from(LANES))).await?;
    Ok(())
}

/// Says that this reader is alive, renews its lanes, and takes free ones up to its share. Returns all that are its own, and its share.
pub(super) async fn beat(db: &Db, config: &Config, owner: Uuid) -> Result<(Vec<Owned>, usize), Error> {
    let (group, lease) = (config.subscription.as_str(), config.lease.as_secs_f64());
    db.system().execute(&GREET, (group, owner, lease)).await?;
    let living = usize::try_from(db.system().one(&LIVING, (group,)).await?).unwrap_or(1).max(1);
    let share = usize::from(LANES).div_ceil(living);
    let mut owned = db.system().all(&RENEW, (group, owner, lease)).await?;
    if let Some(more) = share.checked_sub(owned.len()).filter(|more| *more > 0) {
        let more = i64::try_from(more).unwrap_or_default();
        owned.extend(db.system().all(&TAKE, (group, owner, lease, more)).await?);
    }
    Ok((owned, share))
}

/// Writes down what was done last. `false` where the lane is another's.
pub(super) async fn advance(db: &Db, group: &str, lane: Lane, epoch: i64, mark: &str) -> Result<bool, Error> {
    Ok(db.system().execute(&ADVANCE, (group, i16::from(lane.number()), epoch, mark)).await? == 1)
}

/// Lets another reader have the lane at once.
pub(super) async fn give(db: &Db, group: &str, lane: Lane, epoch: i64) -> Result<(), Error> {
    db.system().execute(&GIVE, (group, i16::from(lane.number()), epoch)).await?;
    Ok(())
}

/// Says that this reader is gone.
pub(super) async fn leave(db: &Db, group: &str, owner: Uuid) -> Result<(), Error> {
    db.system().execute(&LEAVE, (group, owner)).await?;
    Ok(())
}

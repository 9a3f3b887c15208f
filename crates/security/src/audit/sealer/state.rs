//! The sealer's lease, and how far it has come: one row. Times are the server's.

use std::time::{Duration, Instant};

use shared_db::{Db, cut_behind, cut_here, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Halt;
use crate::Error;

statements! {
    const AHEAD: Statement<(), bool> = "
        select pg_snapshot_xmax(seen) > pg_snapshot_xmax(pg_current_snapshot()) from shared_security.audit_sealer";
    const TAKE: Statement<(Uuid, f64), i64> = "
        update shared_security.audit_sealer
           set owner = $1, epoch = epoch + 1, expires = clock_timestamp() + make_interval(secs => $2)
         where expires < clock_timestamp()
        returning epoch";
    const RENEW: Statement<(i64, f64), ()> = "
        update shared_security.audit_sealer set expires = clock_timestamp() + make_interval(secs => $2) where epoch = $1";
    const RELEASE: Statement<(i64,), ()> = "
        update shared_security.audit_sealer set expires = '-infinity', owner = null where epoch = $1";
    /// A read alone, which draws no transaction id.
    pub(super) const LOOK: Statement<(i64,), (bool, OffsetDateTime, Option<OffsetDateTime>, i64)> = concat!("
        with cut as materialized (select seen, seen_at, sees_at, pos from shared_security.audit_sealer where epoch = $1)
        select ", cut_behind!("shared_security.audit_log"), ", cut.seen_at, cut.sees_at, cut.pos from cut");
    // One sealer makes cuts at a time: its epoch is their lock.
    const CUT: Statement<(i64, f64), (OffsetDateTime, Option<OffsetDateTime>)> = concat!("
        update shared_security.audit_sealer
           set sees = pg_current_snapshot(), sees_at = clock_timestamp(), pos = 0,
               expires = clock_timestamp() + make_interval(secs => $2)
          from (select ", cut_here!(), " as safe) as here
         where epoch = $1 and sees is null and here.safe
        returning seen_at, sees_at");
}

/// The entries of this server's log are not yet to be written.
pub(super) async fn check(db: &Db) -> Result<(), Error> {
    match db.system().one(&AHEAD, ()).await? {
        false => Ok(()),
        true => Err(Error::Uncut(
            "the sealer is ahead of the server's transactions, as after a restore into another server"
                .to_owned(),
        )),
    }
}

/// What there is to do.
pub(super) enum State {
    /// Everything is sealed.
    Nothing,
    /// Something was committed behind the last cut.
    Uncut,
    /// There is a cut whose entries are not all sealed.
    Cut(Cut),
}

/// Two cuts, and how far what lies between them is sealed.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) since: OffsetDateTime,
    pub(super) until: OffsetDateTime,
    pub(super) pos: i64,
}

/// A lease that was taken. Each write names its epoch: those of a sealer that was away for too long touch nothing.
pub(super) struct Lease {
    pub(super) epoch: i64,
    pub(super) length: Duration,
    renewed: Instant,
}

impl Lease {
    /// Takes the lease, unless another sealer holds it.
    pub(super) async fn take(db: &Db, length: Duration) -> Result<Option<Self>, Halt> {
        let renewed = Instant::now();
        let epoch = db.system().opt(&TAKE, (Uuid::now_v7(), length.as_secs_f64())).await?;
        Ok(epoch.map(|epoch| Self { epoch, length, renewed }))
    }

    pub(super) async fn look(&self, db: &Db) -> Result<State, Halt> {
        match db.system().opt(&LOOK, (self.epoch,)).await?.ok_or(Halt::Lost)? {
            (_, since, Some(until), pos) => Ok(State::Cut(Cut { since, until, pos })),
            (true, ..) => Ok(State::Uncut),
            (false, ..) => Ok(State::Nothing),
        }
    }

    /// Makes the next cut, flushed before anything of it is sealed.
    pub(super) async fn cut(&mut self, db: &Db) -> Result<Cut, Halt> {
        let now = Instant::now();
        let cut = db.system().opt(&CUT, (self.epoch, self.length.as_secs_f64())).await?;
        let Some((since, Some(until))) = cut else { return Err(Halt::Lost) };
        self.renewed = now;
        Ok(Cut { since, until, pos: 0 })
    }

    pub(super) async fn renew_if_due(&mut self, db: &Db) -> Result<(), Halt> {
        if self.renewed.elapsed() < self.length / 3 {
            return Ok(());
        }
        let now = Instant::now();
        let touched = db.system().execute(&RENEW, (self.epoch, self.length.as_secs_f64())).await?;
        self.renewed_at(now, touched == 1)
    }

    /// Notes a write that renewed the lease, if it did.
    pub(super) fn renewed_at(&mut self, now: Instant, held: bool) -> Result<(), Halt> {
        if !held {
            return Err(Halt::Lost);
        }
        self.renewed = now;
        Ok(())
    }

    /// Lets another sealer take it at once.
    pub(super) async fn release(self, db: &Db) -> Result<(), Halt> {
        db.system().execute(&RELEASE, (self.epoch,)).await?;
        Ok(())
    }
}

//! The right to read for a subscription, and how far it has read. Times are the server's.

use std::time::{Duration, Instant};

use shared_db::{Db, statements};
use uuid::Uuid;

use super::Halt;
use crate::Config;

statements! {
    const TAKE: Statement<(String, Uuid, f64), (i64, i64, i64)> = "
        update shared_events.subscription
           set owner = $2, epoch = epoch + 1, expires = clock_timestamp() + make_interval(secs => $3)
         where name = $1 and expires < clock_timestamp()
        returning epoch, tick, pos";
    const RENEW: Statement<(String, i64, f64), ()> = "
        update shared_events.subscription set expires = clock_timestamp() + make_interval(secs => $3)
         where name = $1 and epoch = $2";
    const ADVANCE: Statement<(String, i64, f64, i64, i64), ()> = "
        update shared_events.subscription
           set expires = clock_timestamp() + make_interval(secs => $3), tick = $4, pos = $5
         where name = $1 and epoch = $2";
    const RELEASE: Statement<(String, i64), ()> = "
        update shared_events.subscription set expires = '-infinity', owner = null where name = $1 and epoch = $2";
}

/// A lease that was taken, and the cursor under it. Each write names its epoch, so that the writes of a relay that
/// was away for too long touch nothing.
pub(crate) struct Lease {
    subscription: String,
    epoch: i64,
    length: Duration,
    renewed: Instant,
    /// Everything up to this tick was delivered,
    pub(crate) tick: i64,
    /// and of the next one everything up to this position.
    pub(crate) pos: i64,
}

impl Lease {
    /// Takes the lease, unless another relay holds it.
    pub(crate) async fn take(db: &Db, config: &Config) -> Result<Option<Self>, Halt> {
        let renewed = Instant::now();
        let (subscription, length) = (config.subscription.clone(), config.lease);
        let taken = db.system().opt(&TAKE, (&subscription, Uuid::now_v7(), length.as_secs_f64())).await?;
        Ok(taken.map(|(epoch, tick, pos)| Self { subscription, epoch, length, renewed, tick, pos }))
    }

    /// Moves the cursor, and renews the lease with it.
    pub(crate) async fn advance(&mut self, db: &Db, tick: i64, pos: i64) -> Result<(), Halt> {
        let now = Instant::now();
        let params = (&self.subscription, self.epoch, self.length.as_secs_f64(), tick, pos);
        self.held(db.system().execute(&ADVANCE, params).await?)?;
        (self.tick, self.pos, self.renewed) = (tick, pos, now);
        Ok(())
    }

    /// Renews the lease again and again, until it can't.
    pub(crate) async fn keep(&mut self, db: &Db) -> Halt {
        loop {
            tokio::time::sleep((self.length / 3).saturating_sub(self.renewed.elapsed())).await;
            if let Err(halt) = self.renew_if_due(db).await {
                return halt;
            }
        }
    }

    pub(crate) async fn renew_if_due(&mut self, db: &Db) -> Result<(), Halt> {
        if self.renewed.elapsed() < self.length / 3 {
            return Ok(());
        }
        let now = Instant::now();
        let params = (&self.subscription, self.epoch, self.length.as_secs_f64());
        self.held(db.system().execute(&RENEW, params).await?)?;
        self.renewed = now;
        Ok(())
    }

    /// Lets another relay take it at once.
    pub(crate) async fn release(self, db: &Db) -> Result<(), Halt> {
        db.system().execute(&RELEASE, (self.subscription, self.epoch)).await?;
        Ok(())
    }

    fn held(&self, touched: u64) -> Result<(), Halt> {
        if touched == 1 { Ok(()) } else { Err(Halt::Lost) }
    }
}

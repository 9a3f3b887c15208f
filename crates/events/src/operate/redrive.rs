use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shared_core::TenantId;
use shared_db::statements;
use tokio::time::{Instant, sleep_until};

use super::parked::{ParkedPlace, meant};
use super::{ParkedFilter, Subscriptions, refuse};
use crate::Error;

/// Keys that are redriven in one step: a transaction of some milliseconds.
const AT_ONCE: u32 = 100;

/// The highest rate, in keys per second; without a rate it goes as fast as the database does.
const HIGHEST_RATE: u32 = 1_000_000;

statements! {
    pub(super) const NEWEST: Statement<(), i64> = "select coalesce(max(pos), 0) from shared_events.parked";
    // `$7` to `$10` behind which one, `$11` up to which position, `$12` how many at most. Those that somebody has in hand are being
    // tried at this moment; those with a stamp are on their way to a sink.
    const REDRIVE: Statement<(Option<String>, Option<String>, Option<TenantId>, Option<String>, Option<String>, Option<String>,
                              i64, TenantId, String, String, i64, i64), (i64, TenantId, String, String)> = concat!("
        with chosen as materialized (
                 select p.tenant_id, p.subscription, p.consumer, p.key, p.pos from shared_events.parked as p
                  where p.state in ('dead', 'retrying') and p.tick is null and ", meant!(), "
                    and (p.pos, p.tenant_id, p.subscription, p.consumer) > ($7, $8, $9, $10) and p.pos <= $11
                  order by p.pos, p.tenant_id, p.subscription, p.consumer limit $12 for update skip locked),
             due as (
                 update shared_events.parked as p set state = 'retrying', attempts = 0, next_at = clock_timestamp()
                   from chosen as c
                  where (p.tenant_id, p.subscription, p.consumer, p.key, p.pos) = (c.tenant_id, c.subscription, c.consumer, c.key, c.pos)
                 returning p.pos, p.tenant_id, p.subscription, p.consumer)
        select pos, tenant_id, subscription, consumer from due order by 1, 2, 3, 4");
}

/// Lets parked keys be tried again, with all attempts before them: the first event of each, then those behind it in their order. Made
/// by [`Subscriptions::redrive`]; awaiting it does it, and returns how many keys are due now.
///
/// It only says that they are due: the relay that has the lane tries them, wherever it runs. What is parked while it works stays, so it
/// comes to an end. Dropping the future ends it after the step that is under way; what is due stays due.
///
/// Awaiting fails with [`Error::NotDone`] for a rate out of bounds and for a filter with an empty word, and with [`Error::Database`].
#[derive(Clone, Debug)]
#[must_use = "nothing is redriven before it is awaited"]
pub struct Redrive {
    subscriptions: Subscriptions,
    which: ParkedFilter,
    rate: Option<u32>,
    most: u64,
}

impl Subscriptions {
    /// Lets parked keys be tried again, those that wait for an operator and those that wait for their next attempt. The filter is
    /// held against the first event of each. It does nothing before it is awaited; see [`Redrive`].
    pub fn redrive(&self, which: ParkedFilter) -> Redrive {
        Redrive { subscriptions: self.clone(), which, rate: None, most: u64::MAX }
    }
}

impl Redrive {
    /// So many keys per second, from 1 to a million: for a service behind them that has just come back.
    pub fn at_rate(mut self, per_second: u32) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// At most this many keys.
    pub fn most(mut self, keys: u64) -> Self {
        self.most = keys;
        self
    }

    async fn run(self) -> Result<u64, Error> {
        let sound = self.rate.is_none_or(|rate| (1..=HIGHEST_RATE).contains(&rate));
        refuse("redriving", (!sound).then_some("expected a rate from 1 to a million keys per second"))?;
        self.which.check("redriving")?;
        if self.which.is_vain() {
            return Ok(0);
        }
        let newest = self.subscriptions.db.system().one(&NEWEST, ()).await?;
        let (start, mut done, mut last) = (Instant::now(), 0, first());
        while done < self.most {
            let left = u32::try_from(self.most - done).unwrap_or(u32::MAX);
            let step = left.min(AT_ONCE).min(self.rate.unwrap_or(AT_ONCE));
            let due = self.step(&last, newest, step).await?;
            let Some(reached) = due.last() else { break };
            last = reached.clone();
            done += due.len() as u64;
            self.subscriptions.wake();
            if let Some(rate) = self.rate {
                sleep_until(start + Duration::from_secs_f64(done as f64 / f64::from(rate))).await;
            }
        }
        Ok(done)
    }

    async fn step(&self, last: &ParkedPlace, newest: i64, most: u32) -> Result<Vec<ParkedPlace>, Error> {
        let (f, (pos, tenant, subscription, consumer)) = (&self.which, last);
        let params = (
            &f.subscription,
            &f.consumer,
            f.tenant,
            &f.key,
            &f.event,
            &f.reason,
            *pos,
            *tenant,
            subscription,
            consumer,
            newest,
            i64::from(most),
        );
        Ok(self.subscriptions.db.system().all(&REDRIVE, params).await?)
    }
}

/// Before all of them.
pub(super) fn first() -> ParkedPlace {
    (i64::MIN, TenantId::from_uuid(uuid::Uuid::nil()), String::new(), String::new())
}

impl IntoFuture for Redrive {
    type Output = Result<u64, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.run().boxed()
    }
}

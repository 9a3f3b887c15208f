//! Bringing what was there before once more: a subscription of its own, from a place in the log, through a filter, at a rate.

mod bounds;
mod filter;
#[cfg(test)]
mod tests;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shared_core::TenantId;
use shared_db::{Tx, statements};
use time::OffsetDateTime;

pub(crate) use bounds::{Bounds, Pace};
pub(crate) use filter::Filter;

use crate::operate::{Subscriptions, check_name, refuse};
use crate::relay::tick;
use crate::{Error, LANES, Place};

/// The highest rate, in events per second.
const HIGHEST_RATE: f32 = 1_000_000.0;

/// Names of events in one filter at most: more are a program's whole vocabulary.
const MOST_NAMES: usize = 100;

statements! {
    // A tick that was made before then has seen nothing that was written since.
    const BEFORE: Statement<(OffsetDateTime,), i64> = "select coalesce(max(tick), 0) from shared_events.tick where at <= $1";
    // The tick before that place's own, which has to be there: the batch between the two is what the place was in.
    const BEFORE_PLACE: Statement<(i64,), Option<i64>> = "
        select (select max(earlier.tick) from shared_events.tick as earlier where earlier.tick < $1)
          from shared_events.tick as tick where tick.tick = $1";
    const SUBSCRIBE: Statement<(String, String, Option<i64>, Option<f32>), ()> = "
        insert into shared_events.subscription (name, filter, ends, rate) values ($1, $2::text::jsonb, $3, $4) on conflict do nothing";
    const BEGIN_AT: Statement<(String, i64, i32), ()> = "
        insert into shared_events.cursor (subscription, lane, tick) select $1, lane, $2 from generate_series(0, $3 - 1) as lane";
}

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beginning {
    Log,
    Time(OffsetDateTime),
    Place(Place),
}

/// A subscription that brings events that were there before, marked as a replay ([`Envelope::replay`](crate::Envelope::replay)). Made by
/// [`Subscriptions::replay`]; awaiting it makes the subscription, and fails where there is one of this name.
///
/// A program then reads it by this name: [`Config::subscription`](crate::Config::subscription). It has its own places, so consumers
/// have their effects once more; those that are live are not touched. It holds the log like any other: when it is over,
/// [retire](crate::Subscription::retire) it.
///
/// ```no_run
/// # use time::OffsetDateTime;
/// # use shared_core::TenantId;
/// # use shared_events::{Error, Subscriptions};
/// # async fn replay(subscriptions: &Subscriptions, since: OffsetDateTime, tenant: TenantId) -> Result<(), Error> {
/// subscriptions.replay("digest.again").since(since).tenant(tenant).events(["note.created"]).at_rate(100.0).until_now().await?;
/// # Ok(()) }
/// ```
///
/// Awaiting fails with [`Error::NotDone`] for a name that none can have, and for a rate or a filter out of bounds; with [`Error::Conflict`] for a
/// name that is taken, and for a place whose tick is forgotten; with [`Error::Database`]. If the future is dropped, it was done whole or not at all.
#[derive(Clone, Debug)]
#[must_use = "nothing is replayed before it is awaited"]
pub struct Replay {
    subscriptions: Subscriptions,
    name: String,
    from: Beginning,
    filter: Filter,
    rate: Option<f32>,
    until_now: bool,
}

impl Subscriptions {
    /// A replay of the whole log under this name, unless more is said. It does nothing before it is awaited; see [`Replay`].
    pub fn replay(&self, name: impl Into<String>) -> Replay {
        Replay {
            subscriptions: self.clone(),
            name: name.into(),
            from: Beginning::Log,
            filter: Filter::default(),
            rate: None,
            until_now: false,
        }
    }
}

impl Replay {
    /// Events that were written since then, by the server's clock.
    pub fn since(mut self, at: OffsetDateTime) -> Self {
        self.from = Beginning::Time(at);
        self
    }

    /// Events from this place on, and that of the same place in every lane. Ticks are forgotten when every subscription has passed them
    /// by a while: further back a time is the way.
    pub fn from_place(mut self, place: Place) -> Self {
        self.from = Beginning::Place(place);
        self
    }

    /// Events of one tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.filter.tenant = Some(tenant);
        self
    }

    /// Events of one key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.filter.key = Some(key.into());
        self
    }

    /// Events of these types; a hundred at most.
    pub fn events<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.filter.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// So many events per second at most, over all relays and before the filter; from one in a thousand seconds to a million.
    pub fn at_rate(mut self, per_second: f32) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// It ends with what is committed now; else it goes on with what comes.
    pub fn until_now(mut self) -> Self {
        self.until_now = true;
        self
    }

    async fn run(mut self) -> Result<(), Error> {
        self.check()?;
        let db = self.subscriptions.db.clone();
        match self.from {
            Beginning::Time(at) => self.filter.since = Some(at),
            Beginning::Place(place) => self.filter.from = Some((place.tick, place.pos)),
            Beginning::Log => {}
        }
        db.system().tx(async |tx| self.subscribe(tx).await).await
    }

    fn check(&self) -> Result<(), Error> {
        const ATTEMPTED: &str = "beginning a replay";
        check_name(ATTEMPTED, &self.name)?;
        let sound = self.rate.is_none_or(|rate| (0.001..=HIGHEST_RATE).contains(&rate));
        refuse(ATTEMPTED, (!sound).then_some("expected a rate from 0.001 to a million events per second"))?;
        let many = self.filter.names.len() > MOST_NAMES;
        refuse(ATTEMPTED, many.then_some("a hundred names of events fit a filter"))?;
        refuse(ATTEMPTED, self.filter.is_vain().then_some("no event has such a key or name"))
    }

    async fn subscribe(&self, tx: &mut Tx) -> Result<(), Error> {
        const ATTEMPTED: &str = "beginning a replay";
        // Before the tick is looked for.
        tick::hold(tx).await?;
        let tick = match self.from {
            Beginning::Log => 0,
            Beginning::Time(at) => tx.one(&BEFORE, (at,)).await?,
            Beginning::Place(place) => {
                tx.opt(&BEFORE_PLACE, (place.tick,)).await?.flatten().ok_or_else(|| {
                    Error::conflict(ATTEMPTED, format!("the tick of {place} is forgotten; begin at a time"))
                })?
            }
        };
        let ends = if self.until_now { Some(tick::cut_within(tx).await?) } else { None };
        let made = tx.execute(&SUBSCRIBE, (&self.name, self.filter.to_json(), ends, self.rate)).await?;
        if made == 0 {
            return Err(Error::conflict(
                ATTEMPTED,
                format!("there is a subscription `{}` already", self.name),
            ));
        }
        tx.execute(&BEGIN_AT, (&self.name, tick, i32::from(LANES))).await?;
        Ok(())
    }
}

impl IntoFuture for Replay {
    type Output = Result<(), Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.run().boxed()
    }
}

//! How the subscriptions stand.

use std::time::Duration;

use shared_db::{Row, statements};
use time::OffsetDateTime;

use super::lanes::{LaneStatus, lanes};
use super::{Subscription, Subscriptions};
use crate::Error;

statements! {
    const SUBSCRIPTIONS: Statement<(Option<String>,), StatusRow> = "
        select s.name, s.kind, coalesce(s.parked_under, s.name) as parked_under, s.paused, s.filter is not null as replay, s.ends, s.created, coalesce(p.parked, 0) as parked,
               coalesce(p.dead, 0) as dead,
               coalesce(r.relays, 0) as relays, coalesce(r.waiting, 0) as waiting
          from shared_events.subscription as s
          left join (select subscription, count(*) as parked, count(*) filter (where state = 'dead') as dead
                       from shared_events.parked
                      where state <> 'sent' and ($1::text is null or subscription in (
                            select coalesce(parked_under, name) from shared_events.subscription where name = $1))
                      group by subscription) as p
            on p.subscription = coalesce(s.parked_under, s.name)
          left join (select subscription, count(*) as relays, max((state ->> 'waiting')::bigint) as waiting
                       from shared_events.relay where expires > clock_timestamp() group by subscription) as r
            on r.subscription = s.name
         where $1::text is null or s.name = $1
         order by s.name";
}

/// To whom a subscription brings events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// To functions of a program.
    Consumers,
    /// To a sink outside of it.
    Sink,
    /// To functions of a program, from a broker, in order: an [`Intake`](crate::Intake).
    Intake,
    /// The same from a group that the broker keeps, without order.
    Group,
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumers => "consumers",
            Self::Sink => "sink",
            Self::Intake => "intake",
            Self::Group => "group",
        }
    }

    /// The kind of this word.
    fn read(word: &str) -> Self {
        let kinds = [Self::Sink, Self::Intake, Self::Group];
        kinds.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Consumers)
    }

    /// Whether it reads the log, and not a broker.
    pub(crate) const fn is_of_log(self) -> bool {
        matches!(self, Self::Consumers | Self::Sink)
    }
}

/// A subscription at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SubscriptionStatus {
    /// Its name.
    pub name: String,
    /// To whom it brings events.
    pub kind: Kind,
    /// The name under which its parked events are listed: its own, but for an intake that reads its own log from a broker.
    pub parked_under: String,
    /// Whether it is stopped by an operator.
    pub paused: bool,
    /// Whether it brings what was there before once more.
    pub replay: bool,
    /// The tick at which it ends, if it is a replay that does.
    pub ends: Option<i64>,
    /// Committed events that it has not passed; of each lane some ten thousand are counted. Of a replay, before its filter. Of an intake, what
    /// its readers saw at the broker last, 15 s ago or less, a thousand of each lane. Of a group, what it has not acknowledged, as the broker told
    /// its readers last, two leases ago or less; 0 where it does not know.
    pub waiting: u64,
    /// How old the oldest of them is, by the server's clock.
    pub oldest: Option<Duration>,
    /// Events put aside, with those that wait behind them.
    pub parked: u64,
    /// Keys that wait for an operator.
    pub dead: u64,
    /// Lanes that a relay has.
    pub held: u32,
    /// Relays or intakes that work on it.
    pub relays: u32,
    /// Since when it has been there.
    pub created: OffsetDateTime,
}

#[derive(Row)]
struct StatusRow {
    name: String,
    kind: String,
    parked_under: String,
    paused: bool,
    replay: bool,
    ends: Option<i64>,
    created: OffsetDateTime,
    parked: i64,
    dead: i64,
    relays: i64,
    waiting: i64,
}

impl Subscriptions {
    /// All of them, by name. It reads an index entry for each event that it counts: fine for a person, or a probe every some seconds.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn status(&self) -> Result<Vec<SubscriptionStatus>, Error> {
        self.standing(None).await
    }

    pub(super) async fn standing(&self, name: Option<&str>) -> Result<Vec<SubscriptionStatus>, Error> {
        let rows: Vec<StatusRow> = self.db.system().all(&SUBSCRIPTIONS, (name,)).await?;
        let lanes = lanes(&self.db, name).await?;
        Ok(rows.into_iter().map(|row| SubscriptionStatus::of(row, &lanes)).collect())
    }
}

impl Subscription {
    /// How it stands; `None` if there is none of this name.
    ///
    /// # Errors
    /// [`Error::NotDone`] for a name that none can have, [`Error::Database`].
    pub async fn status(&self) -> Result<Option<SubscriptionStatus>, Error> {
        self.check("looking at a subscription")?;
        Ok(self.subscriptions.standing(Some(&self.name)).await?.pop())
    }

    /// Its lanes, in their order.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn lanes(&self) -> Result<Vec<LaneStatus>, Error> {
        self.check("looking at a subscription")?;
        lanes(&self.subscriptions.db, Some(&self.name)).await
    }
}

impl SubscriptionStatus {
    fn of(row: StatusRow, lanes: &[LaneStatus]) -> Self {
        let lanes = || lanes.iter().filter(|lane| lane.subscription == row.name);
        Self {
            kind: Kind::read(&row.kind),
            parked_under: row.parked_under,
            paused: row.paused,
            replay: row.replay,
            ends: row.ends,
            waiting: row.waiting.unsigned_abs() + lanes().map(|lane| lane.waiting).sum::<u64>(),
            oldest: lanes().filter_map(|lane| lane.oldest).max(),
            parked: row.parked.unsigned_abs(),
            dead: row.dead.unsigned_abs(),
            held: lanes().map(|lane| u32::from(lane.holder.is_some())).sum(),
            relays: u32::try_from(row.relays).unwrap_or_default(),
            created: row.created,
            name: row.name,
        }
    }

    /// Whether it is a replay that has come to its end.
    pub fn is_over(&self) -> bool {
        self.ends.is_some() && self.waiting == 0
    }
}

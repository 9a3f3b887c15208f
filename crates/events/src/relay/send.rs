//! A lane's events to a sink: what it takes, in order; what it will never take is parked, with what follows of its key.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use shared_core::{TenantId, fault};
use shared_db::{Db, statements};
use uuid::Uuid;

use super::breaker::Breaker;
use super::foreign::{Foreign, When};
use super::read::Log;
use crate::metrics::METRICS;
use crate::sink::{Refusal, Sink};
use crate::{Envelope, Error, Lane, Place, spans};

statements! {
    // Of these keys what is parked: it blocks what comes after, unless it goes out with this very tick, went out before, or was discarded.
    // However many wait, a row for each key.
    const PARKED: Statement<(String, i16, Vec<String>, i64), (TenantId, String, bool, Vec<i64>, Vec<i64>)> = "
        select tenant_id, key,
               bool_or(case when tick = $4 or state = 'sent' and (tick < $4 or tick is null) then false else true end) as is_blocked,
               coalesce(array_agg(pos) filter (where tick = $4), '{}') as stamped,
               coalesce(array_agg(pos) filter (where state = 'sent' and tick is null), '{}') as discarded
          from shared_events.parked
         where subscription = $1 and lane = $2 and key = any ($3)
         group by tenant_id, key";
    // An operator may throw away what it would wait behind: then it is first, and due.
    pub(super) const PARK: Statement<(String, String, i16, TenantId, String, i64, Option<i64>, Uuid, String, Option<String>), ()> = "
        with ahead as materialized (
            select 1 from shared_events.parked
             where tenant_id = $4 and subscription = $1 and consumer = $2 and key = $5 and state <> 'sent'
             order by pos limit 1 for update)
        insert into shared_events.parked
               (tenant_id, subscription, consumer, lane, key, pos, xid, event_id, name, reason, attempts, state, next_at)
        select $4, $1, $2, $3, $5, $6, $7::int8::text::xid8, $8, $9, $10, case when $10::text is null then 0 else 1 end, new.state,
               case when new.state = 'retrying' then clock_timestamp() end
          from (select case when $10::text is not null then 'dead' when exists (select 1 from ahead) then 'waiting'
                            else 'retrying' end as state) as new
            on conflict (tenant_id, subscription, consumer, key, pos) do update
           set state = excluded.state, reason = excluded.reason, attempts = parked.attempts + 1, next_at = null, tick = null
         where excluded.state = 'dead'";
    // What was sent, and of each key what waits behind it now, unless more of it is on its way.
    pub(super) const SENT: Statement<(String, i16, i64, Vec<i64>), ()> = "
        with sent as (
            update shared_events.parked set state = 'sent', next_at = null
             where subscription = $1 and lane = $2 and tick = $3 and pos = any ($4)
            returning tenant_id, consumer, key, pos)
        update shared_events.parked set state = 'retrying', next_at = clock_timestamp()
          from (select distinct tenant_id, consumer, key from sent) as of
         where parked.subscription = $1 and parked.tenant_id = of.tenant_id and parked.consumer = of.consumer
           and parked.key = of.key and parked.state = 'waiting' and parked.tick is null
           and parked.pos = (select min(rest.pos) from shared_events.parked as rest
                              where rest.subscription = $1 and rest.tenant_id = of.tenant_id and rest.consumer = of.consumer
                                and rest.key = of.key and rest.state <> 'sent' and rest.tick is null)
           and not exists (select from shared_events.parked as rest
                            where rest.subscription = $1 and rest.tenant_id = of.tenant_id and rest.consumer = of.consumer
                              and rest.key = of.key and rest.state <> 'sent' and rest.tick = $3 and rest.pos <> all ($4))";
    // One that was refused takes those behind it out of the tick; what came before it is there.
    pub(super) const UNSTAMP: Statement<(String, i16, TenantId, String, i64, i64), ()> = "
        update shared_events.parked set tick = null
         where subscription = $1 and lane = $2 and tenant_id = $3 and key = $4 and tick = $5 and pos > $6 and state = 'waiting'";
}

/// A subscription whose events go to a sink.
pub(super) struct Outlet {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) breaker: Breaker,
    pub(super) foreign: Foreign,
}

/// How a lane's events went.
pub(super) enum Went {
    /// All are there, or parked, which some were; this is the last that is there.
    All { last: Option<Place>, parked: u64 },
    /// The sink's lane is not as it was left: with this last.
    Fenced { last: Option<Place> },
}

/// What is known of a key of this lane.
#[derive(Default)]
struct Key {
    /// Something of it is parked that does not go out now.
    is_blocked: bool,
    /// What of it goes out now.
    stamped: Vec<i64>,
    /// What of it an operator has thrown away.
    discarded: Vec<i64>,
}

impl Outlet {
    /// Sends events of one lane, in their order, behind the last that the sink is known to have. Where nothing of the lane is parked they go
    /// together; else tick by tick, since with each something may come back.
    ///
    /// # Errors
    /// [`Error::Database`] where parking fails; what was sent is known when it comes again.
    pub(super) async fn send(
        &self,
        log: Log<'_>,
        lane: Lane,
        mut after: Option<Place>,
        mut events: Vec<Envelope>,
        is_clear: bool,
    ) -> Result<Went, Error> {
        let of = Of { db: log.db, subscription: log.subscription, consumer: self.sink.name(), lane };
        let (mut is_clear, mut all) = (is_clear, 0);
        while let Some(tick) = events.first().map(|event| event.place.tick) {
            let same = match is_clear {
                true => events.len(),
                false => events.partition_point(|event| event.place.tick == tick),
            };
            let rest = events.split_off(same);
            let keys = if is_clear { Keys::new() } else { of.keys(tick, &events).await? };
            match self.send_with(&of, after, events, keys).await? {
                Went::All { last, parked } => {
                    (after, all) = (last, all + parked);
                    is_clear &= parked == 0;
                }
                Went::Fenced { last } => return Ok(Went::Fenced { last }),
            }
            events = rest;
        }
        Ok(Went::All { last: after, parked: all })
    }

    /// Sends what is not parked. What lies before the last that is there was sent: whoever did may not have got as far as writing down
    /// that it is parked no more.
    async fn send_with(
        &self,
        of: &Of<'_>,
        mut after: Option<Place>,
        events: Vec<Envelope>,
        mut keys: Keys,
    ) -> Result<Went, Error> {
        let (subscription, lane) = (of.subscription, of.lane);
        let Some(tick) = events.first().map(|event| event.place.tick) else {
            return Ok(Went::All { last: after, parked: 0 });
        };
        let (mut free, mut sent, mut parked) = (Vec::with_capacity(events.len()), Vec::new(), 0);
        for event in events {
            if of.is_discarded(&keys, &event) {
                continue;
            }
            if Some(event.place) <= after {
                sent.push(event.place.pos);
            } else if of.is_behind(&keys, &event) {
                of.park(&event).await?;
                parked += 1;
            } else {
                free.push(event);
            }
        }
        while !free.is_empty() {
            self.breaker.wait().await;
            let accepted = spans::send(&*self.sink, lane, after, &free).await;
            let count = accepted.count.min(free.len());
            METRICS.delivered.add(count as u64, &[]);
            for event in free.drain(..count) {
                after = Some(event.place);
                sent.push(event.place.pos);
            }
            match accepted.refusal {
                None => {
                    self.breaker.answered();
                    self.foreign.is_gone(lane, When::Sending);
                }
                Some(Refusal::Fenced(why)) => {
                    tracing::warn!(subscription, %lane, "the sink's lane is not as it was left: {why}");
                    METRICS.fenced.add(1, &[]);
                    return Ok(Went::Fenced { last: after });
                }
                Some(Refusal::Foreign(why)) => {
                    self.breaker.answered();
                    self.waits_for(of, When::Sending, why).await;
                    return Ok(Went::Fenced { last: after });
                }
                Some(Refusal::Later(why)) => {
                    tracing::warn!(subscription, %lane, sink = self.sink.name(), "to be sent again: {why}");
                    self.breaker.failed(&why);
                }
                Some(Refusal::Never(why)) => {
                    self.breaker.answered();
                    parked += of.refused(&mut keys, &mut free, &why).await?;
                }
            }
        }
        fault::point("events.relay.sent");
        of.sent(&keys, tick, &sent).await?;
        Ok(Went::All { last: after, parked })
    }

    /// What the sink has last of this lane; `None` if it can't say.
    ///
    /// # Errors
    /// Why it can't say so now.
    pub(super) async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        self.breaker.wait().await;
        let last = self.sink.last(lane).await;
        match &last {
            // Whether it is one that a log can have made is yet to be seen.
            Ok(_) => self.breaker.answered(),
            Err(Refusal::Foreign(why)) => {
                self.breaker.answered();
                self.foreign.found(lane, When::Asking, why.clone()).await;
            }
            Err(why) => self.breaker.failed(&why.to_string()),
        }
        last
    }

    /// Somebody else has written to the lane: it is tried again when that may have been taken out.
    async fn waits_for(&self, of: &Of<'_>, when: When, why: String) {
        let (subscription, lane) = (of.subscription, of.lane);
        tracing::error!(subscription, %lane, sink = self.sink.name(), "somebody else has written to the lane: {why}");
        self.foreign.found(lane, when, why).await;
    }
}

/// A lane of a subscription.
struct Of<'a> {
    db: &'a Db,
    subscription: &'a str,
    consumer: &'a str,
    lane: Lane,
}

type Keys = HashMap<(TenantId, String), Key>;

/// What [`PARK`] is given.
type Parked<'a> =
    (&'a str, &'a str, i16, TenantId, &'a String, i64, Option<i64>, Uuid, &'a String, Option<String>);

impl Of<'_> {
    async fn keys(&self, tick: i64, events: &[Envelope]) -> Result<Keys, Error> {
        let mut names: Vec<String> = events.iter().map(|event| event.key.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let params = (self.subscription, self.lane.column(), names, tick);
        let parked = self.db.system().all(&PARKED, params).await?;
        let key = |(tenant, key, is_blocked, stamped, discarded)| {
            ((tenant, key), Key { is_blocked, stamped, discarded })
        };
        Ok(parked.into_iter().map(key).collect())
    }

    /// Whether an operator has thrown it away: it comes again where the sink goes back behind it.
    fn is_discarded(&self, keys: &Keys, event: &Envelope) -> bool {
        keys.get(&(event.tenant, event.key.clone()))
            .is_some_and(|key| key.discarded.contains(&event.place.pos))
    }

    /// Whether something of its key is parked that comes before it.
    fn is_behind(&self, keys: &Keys, event: &Envelope) -> bool {
        keys.get(&(event.tenant, event.key.clone()))
            .is_some_and(|key| key.is_blocked && !key.stamped.contains(&event.place.pos))
    }

    /// Parks an event behind the head of its key.
    async fn park(&self, event: &Envelope) -> Result<(), Error> {
        METRICS.parked.add(1, &[]);
        self.db.system().execute(&PARK, self.parked(event, None)).await?;
        Ok(())
    }

    /// Parks what was refused as the head of its key, which is dead until an operator redrives it, and takes those behind it out of the
    /// tick: both or neither, or they would overtake it.
    async fn park_head(&self, event: &Envelope, tick: i64, why: &str) -> Result<(), Error> {
        METRICS.parked.add(1, &[]);
        self.db
            .system()
            .tx(async |tx| {
                tx.execute(&PARK, self.parked(event, Some(why))).await?;
                let (lane, pos) = (self.lane.column(), event.place.pos);
                let behind = (self.subscription, lane, event.tenant, &event.key, tick, pos);
                tx.execute(&UNSTAMP, behind).await?;
                Ok::<_, Error>(())
            })
            .await?;
        fault::point("events.relay.parked");
        Ok(())
    }

    fn parked<'a>(&'a self, event: &'a Envelope, reason: Option<&str>) -> Parked<'a> {
        (
            self.subscription,
            self.consumer,
            self.lane.column(),
            event.tenant,
            &event.key,
            event.place.pos,
            event.xid,
            event.id,
            &event.name,
            reason.map(str::to_owned),
        )
    }

    /// Parks the first event, and those of its key behind it. Returns how many.
    async fn refused(&self, keys: &mut Keys, free: &mut Vec<Envelope>, why: &str) -> Result<u64, Error> {
        if free.is_empty() {
            return Ok(0);
        }
        let mut parked = 1;
        let event = free.remove(0);
        tracing::error!(
            subscription = self.subscription,
            event = event.name,
            event.id = %event.id,
            "parked: the sink will never take it: {why}"
        );
        self.park_head(&event, event.place.tick, why).await?;
        let is_its = |other: &Envelope| (other.tenant, &other.key) == (event.tenant, &event.key);
        for behind in free.extract_if(.., |other| is_its(other)) {
            self.park(&behind).await?;
            parked += 1;
        }
        let key = keys.entry((event.tenant, event.key)).or_default();
        key.is_blocked = true;
        Ok(parked)
    }

    /// What was parked, and is there now, no longer blocks what waits behind it.
    async fn sent(&self, keys: &Keys, tick: i64, sent: &[i64]) -> Result<(), Error> {
        let stamped = keys.values().flat_map(|key| &key.stamped);
        let stamped: Vec<i64> = stamped.copied().filter(|pos| sent.contains(pos)).collect();
        if !stamped.is_empty() {
            fault::point("events.relay.redriven");
            let params = (self.subscription, self.lane.column(), tick, stamped);
            self.db.system().execute(&SENT, params).await?;
        }
        Ok(())
    }
}

//! Throwing parked events away, with a record of it.

use shared_core::TenantId;
use shared_db::statements;

use super::parked::meant;
use super::redrive::{NEWEST, first};
use super::{ParkedFilter, Subscriptions, refuse};
use crate::Error;

/// Keys of one step, with a thousand events behind them at most: a transaction of some ten milliseconds, since consumers wait for its
/// locks.
const AT_ONCE: u64 = 100;

/// The longest reason that is kept, in characters.
const LONGEST_WHY: usize = 1000;

statements! {
    // `$7` to `$10` behind which one, `$11` up to which position, `$12` how many at most. One without a reason has not failed yet: it
    // stands first since the one before it was thrown away.
    const CHOSEN: Statement<(Option<String>, Option<String>, Option<TenantId>, Option<String>, Option<String>, Option<String>,
                             i64, TenantId, String, String, i64, i64), (TenantId, String, String, String, i64, i16)> = concat!("
        select p.tenant_id, p.subscription, p.consumer, p.key, p.pos, p.lane from shared_events.parked as p
         where p.state in ('dead', 'retrying') and p.reason is not null and p.tick is null and ", meant!(), "
           and (p.pos, p.tenant_id, p.subscription, p.consumer) > ($7, $8, $9, $10) and p.pos <= $11
         order by p.pos, p.tenant_id, p.subscription, p.consumer limit $12");
    // Whoever parks an event behind these locks one of the two: a consumer's turn its position, a sink's lane the first of the key.
    const LOCK_POSITIONS: Statement<(Vec<TenantId>, Vec<String>, Vec<String>, Vec<i16>), ()> = "
        select from shared_events.position as p
         where (p.tenant_id, p.subscription, p.consumer, p.lane) in
               (select k.tenant_id, k.subscription, k.consumer, k.lane
                  from unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[]) as k (tenant_id, subscription, consumer, lane))
         order by p.tenant_id, p.subscription, p.consumer, p.lane for update";
    const LOCK_HEADS: Statement<(Vec<TenantId>, Vec<String>, Vec<String>, Vec<String>, Vec<i64>), ()> = "
        select from shared_events.parked as p
         where (p.tenant_id, p.subscription, p.consumer, p.key, p.pos) in
               (select k.tenant_id, k.subscription, k.consumer, k.key, k.pos
                  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[]) as k (tenant_id, subscription, consumer, key, pos))
         order by p.tenant_id, p.subscription, p.consumer, p.key, p.pos for update";
    // In a statement behind the locks, so that it sees all followers. Unless they go too (`$7`), the next one of the key is first now, and due.
    // If they do, each key has its share of a thousand, the last ones first. Its own first goes where that was all; else it is dead until
    // the next step, since nobody may try it between two. Of a sink the rows stay for as long as it may go back behind them. `$6` why.
    const DISCARD: Statement<(Vec<TenantId>, Vec<String>, Vec<String>, Vec<String>, Vec<i64>, String, bool), (i64, bool)> = "
        with heads as materialized (
                 select p.tenant_id, p.subscription, p.consumer, p.key, p.pos, p.event_id, p.name, p.reason, 1000 / count(*) over () as share
                   from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[]) as k (tenant_id, subscription, consumer, key, pos)
                   join shared_events.parked as p using (tenant_id, subscription, consumer, key, pos)
                  where p.state in ('dead', 'retrying') and p.reason is not null and p.tick is null),
             behind as materialized (
                 select f.tenant_id, f.subscription, f.consumer, f.key, f.pos, f.event_id, f.name, f.reason
                   from heads as h cross join lateral (
                        select p.tenant_id, p.subscription, p.consumer, p.key, p.pos, p.event_id, p.name, p.reason
                          from shared_events.parked as p
                         where $7 and p.state = 'waiting' and p.tick is null
                           and (p.tenant_id, p.subscription, p.consumer, p.key) = (h.tenant_id, h.subscription, h.consumer, h.key)
                         order by p.pos desc limit h.share) as f),
             keys as materialized (
                 select heads.*, coalesce(b.events, 0) < heads.share as is_last
                   from heads
                   left join (select tenant_id, subscription, consumer, key, count(*) as events from behind group by 1, 2, 3, 4) as b
                  using (tenant_id, subscription, consumer, key)),
             chosen as materialized (
                 select p.tenant_id, p.subscription, p.consumer, p.key, p.pos, p.event_id, p.name, p.reason, s.name is not null as is_of_sink
                   from (select tenant_id, subscription, consumer, key, pos, event_id, name, reason from keys where is_last
                          union all
                         select tenant_id, subscription, consumer, key, pos, event_id, name, reason from behind) as p
                   left join shared_events.subscription as s on s.name = p.subscription and s.kind = 'sink'),
             held as (
                 update shared_events.parked as p set state = 'dead', next_at = null from keys as c
                  where not c.is_last and p.state = 'retrying'
                    and (p.tenant_id, p.subscription, p.consumer, p.key, p.pos) = (c.tenant_id, c.subscription, c.consumer, c.key, c.pos)),
             marked as (
                 update shared_events.parked as p set state = 'sent', next_at = null, tick = null from chosen as g
                  where g.is_of_sink
                    and (p.tenant_id, p.subscription, p.consumer, p.key, p.pos) = (g.tenant_id, g.subscription, g.consumer, g.key, g.pos)),
             gone as (
                 delete from shared_events.parked as p using chosen as g
                  where not g.is_of_sink
                    and (p.tenant_id, p.subscription, p.consumer, p.key, p.pos) = (g.tenant_id, g.subscription, g.consumer, g.key, g.pos)),
             noted as (
                 insert into shared_events.discarded (tenant_id, subscription, consumer, key, pos, event_id, name, reason, why)
                 select g.tenant_id, g.subscription, g.consumer, g.key, g.pos, g.event_id, g.name, g.reason, $6 from chosen as g
                     on conflict (tenant_id, subscription, consumer, key, pos)
                     do update set reason = excluded.reason, why = excluded.why, at = clock_timestamp()),
             following as (
                 update shared_events.parked as p set state = 'retrying', attempts = 0, next_at = clock_timestamp()
                   from heads as h
                  where not $7 and p.state = 'waiting' and p.tick is null
                    and (p.tenant_id, p.subscription, p.consumer, p.key) = (h.tenant_id, h.subscription, h.consumer, h.key)
                    and p.pos = (select min(f.pos) from shared_events.parked as f
                                  where f.state = 'waiting' and f.tick is null
                                    and (f.tenant_id, f.subscription, f.consumer, f.key) = (h.tenant_id, h.subscription, h.consumer, h.key)))
        select (select count(*) from chosen), exists (select from keys where not is_last)";
}

/// What goes with the first event of a key.
#[derive(Clone, Copy, PartialEq)]
enum With {
    Nothing,
    Followers,
}

impl Subscriptions {
    /// Throws the first parked event of each key that matches away for ever, the oldest first, at most this many, and lets those behind
    /// it go on. What is thrown away is recorded with the reason `why`, in the table `discarded`. Returns how many events that were.
    ///
    /// # Errors
    /// [`Error::NotDone`] unless the reason has 1 to 1,000 characters, and for a filter with an empty word; [`Error::Database`]: what was
    /// thrown away before is gone. So it is if the future is dropped.
    pub async fn discard(&self, which: &ParkedFilter, why: &str, most: u64) -> Result<u64, Error> {
        self.throw_away(which, why, most, With::Nothing).await
    }

    /// The same with all events that wait behind it: of so many keys at most. Where more than some hundred wait they go step by step, the
    /// last ones first, and the first of the key with the last step; until then it is dead, so that nobody tries it.
    ///
    /// # Errors
    /// As [`discard`](Self::discard). The rest of a key that was under way is discarded with the next call.
    pub async fn discard_keys(&self, which: &ParkedFilter, why: &str, most: u64) -> Result<u64, Error> {
        self.throw_away(which, why, most, With::Followers).await
    }

    async fn throw_away(&self, which: &ParkedFilter, why: &str, most: u64, with: With) -> Result<u64, Error> {
        let sound = (1..=LONGEST_WHY).contains(&why.chars().count()) && !why.contains('\0');
        refuse("discarding", (!sound).then_some("expected a reason of 1 to 1,000 characters"))?;
        which.check("discarding")?;
        if which.is_vain() {
            return Ok(0);
        }
        let newest = self.db.system().one(&NEWEST, ()).await?;
        let (mut gone, mut keys, mut last) = (0, 0, first());
        while keys < most {
            let (f, (pos, tenant, subscription, consumer)) = (which, &last);
            let step = i64::try_from(AT_ONCE.min(most - keys)).unwrap_or(i64::MAX);
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
                step,
            );
            let chosen = self.db.system().all(&CHOSEN, params).await?;
            let Some((tenant, subscription, consumer, _, pos, _)) = chosen.last().cloned() else { break };
            last = (pos, tenant, subscription, consumer);
            keys += chosen.len() as u64;
            gone += self.throw_these(chosen, why, with).await?;
            self.wake();
        }
        Ok(gone)
    }

    /// These, step by step.
    async fn throw_these(
        &self,
        chosen: Vec<(TenantId, String, String, String, i64, i16)>,
        why: &str,
        with: With,
    ) -> Result<u64, Error> {
        let tenants: Vec<_> = chosen.iter().map(|one| one.0).collect();
        let subscriptions: Vec<_> = chosen.iter().map(|one| one.1.clone()).collect();
        let consumers: Vec<_> = chosen.iter().map(|one| one.2.clone()).collect();
        let keys: Vec<_> = chosen.iter().map(|one| one.3.clone()).collect();
        let positions: Vec<_> = chosen.iter().map(|one| one.4).collect();
        let lanes: Vec<_> = chosen.iter().map(|one| one.5).collect();
        let with_followers = with == With::Followers;
        let mut gone = 0;
        loop {
            let system = self.db.system();
            let step = system.tx(async |tx| {
                tx.execute(&LOCK_POSITIONS, (&tenants, &subscriptions, &consumers, &lanes)).await?;
                let heads = (&tenants, &subscriptions, &consumers, &keys, &positions);
                tx.execute(&LOCK_HEADS, heads).await?;
                let params = (&tenants, &subscriptions, &consumers, &keys, &positions, why, with_followers);
                tx.one(&DISCARD, params).await
            });
            let (events, is_more): (i64, bool) =
                step.await.map_err(|error: shared_db::Error| Error::from(error))?;
            gone += events.unsigned_abs();
            if !is_more {
                return Ok(gone);
            }
        }
    }
}

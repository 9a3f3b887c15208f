//! Throwing parked events away, with a record of it.

use shared_core::TenantId;
use shared_db::statements;

use super::parked::meant;
use super::redrive::{NEWEST, first};
use super::{ParkedFilter, Subscriptions, refuse};
use crate::Error;

/// Events that are thrown away in one step: a transaction of some milliseconds.
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
    // In a statement behind the locks, so that it sees all followers. The next one of the key is first now, and due. `$6` why, `$7`
    // whether the followers go too. Of a sink their rows stay for as long as it may go back behind them.
    const DISCARD: Statement<(Vec<TenantId>, Vec<String>, Vec<String>, Vec<String>, Vec<i64>, String, bool), i64> = "
        with heads as materialized (
                 select p.tenant_id, p.subscription, p.consumer, p.key, p.pos
                   from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[]) as k (tenant_id, subscription, consumer, key, pos)
                   join shared_events.parked as p using (tenant_id, subscription, consumer, key, pos)
                  where p.state in ('dead', 'retrying') and p.reason is not null and p.tick is null),
             chosen as materialized (
                 select p.tenant_id, p.subscription, p.consumer, p.key, p.pos, p.event_id, p.name, p.reason, s.name is not null as is_of_sink
                   from heads as h
                   join shared_events.parked as p
                     on (p.tenant_id, p.subscription, p.consumer, p.key) = (h.tenant_id, h.subscription, h.consumer, h.key)
                    and (p.pos = h.pos or $7 and p.state = 'waiting')
                   left join shared_events.subscription as s on s.name = p.subscription and s.kind = 'sink'),
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
                  where not $7 and (p.tenant_id, p.subscription, p.consumer, p.key) = (h.tenant_id, h.subscription, h.consumer, h.key)
                    and p.pos = (select min(f.pos) from shared_events.parked as f
                                  where f.state = 'waiting'
                                    and (f.tenant_id, f.subscription, f.consumer, f.key) = (h.tenant_id, h.subscription, h.consumer, h.key)))
        select count(*) from chosen";
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
    /// [`Error::NotDone`] unless the reason has 1 to 1,000 characters; [`Error::Database`]: what was thrown away before is gone. So it
    /// is if the future is dropped.
    pub async fn discard(&self, which: &ParkedFilter, why: &str, most: u64) -> Result<u64, Error> {
        self.throw_away(which, why, most, With::Nothing).await
    }

    /// The same with all events that wait behind it: of so many keys at most.
    ///
    /// # Errors
    /// As [`discard`](Self::discard).
    pub async fn discard_keys(&self, which: &ParkedFilter, why: &str, most: u64) -> Result<u64, Error> {
        self.throw_away(which, why, most, With::Followers).await
    }

    async fn throw_away(&self, which: &ParkedFilter, why: &str, most: u64, with: With) -> Result<u64, Error> {
        let sound = (1..=LONGEST_WHY).contains(&why.chars().count()) && !why.contains('\0');
        refuse("discarding", (!sound).then_some("expected a reason of 1 to 1,000 characters"))?;
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
            gone += self.step(chosen, why, with).await?;
            self.wake();
        }
        Ok(gone)
    }

    async fn step(
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
        let gone = self
            .db
            .system()
            .tx(async |tx| {
                tx.execute(&LOCK_POSITIONS, (&tenants, &subscriptions, &consumers, &lanes)).await?;
                let heads = (&tenants, &subscriptions, &consumers, &keys, &positions);
                tx.execute(&LOCK_HEADS, heads).await?;
                let params = (&tenants, &subscriptions, &consumers, &keys, &positions, why, with_followers);
                tx.one(&DISCARD, params).await
            })
            .await;
        let gone: i64 = gone.map_err(|error: shared_db::Error| Error::from(error))?;
        Ok(gone.unsigned_abs())
    }
}

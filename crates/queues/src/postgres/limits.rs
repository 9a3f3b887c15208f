//! Limits as they are set and used.

use std::time::Duration;

use shared_db::{Row, statements};

use super::columns::{limit_key, milliseconds, split};
use super::{Store, wake};
use crate::Error;
use crate::limit::{Limit, LimitPlace, LimitStatus, Rate};

/// Whether it is set, jobs at once, and of a rate the count, the seconds, and the burst.
type Parts = (bool, Option<i32>, Option<i32>, Option<f64>, Option<i32>);

statements! {
    /// `$1` limit, `$2` name, `$3` key, then its parts.
    const SET: Statement<(String, String, Option<String>, bool, Option<i32>, Option<i32>, Option<f64>, Option<i32>), ()> = "
        insert into shared_queues.limit_setting as l (limit_key, name, key, is_set, concurrency, rate_count, rate_period, rate_burst)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict (limit_key) do update
           set is_set = excluded.is_set, concurrency = excluded.concurrency, rate_count = excluded.rate_count,
               rate_period = excluded.rate_period, rate_burst = excluded.rate_burst";
    const SET_QUEUE: Statement<(String, Option<i32>, Option<i32>, Option<f64>, Option<i32>), ()> = "
        insert into shared_queues.queue as q (name, concurrency, rate_count, rate_period, rate_burst) values ($1, $2, $3, $4, $5)
            on conflict (name) do update
           set concurrency = excluded.concurrency, rate_count = excluded.rate_count,
               rate_period = excluded.rate_period, rate_burst = excluded.rate_burst";
    /// `$4` milliseconds.
    const HOLD: Statement<(String, String, Option<String>, i64), ()> = "
        insert into shared_queues.limit_setting as l (limit_key, name, key, held_until)
        values ($1, $2, $3, clock_timestamp() + $4::bigint * interval '1 millisecond')
            on conflict (limit_key) do update set held_until = excluded.held_until";
    /// A slice of the limits of a name, or the one of a key, is looked at again by the next claim. `$1` the name, `$2` the limit, if it is one
    /// key's; `$3` behind which limit the slice begins, `$4` how many at most. Returns where it ends.
    const LOOK_AGAIN: Statement<(String, Option<String>, String, i64), Option<String>> = "
        with slice as materialized (
                 select limit_key from shared_queues.limit_use
                  where name = $1 and limit_key > $3 and ($2::text is null or limit_key = $2) order by limit_key limit $4 for update),
             due as (
                 update shared_queues.limit_use set opens_at = clock_timestamp()
                  where limit_key = any (array(select limit_key from slice)))
        select case when count(*) = $4 then max(limit_key) end from slice";
    /// Those that are set, held or in use. `$1` how many at most, `$2` behind which.
    const LIMITS: Statement<(i64, String), LimitRow> = "
        with named as (
                 (select limit_key, name from shared_queues.limit_setting
                   where (is_set or held_until > clock_timestamp()) and limit_key > $2 order by limit_key limit $1)
                 union
                 (select limit_key, name from shared_queues.limit_use where running > 0 and limit_key > $2 order by limit_key limit $1))
        select n.limit_key, coalesce(u.running, 0) as running, s.is_set, s.concurrency, s.rate_count, s.rate_period, s.rate_burst,
               case when s.rate_count is not null
                    then floor(least(s.rate_burst, coalesce(u.tokens, 'infinity')
                               + coalesce(extract(epoch from clock_timestamp() - u.filled_at)::float8, 0) * s.rate_count / s.rate_period))
                end as tokens,
               (select extract(epoch from max(h.held_until) - clock_timestamp())::float8 from shared_queues.limit_setting h
                 where h.limit_key in (n.limit_key, n.name) and h.held_until > clock_timestamp()) as held_for
          from named n
          left join shared_queues.limit_use u on u.limit_key = n.limit_key
          left join lateral (select k.is_set, k.concurrency, k.rate_count, k.rate_period, k.rate_burst
                               from shared_queues.limit_setting k where k.limit_key in (n.limit_key, n.name) and k.is_set
                              order by length(k.limit_key) desc limit 1) s on true
         order by n.limit_key limit $1";
    const QUEUE_LIMITS: Statement<(i64, String), LimitRow> = "
        select q.name as limit_key,
               (select coalesce(sum(cardinality(l.ids)), 0) from shared_queues.lease l where l.queue = q.name)::integer as running,
               true as is_set, q.concurrency, q.rate_count, q.rate_period, q.rate_burst,
               case when q.rate_count is not null
                    then floor(least(q.rate_burst, q.tokens
                               + extract(epoch from clock_timestamp() - q.filled_at)::float8 * q.rate_count / q.rate_period)) end as tokens,
               null::float8 as held_for
          from shared_queues.queue q
         where (q.concurrency is not null or q.rate_count is not null) and q.name > $2 order by q.name limit $1";
}

#[derive(Row)]
struct LimitRow {
    limit_key: String,
    running: i32,
    is_set: Option<bool>,
    concurrency: Option<i32>,
    rate_count: Option<i32>,
    rate_period: Option<f64>,
    rate_burst: Option<i32>,
    tokens: Option<f64>,
    held_for: Option<f64>,
}

/// Limits that are marked in one statement at most.
const MARKED_AT_ONCE: i64 = 1000;

impl Store {
    pub(super) async fn limit(
        &self,
        name: &str,
        key: Option<&str>,
        limit: Option<Limit>,
    ) -> Result<(), Error> {
        let (is_set, concurrency, count, period, burst) = parts(limit);
        let given = (limit_key(name, key), name, key, is_set, concurrency, count, period, burst);
        self.db.system().execute(&SET, given).await?;
        self.look_again(name, key).await
    }

    pub(super) async fn limit_queue(&self, queue: &str, limit: Option<Limit>) -> Result<(), Error> {
        let (_, concurrency, count, period, burst) = parts(limit);
        self.db.system().execute(&SET_QUEUE, (queue, concurrency, count, period, burst)).await?;
        self.tell(&[queue]).await;
        Ok(())
    }

    pub(super) async fn hold_back(&self, name: &str, key: Option<&str>, wait: Duration) -> Result<(), Error> {
        self.db.system().execute(&HOLD, (limit_key(name, key), name, key, milliseconds(wait))).await?;
        self.look_again(name, key).await
    }

    /// A claim that saw the setting of before holds the lock on its use until it has set its lanes aside.
    async fn look_again(&self, name: &str, key: Option<&str>) -> Result<(), Error> {
        let (one, mut after) = (key.map(|key| limit_key(name, Some(key))), Some(String::new()));
        while let Some(begin) = after {
            after = self.db.system().one(&LOOK_AGAIN, (name, one.as_deref(), begin, MARKED_AT_ONCE)).await?;
        }
        wake(&self.db);
        Ok(())
    }

    /// The first of them stands behind the empty text.
    pub(super) async fn all_limits(
        &self,
        after: Option<&LimitPlace>,
        most: u32,
    ) -> Result<Vec<LimitStatus>, Error> {
        let (door, most_of_each) = (self.db.system(), i64::from(most));
        let (queue, name) = match after {
            None => (Some(String::new()), String::new()),
            Some(queue) if !queue.is_named => (Some(queue.name.clone()), String::new()),
            Some(limit) => (None, limit_key(&limit.name, limit.key.as_deref())),
        };
        let queues = match queue {
            Some(after) => door.all(&QUEUE_LIMITS, (most_of_each, after)).await?,
            None => Vec::new(),
        };
        let named = door.all(&LIMITS, (most_of_each, name)).await?;
        let queues = queues.into_iter().map(|row| row.status(true));
        Ok(queues.chain(named.into_iter().map(|row| row.status(false))).take(most as usize).collect())
    }
}

fn parts(limit: Option<Limit>) -> Parts {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let rate = limit.and_then(|limit| limit.rate);
    (
        limit.is_some(),
        limit.and_then(|limit| limit.concurrency).map(number),
        rate.map(|rate| number(rate.count.max(1))),
        rate.map(|rate| rate.period.max(Duration::from_millis(1)).as_secs_f64()),
        rate.map(|rate| number(rate.burst)),
    )
}

impl LimitRow {
    fn status(self, of_queue: bool) -> LimitStatus {
        let (name, key) = if of_queue { (&*self.limit_key, None) } else { split(&self.limit_key) };
        LimitStatus {
            name: name.to_owned(),
            key: key.map(str::to_owned),
            of_queue,
            limit: self
                .is_set
                .unwrap_or(false)
                .then(|| Limit { concurrency: self.concurrency.map(i32::unsigned_abs), rate: self.rate() }),
            running: u64::from(self.running.unsigned_abs()),
            tokens: self.tokens,
            held_for: self.held_for.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
        }
    }

    fn rate(&self) -> Option<Rate> {
        let (count, burst) = self.rate_count.zip(self.rate_burst)?;
        let period = Duration::try_from_secs_f64(self.rate_period?).ok()?;
        Some(Rate { count: count.unsigned_abs(), period, burst: burst.unsigned_abs() })
    }
}

//! Forgetting what is remembered for longer than it should be.

use std::sync::{Arc, Mutex, PoisonError};

use shared_core::TenantId;
use shared_db::{Statement, statements};
use time::OffsetDateTime;

use super::Store;
use super::columns::milliseconds;
use crate::Error;
use crate::backend::Retention;

statements! {
    /// Until when the time of those is over that a queue need not remember: by their own, or since they are beyond the `$2` whose time ends
    /// last. Walks over all of those.
    const FINISHED_UNTIL: Statement<(String, i64), OffsetDateTime> = "
        select greatest(clock_timestamp(),
                        (select f.until from shared_queues.finished f where f.queue = $1
                          order by f.until desc offset greatest($2::bigint - 1, 0) limit 1),
                        case when $2 = 0 then clock_timestamp() + interval '1000 years' end)";
    /// Those of a queue before `$2`; `$3` how many at most.
    const FORGET_FINISHED: Statement<(String, OffsetDateTime, i64), ()> = "
        delete from shared_queues.finished
         where ctid = any (array(select ctid from shared_queues.finished
                                  where queue = $1 and until < $2 order by until limit $3 for update skip locked))";
    /// When those have died that a queue need not keep: more than `$2` milliseconds ago, or before the `$3` latest.
    const DEAD_UNTIL: Statement<(String, i64, i64), OffsetDateTime> = "
        select greatest(clock_timestamp() - $2::bigint * interval '1 millisecond',
                        (select d.died_at from shared_queues.dead d where d.queue = $1
                          order by d.died_at desc offset greatest($3::bigint - 1, 0) limit 1),
                        case when $3 = 0 then clock_timestamp() + interval '1000 years' end)";
    /// Those of a queue before `$2`; `$3` how many at most.
    const FORGET_DEAD: Statement<(String, OffsetDateTime, i64), ()> = "
        delete from shared_queues.dead
         where ctid = any (array(select ctid from shared_queues.dead
                                  where queue = $1 and died_at < $2 order by died_at limit $3 for update skip locked))";
    /// A slice of the marks in the order of their key, behind `$1` to `$4`: how many there were, how many were removed, and where the slice
    /// ends. `$5` how many at most.
    const MARKS: Statement<(TenantId, String, String, String, i64), MarkSlice> = "
        with slice as materialized (
                 select tenant_id, queue, name, key, job_id, until from shared_queues.mark
                  where (tenant_id, queue, name, key) > ($1, $2, $3, $4)
                  order by tenant_id, queue, name, key limit $5),
             gone as (
                 delete from shared_queues.mark
                  where ctid = any (array(
                            select m.ctid from slice s cross join lateral (
                                   select k.ctid, k.job_id, k.until from shared_queues.mark k
                                    where k.tenant_id = s.tenant_id and k.queue = s.queue and k.name = s.name and k.key = s.key
                                      and k.until <= clock_timestamp() for update skip locked) m
                             where not exists (select from shared_queues.body b where b.job_id = m.job_id)))
                 returning 1),
             last as (select tenant_id, queue, name, key from slice order by tenant_id desc, queue desc, name desc, key desc limit 1)
        select (select count(*) from slice) as looked, (select count(*) from gone) as removed,
               last.tenant_id, last.queue, last.name, last.key from last";
    /// Use of limits that makes no difference any more: nothing runs, and the bucket is full. `$1` how many at most.
    const LIMITS: Statement<(i64,), ()> = "
        delete from shared_queues.limit_use
         where limit_key = any (array(
                   select u.limit_key from shared_queues.limit_use u
                    where u.running = 0 and u.opens_at is null and u.filled_at < clock_timestamp() - interval '1 minute'
                      and not exists (select from shared_queues.limit_setting s
                                       where s.limit_key in (u.limit_key, u.name) and s.is_set
                                         and u.tokens + extract(epoch from clock_timestamp() - u.filled_at)::float8
                                                        * s.rate_count / s.rate_period < s.rate_burst)
                      and not exists (select from shared_queues.lane l where l.blocked_on = u.limit_key and l.state = 'blocked')
                    limit $1 for update skip locked))";
    /// Requests to cancel jobs that are gone.
    const CANCELLING: Statement<(i64,), ()> = "
        delete from shared_queues.cancelling
         where job_id = any (array(select c.job_id from shared_queues.cancelling c
                                    where not exists (select from shared_queues.body b where b.job_id = c.job_id) limit $1))";
}

/// A slice of the marks.
#[derive(shared_db::Row)]
struct MarkSlice {
    looked: i64,
    removed: i64,
    tenant_id: TenantId,
    queue: String,
    name: String,
    key: String,
}

/// Rows that one statement removes, or looks at, at most: some milliseconds of work.
const AT_ONCE: i64 = 1000;

/// Statements of a kind in one call: some tenths of a second, before somebody asks whether the worker stops. So many share the walk
/// that finds where they end.
const ROUNDS: usize = 100;

/// Behind which mark the next slice begins.
#[derive(Default)]
pub(super) struct Marks(Mutex<Option<(TenantId, String, String, String)>>);

impl Store {
    pub(super) async fn forget(
        &self,
        queues: &[Arc<str>],
        retention: Retention,
    ) -> Result<(u64, bool), Error> {
        let door = self.db.system();
        let Retention { kept_most, dead_for, dead_most } = retention;
        let [kept_most, dead_most] =
            [kept_most, dead_most].map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        let dead_for = milliseconds(dead_for);
        let (mut removed, mut more) = (0, false);
        for queue in queues {
            let until = door.one(&FINISHED_UNTIL, (&**queue, kept_most)).await?;
            let finished = self.forget_before(&FORGET_FINISHED, queue, until).await?;
            let until = door.one(&DEAD_UNTIL, (&**queue, dead_for, dead_most)).await?;
            let dead = self.forget_before(&FORGET_DEAD, queue, until).await?;
            removed += finished.0 + dead.0;
            more |= finished.1 || dead.1;
        }
        for _ in 0..ROUNDS {
            match self.forget_marks().await? {
                0 => break,
                marks => removed += marks,
            }
        }
        door.execute(&LIMITS, (AT_ONCE,)).await?;
        door.execute(&CANCELLING, (AT_ONCE,)).await?;
        Ok((removed, more))
    }

    /// How many, and whether there may be more.
    async fn forget_before(
        &self,
        forget: &Statement<(String, OffsetDateTime, i64), ()>,
        queue: &str,
        until: OffsetDateTime,
    ) -> Result<(u64, bool), Error> {
        let mut removed = 0;
        for _ in 0..ROUNDS {
            let some = self.db.system().execute(forget, (queue, until, AT_ONCE)).await?;
            removed += some;
            if some < AT_ONCE.unsigned_abs() {
                return Ok((removed, false));
            }
        }
        Ok((removed, true))
    }

    /// A slice of them; the next call goes on behind it, and from the beginning after the last.
    async fn forget_marks(&self) -> Result<u64, Error> {
        let begin = self.marks.lock().clone();
        let nil = (TenantId::from_uuid(uuid::Uuid::nil()), String::new(), String::new(), String::new());
        let (tenant, queue, name, key) = begin.unwrap_or(nil);
        let slice = self.db.system().opt(&MARKS, (tenant, queue, name, key, AT_ONCE)).await?;
        let removed = slice.as_ref().map_or(0, |slice| slice.removed.unsigned_abs());
        *self.marks.lock() =
            slice.filter(|slice| slice.looked == AT_ONCE).map(|s| (s.tenant_id, s.queue, s.name, s.key));
        Ok(removed)
    }
}

impl Marks {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(TenantId, String, String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Forgetting what is remembered for longer than it should be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared_core::TenantId;
use shared_db::statements;

use super::Store;
use super::columns::milliseconds;
use crate::Error;

statements! {
    /// `$1` queue, `$2` how many at most.
    const FINISHED: Statement<(String, i64), ()> = "
        delete from shared_queues.finished
         where ctid = any (array(select ctid from shared_queues.finished
                                  where queue = $1 and until <= clock_timestamp() order by until limit $2 for update skip locked))";
    /// Of a queue those older than `$2` milliseconds, and those beyond the `$3` latest. `$4` how many at most.
    const DEAD: Statement<(String, i64, i64, i64), ()> = "
        delete from shared_queues.dead
         where ctid = any (array(select ctid from shared_queues.dead
                                  where queue = $1
                                    and died_at < greatest(clock_timestamp() - $2::bigint * interval '1 millisecond',
                                                           (select d.died_at from shared_queues.dead d where d.queue = $1
                                                             order by d.died_at desc offset greatest($3::bigint - 1, 0) limit 1),
                                                           case when $3 = 0 then 'infinity'::timestamptz end)
                                  order by died_at limit $4 for update skip locked))";
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

/// Behind which mark the next slice begins.
#[derive(Default)]
pub(super) struct Marks(Mutex<Option<(TenantId, String, String, String)>>);

impl Store {
    pub(super) async fn forget(
        &self,
        queues: &[Arc<str>],
        dead_for: Duration,
        dead_most: u64,
    ) -> Result<(u64, bool), Error> {
        let door = self.db.system();
        let (dead_for, dead_most) = (milliseconds(dead_for), i64::try_from(dead_most).unwrap_or(i64::MAX));
        let (mut removed, mut more) = (0, false);
        for queue in queues {
            let finished = door.execute(&FINISHED, (&**queue, AT_ONCE)).await?;
            let dead = door.execute(&DEAD, (&**queue, dead_for, dead_most, AT_ONCE)).await?;
            removed += finished + dead;
            more |= finished.max(dead) == AT_ONCE.unsigned_abs();
        }
        let marks = self.forget_marks().await?;
        door.execute(&LIMITS, (AT_ONCE,)).await?;
        door.execute(&CANCELLING, (AT_ONCE,)).await?;
        Ok((removed + marks, more || marks > 0))
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

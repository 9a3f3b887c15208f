//! Dead letters: looked at, brought back, thrown away.

use shared_core::TenantId;
use shared_db::{Row, statements};
use time::OffsetDateTime;

use super::Store;
use super::columns::milliseconds;
use crate::dead::{DeadLetter, Reason};
use crate::filter::DeadFilter;
use crate::{Error, JobId};

/// `$1` job, `$2` queue, `$3` name, `$4` tenant, `$5` reason, `$6` milliseconds of age, `$7` and `$8` when one died
/// and its job, behind which they stand; each or null.
macro_rules! meant {
    () => {
        "($1::uuid is null or d.job_id = $1) and ($2::text is null or d.queue = $2) and ($3::text is null or d.name = $3)
         and ($4::uuid is null or d.tenant_id = $4) and ($5::text is null or d.reason = $5)
         and ($6::bigint is null or d.died_at < clock_timestamp() - $6 * interval '1 millisecond')
         and ($7::timestamptz is null or (d.died_at, d.job_id) < ($7, $8::uuid))"
    };
}

statements! {
    /// `$9` how many at most.
    const DEAD: Statement<(Option<JobId>, Option<String>, Option<String>, Option<TenantId>, Option<String>, Option<i64>, Option<OffsetDateTime>, Option<JobId>, i64),
                         DeadRow> = concat!("
        select d.job_id, d.tenant_id, d.queue, d.name, d.attempts, d.crashes, d.reason, d.error, d.died_at
          from shared_queues.dead d where ", meant!(), " order by d.died_at desc, d.job_id desc limit $9");
    /// `$9` how many at most, `$10` another queue, or null. They begin anew: at a place behind those that wait, and with
    /// their time to be tried before them.
    const REDRIVE: Statement<(Option<JobId>, Option<String>, Option<String>, Option<TenantId>, Option<String>, Option<i64>, Option<OffsetDateTime>, Option<JobId>, i64,
                              Option<String>),
                             (JobId, String)> = concat!("
        with chosen as materialized (
                 select d.ctid from shared_queues.dead d where ", meant!(), " order by d.died_at, d.job_id limit $9 for update skip locked),
             revived as (
                 delete from shared_queues.dead where ctid = any (array(select ctid from chosen))
                 returning job_id, tenant_id, queue as was_in, name, version, payload, context, band, order_key, limits, died_at),
             job as materialized (
                 select nextval('shared_queues.job_order') as position, o.job_id, o.tenant_id, o.queue, o.name, o.version, o.payload,
                        o.context, o.band, o.order_key, o.limits,
                        shared_queues.lane_of(o.queue, o.tenant_id, o.order_key, o.limits) as lane
                   from (select job_id, tenant_id, coalesce($10, was_in) as queue, name, version, payload, context, band, order_key, limits
                           from revived order by died_at, job_id) o),
             body as (
                 insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at, lane,
                                                 order_key, limits)
                 select j.job_id, j.position, j.tenant_id, j.queue, j.name, j.version, j.payload, j.context, j.band,
                        clock_timestamp(), j.lane, j.order_key, j.limits from job j),
             ready as (
                 insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
                 select j.queue, j.band, j.tenant_id, j.position, j.job_id from job j where j.lane is null),
             waiting as (
                 insert into shared_queues.waiting (lane, position, queue, band, tenant_id, job_id, ordered, due_at, limits)
                 select j.lane, j.position, j.queue, j.band, j.tenant_id, j.job_id, j.order_key is not null, clock_timestamp(), j.limits
                   from job j where j.lane is not null),
             news as (
                 insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
                 select j.queue, min(j.position), j.tenant_id, j.order_key is not null, array_agg(distinct j.lane) from job j
                  where j.lane is not null group by j.queue, j.tenant_id, j.order_key is not null, j.position / 64)
        select j.job_id, j.queue from job j order by j.position");
    const DISCARD: Statement<(Option<JobId>, Option<String>, Option<String>, Option<TenantId>, Option<String>, Option<i64>, Option<OffsetDateTime>, Option<JobId>, i64), ()> = concat!("
        delete from shared_queues.dead
         where ctid = any (array(select d.ctid from shared_queues.dead d where ", meant!(), "
                                  order by d.died_at, d.job_id limit $9 for update skip locked))");
}

/// A dead letter as it is stored.
#[derive(Row)]
struct DeadRow {
    job_id: JobId,
    tenant_id: TenantId,
    queue: String,
    name: String,
    attempts: i32,
    crashes: i32,
    reason: String,
    error: String,
    died_at: OffsetDateTime,
}

/// The filter as it is bound.
type Meant<'a> = (
    Option<JobId>,
    Option<&'a str>,
    Option<&'a str>,
    Option<TenantId>,
    Option<&'a str>,
    Option<i64>,
    Option<OffsetDateTime>,
    Option<JobId>,
);

fn meant(filter: &DeadFilter) -> Meant<'_> {
    let (queue, name) = (filter.queue.as_deref(), filter.name.as_deref());
    let reason = filter.reason.map(Reason::as_str);
    let (died, job) = filter.after.unzip();
    (filter.job, queue, name, filter.tenant, reason, filter.older_than.map(milliseconds), died, job)
}

impl Store {
    pub(super) async fn letters(&self, filter: &DeadFilter, most: u32) -> Result<Vec<DeadLetter>, Error> {
        let (job, queue, name, tenant, reason, age, died, after) = meant(filter);
        let rows = self
            .db
            .system()
            .all(&DEAD, (job, queue, name, tenant, reason, age, died, after, i64::from(most)))
            .await?;
        Ok(rows.into_iter().map(DeadLetter::from).collect())
    }

    pub(super) async fn revive(
        &self,
        filter: &DeadFilter,
        into: Option<&str>,
        most: u32,
    ) -> Result<Vec<JobId>, Error> {
        let (job, queue, name, tenant, reason, age, died, after) = meant(filter);
        let given = (job, queue, name, tenant, reason, age, died, after, i64::from(most), into);
        let jobs: Vec<(JobId, String)> = self.db.system().all(&REDRIVE, given).await?;
        self.tell(&jobs.iter().map(|(_, queue)| queue.as_str()).collect::<Vec<_>>()).await;
        Ok(jobs.into_iter().map(|(job, _)| job).collect())
    }

    pub(super) async fn throw_away(&self, filter: &DeadFilter, most: u32) -> Result<u64, Error> {
        let (job, queue, name, tenant, reason, age, died, after) = meant(filter);
        let given = (job, queue, name, tenant, reason, age, died, after, i64::from(most));
        Ok(self.db.system().execute(&DISCARD, given).await?)
    }
}

impl From<DeadRow> for DeadLetter {
    fn from(row: DeadRow) -> Self {
        Self {
            job_id: row.job_id,
            name: row.name,
            queue: row.queue,
            tenant: row.tenant_id,
            attempts: row.attempts.unsigned_abs(),
            crashes: row.crashes.unsigned_abs(),
            reason: Reason::from_str(&row.reason),
            error: row.error,
            died_at: row.died_at,
        }
    }
}

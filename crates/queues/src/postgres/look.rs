//! The queues and their jobs seen from outside.

use std::time::Duration;

use shared_core::TenantId;
use shared_db::{Row, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use super::columns::{milliseconds, priority};
use crate::filter::JobFilter;
use crate::view::{JobView, QueueStatus, State};
use crate::{Error, JobId, Progress};

/// The jobs of the set `b`, which has the columns of a body, with their states: that of a job which waits nowhere is `running`.
macro_rules! seen {
    () => {
        "select b.job_id, b.tenant_id, b.queue, b.name, b.version, b.band, b.attempts, b.crashes, b.enqueued_at, b.due_at, b.error,
                case when exists (select from shared_queues.ready r
                                   where r.queue = b.queue and r.band = b.band and r.tenant_id = b.tenant_id and r.position = b.position)
                     then 'ready'
                     when b.lane is not null and exists (select from shared_queues.waiting w where w.lane = b.lane and w.position = b.position)
                     then 'waiting'
                     when exists (select from shared_queues.scheduled s
                                   where s.queue = b.queue and s.due_at = b.due_at and s.position = b.position)
                     then 'scheduled'
                     else 'running' end as state
           from b"
    };
}

/// And who runs them.
macro_rules! with_worker {
    () => {
        "select j.job_id, j.tenant_id, j.queue, j.name, j.version, j.band, j.attempts, j.crashes, j.enqueued_at, j.due_at, j.error,
                j.state, l.worker, p.part, p.note, null::text as result, null::timestamptz as ended_at
           from j
           left join lateral (select h.worker from shared_queues.lease h
                               where j.state = 'running' and h.queue = j.queue and h.ids @> array[j.job_id] limit 1) l on true
           left join lateral (select g.part, g.note from shared_queues.progress g
                               where g.worker = l.worker and g.job_id = j.job_id) p on true"
    };
}

/// Columns of a body.
macro_rules! body {
    () => {
        "select job_id, tenant_id, queue, name, version, band, attempts, crashes, enqueued_at, due_at, error, lane, position
           from shared_queues.body"
    };
}

statements! {
    /// Every queue that has jobs, a setting or had a worker; each index is walked once.
    const QUEUES: Statement<(), StatusRow> = "
        with in_ready as materialized (select queue, count(*) as jobs from shared_queues.ready group by queue),
             in_scheduled as materialized (select queue, count(*) as jobs from shared_queues.scheduled group by queue),
             in_dead as materialized (select queue, count(*) as jobs from shared_queues.dead group by queue),
             in_waiting as materialized (select queue, count(*) as jobs from shared_queues.waiting group by queue),
             in_lease as materialized (select queue, sum(cardinality(ids))::bigint as jobs from shared_queues.lease group by queue),
             known as (
                 select queue as name from in_ready union select queue from in_scheduled union select queue from in_dead
                 union select queue from in_waiting union select queue from in_lease union select name from shared_queues.queue
                 union select queue from shared_queues.share union select queue from shared_queues.schedule)
        select k.name as queue, coalesce(q.paused, false) as paused,
               coalesce((select r.jobs from in_ready r where r.queue = k.name), 0) as ready,
               coalesce((select w.jobs from in_waiting w where w.queue = k.name), 0) as waiting,
               coalesce((select s.jobs from in_scheduled s where s.queue = k.name), 0) as scheduled,
               coalesce((select l.jobs from in_lease l where l.queue = k.name), 0) as running,
               coalesce((select d.jobs from in_dead d where d.queue = k.name), 0) as dead
          from known k left join shared_queues.queue q on q.name = k.name
         order by k.name";
    /// Seconds for which the oldest ready job of a queue has been due: of each tenant in each band the first job is looked at, of a thousand
    /// such pairs at most.
    const OLDEST: Statement<(String,), Option<f64>> = "
        with recursive pair (band, tenant_id, n) as (
                 (select band, tenant_id, 1 from shared_queues.ready where queue = $1 order by band, tenant_id limit 1)
                 union all
                 select r.band, r.tenant_id, p.n + 1
                   from pair p cross join lateral (
                        select o.band, o.tenant_id from shared_queues.ready o
                         where o.queue = $1 and (o.band, o.tenant_id) > (p.band, p.tenant_id)
                         order by o.band, o.tenant_id limit 1) r
                  where p.n < 1000)
        select extract(epoch from clock_timestamp() - min(b.due_at))::float8
          from pair p cross join lateral (
               select r.job_id from shared_queues.ready r
                where r.queue = $1 and r.band = p.band and r.tenant_id = p.tenant_id order by r.position limit 1) f
         cross join lateral (select due_at from shared_queues.body where job_id = f.job_id) b";
    const JOB: Statement<(JobId,), ViewRow> = concat!("
        with b as (", body!(), " where job_id = $1), j as (", seen!(), ") ", with_worker!());
    /// `$1` queue, `$2` name, `$3` tenant, `$4` state, each or null; `$5` how many at most, `$6` of how many of the latest before the
    /// job `$7`.
    const LIVE: Statement<(Option<String>, Option<String>, Option<TenantId>, Option<String>, i64, i64, JobId), ViewRow> = concat!("
        with latest as materialized (", body!(), " where job_id < $7 order by job_id desc limit $6),
             b as (select job_id, tenant_id, queue, name, version, band, attempts, crashes, enqueued_at, due_at, error, lane, position
                     from latest l
                    where ($1::text is null or l.queue = $1) and ($2::text is null or l.name = $2) and ($3::uuid is null or l.tenant_id = $3)),
             all_of_them as (", seen!(), "),
             j as materialized (
                 select job_id, tenant_id, queue, name, version, band, attempts, crashes, enqueued_at, due_at, error, state
                   from all_of_them where $4::text is null or state = $4 order by job_id desc limit $5) ", with_worker!());
    const FINISHED: Statement<(Option<String>, Option<String>, Option<TenantId>, Option<String>, i64, i64, JobId), ViewRow> = "
        select f.job_id, f.tenant_id, f.queue, f.name, f.version, f.band, f.attempts, f.crashes, f.enqueued_at, f.due_at, f.error, f.state,
               null::uuid as worker, null::float8 as part, null::text as note, f.result, f.ended_at
          from (select job_id, tenant_id, queue, name, version, band, attempts, crashes, enqueued_at, due_at, error, state, result, ended_at, until
                  from shared_queues.finished where job_id < $7 order by job_id desc limit $6) f
         where f.until > clock_timestamp() and ($1::text is null or f.queue = $1) and ($2::text is null or f.name = $2) and ($3::uuid is null or f.tenant_id = $3)
           and ($4::text is null or f.state = $4)
         order by f.job_id desc limit $5";
    const FINISHED_JOB: Statement<(JobId,), ViewRow> = "
        select job_id, tenant_id, queue, name, version, band, attempts, crashes, enqueued_at, due_at, error, state,
               null::uuid as worker, null::float8 as part, null::text as note, result, ended_at
          from shared_queues.finished where job_id = $1 and until > (select clock_timestamp())";
    const DEAD: Statement<(Option<String>, Option<String>, Option<TenantId>, i64, i64, JobId), ViewRow> = "
        select d.job_id, d.tenant_id, d.queue, d.name, d.version, d.band, d.attempts, d.crashes, d.enqueued_at, d.due_at, d.error,
               'dead' as state, null::uuid as worker, null::float8 as part, null::text as note, null::text as result, d.died_at as ended_at
          from (select job_id, tenant_id, queue, name, version, band, attempts, crashes, enqueued_at, due_at, error, died_at
                  from shared_queues.dead where job_id < $6 order by job_id desc limit $5) d
         where ($1::text is null or d.queue = $1) and ($2::text is null or d.name = $2) and ($3::uuid is null or d.tenant_id = $3)
         order by d.job_id desc limit $4";
    const DEAD_JOB: Statement<(JobId,), ViewRow> = "
        select job_id, tenant_id, queue, name, version, band, attempts, crashes, enqueued_at, due_at, error,
               'dead' as state, null::uuid as worker, null::float8 as part, null::text as note, null::text as result, died_at as ended_at
          from shared_queues.dead where job_id = $1";
    const CANCEL: Statement<(JobId,), Option<String>> = "select shared_queues.cancel($1)";
    /// `$2` milliseconds.
    const RESCHEDULE: Statement<(JobId, i64), bool> = "select shared_queues.reschedule($1, $2)";
}

/// Of each state so many of the latest jobs are looked at by a search: some tens of milliseconds.
const LOOKED_AT: i64 = 10_000;

#[derive(Row)]
struct StatusRow {
    queue: String,
    paused: bool,
    ready: i64,
    waiting: i64,
    scheduled: i64,
    running: i64,
    dead: i64,
}

#[derive(Row)]
struct ViewRow {
    job_id: JobId,
    tenant_id: TenantId,
    queue: String,
    name: String,
    version: i32,
    band: i16,
    attempts: i32,
    crashes: i32,
    enqueued_at: OffsetDateTime,
    due_at: OffsetDateTime,
    error: Option<String>,
    state: String,
    worker: Option<Uuid>,
    part: Option<f64>,
    note: Option<String>,
    result: Option<String>,
    ended_at: Option<OffsetDateTime>,
}

impl Store {
    pub(super) async fn status(&self) -> Result<Vec<QueueStatus>, Error> {
        let door = self.db.system();
        let mut all = Vec::new();
        for row in door.all(&QUEUES, ()).await? {
            let oldest = match row.ready {
                0 => None,
                _ => door.one(&OLDEST, (row.queue.as_str(),)).await?,
            };
            all.push(row.status(oldest));
        }
        Ok(all)
    }

    pub(super) async fn view(&self, job: JobId) -> Result<Option<JobView>, Error> {
        let door = self.db.system();
        // One that was redriven between two of them is where the first one looks, unless it has died again since.
        for statement in [&JOB, &DEAD_JOB, &FINISHED_JOB, &JOB, &DEAD_JOB, &JOB] {
            if let Some(row) = door.opt(statement, (job,)).await? {
                return Ok(Some(row.view()));
            }
        }
        Ok(None)
    }

    /// The latest of each kind, then of all.
    pub(super) async fn find(&self, filter: &JobFilter, most: u32) -> Result<Vec<JobView>, Error> {
        let (door, most_of_each) = (self.db.system(), i64::from(most));
        let (queue, name, tenant) = (filter.queue.as_deref(), filter.name.as_deref(), filter.tenant);
        let state = filter.state.map(State::as_str);
        let before = filter.after.unwrap_or(JobId::from_uuid(Uuid::max()));
        let mut rows = Vec::new();
        if filter
            .state
            .is_none_or(|state| !matches!(state, State::Dead | State::Completed | State::Cancelled))
        {
            rows.extend(
                door.all(&LIVE, (queue, name, tenant, state, most_of_each, LOOKED_AT, before)).await?,
            );
        }
        if filter.state.is_none_or(|state| matches!(state, State::Completed | State::Cancelled)) {
            rows.extend(
                door.all(&FINISHED, (queue, name, tenant, state, most_of_each, LOOKED_AT, before)).await?,
            );
        }
        if filter.state.is_none_or(|state| state == State::Dead) {
            rows.extend(door.all(&DEAD, (queue, name, tenant, most_of_each, LOOKED_AT, before)).await?);
        }
        // Ids are in the order of their making, and a job is never in two places for longer than a statement.
        rows.sort_by_key(|row| std::cmp::Reverse(row.job_id));
        rows.dedup_by_key(|row| row.job_id);
        rows.truncate(most as usize);
        Ok(rows.into_iter().map(ViewRow::view).collect())
    }

    pub(super) async fn end(&self, job: JobId) -> Result<Option<String>, Error> {
        Ok(self.db.system().one(&CANCEL, (job,)).await?)
    }

    pub(super) async fn put_off(&self, job: JobId, wait: Duration) -> Result<bool, Error> {
        Ok(self.db.system().one(&RESCHEDULE, (job, milliseconds(wait))).await?)
    }
}

impl StatusRow {
    fn status(self, oldest: Option<f64>) -> QueueStatus {
        QueueStatus {
            queue: self.queue,
            paused: self.paused,
            ready: self.ready.unsigned_abs(),
            waiting: self.waiting.unsigned_abs(),
            scheduled: self.scheduled.unsigned_abs(),
            running: self.running.unsigned_abs(),
            dead: self.dead.unsigned_abs(),
            oldest: oldest.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
        }
    }
}

impl ViewRow {
    fn view(self) -> JobView {
        let state = State::ALL.into_iter().find(|state| state.as_str() == self.state);
        let progress = self.part.zip(self.note).map(|(part, note)| Progress { part, note });
        JobView {
            job_id: self.job_id,
            tenant: self.tenant_id,
            queue: self.queue,
            name: self.name,
            version: self.version.unsigned_abs(),
            state: state.unwrap_or(State::Running),
            priority: priority(self.band),
            attempts: self.attempts.unsigned_abs(),
            crashes: self.crashes.unsigned_abs(),
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
            worker: self.worker.map(|worker| worker.to_string()),
            progress,
            error: self.error,
            result: self.result,
            ended_at: self.ended_at,
        }
    }
}

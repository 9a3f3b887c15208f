//! Jobs on their way in: collected by a tenant's transaction and written with its COMMIT, or written by the program itself.

use std::collections::HashSet;
use std::sync::Arc;

use shared_core::{Context, TenantId};
use shared_db::{AtCommit, Bound, Db, TenantTx, Tx, statements};

use super::columns::{Columns, is_laned, version};
use super::notice::Crier;
use super::{Store, wake};
use crate::backend::Entry;
use crate::joined::Writer;
use crate::meters::METERS;
use crate::{Enqueued, Error, JobId};

/// Jobs as they are written: by `job`, which has a position for each.
macro_rules! written {
    () => {
        ",
             body as (
                 insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at)
                 select j.job_id, j.position, j.tenant_id, j.queue, j.name, j.version, j.payload, j.context, j.band, j.due_at from job j),
             later as (
                 insert into shared_queues.scheduled (queue, due_at, position, band, tenant_id, job_id)
                 select j.queue, j.due_at, j.position, j.band, j.tenant_id, j.job_id from job j where j.delay > 0)"
    };
}

/// Those of the jobs `$1` that are there. By an array: a join would be planned while there are few bodies, and might then walk over all of
/// them for each job.
macro_rules! known {
    () => {
        "known as materialized (select b.job_id from shared_queues.body b where b.job_id = any ($1))"
    };
}

/// The same for jobs with a lane among them, by `given`.
macro_rules! written_with_lanes {
    () => {
        ",
             job as materialized (
                 select g.position, g.job_id, g.tenant_id, g.queue, g.name, g.version, g.payload, g.context, g.band, g.delay, g.due_at,
                        g.order_key, g.limits, shared_queues.lane_of(g.queue, g.tenant_id, g.order_key, g.limits) as lane
                   from (select i.position, i.job_id, i.tenant_id, i.queue, i.name, i.version, i.payload, i.context, i.band, i.delay,
                                i.due_at, i.order_key,
                                case when i.limits is not null then array(select jsonb_array_elements_text(i.limits::jsonb)) end as limits
                           from given i) g),
             body as (
                 insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at,
                                                 lane, order_key, limits)
                 select j.job_id, j.position, j.tenant_id, j.queue, j.name, j.version, j.payload, j.context, j.band, j.due_at,
                        j.lane, j.order_key, j.limits from job j),
             later as (
                 insert into shared_queues.scheduled (queue, due_at, position, band, tenant_id, job_id, lane, ordered, limits)
                 select j.queue, j.due_at, j.position, j.band, j.tenant_id, j.job_id, j.lane, j.order_key is not null, j.limits
                   from job j where j.delay > 0),
             waiting as (
                 insert into shared_queues.waiting (lane, position, queue, band, tenant_id, job_id, ordered, due_at, limits)
                 select j.lane, j.position, j.queue, j.band, j.tenant_id, j.job_id, j.order_key is not null, j.due_at, j.limits
                   from job j where j.delay = 0 and j.lane is not null),
             news as (
                 insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
                 select j.queue, min(j.position), j.tenant_id, j.order_key is not null, array_agg(distinct j.lane)
                   from job j where j.delay = 0 and j.lane is not null
                  group by j.queue, j.tenant_id, j.order_key is not null, j.position / 64)"
    };
}

macro_rules! ready {
    () => {
        "
        insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
        select j.queue, j.band, j.tenant_id, j.position, j.job_id from job j where j.delay = 0"
    };
}

macro_rules! ready_without_lane {
    () => {
        concat!(ready!(), " and j.lane is null")
    };
}

statements! {
    /// A single job that can run at once, as most transactions enqueue one: without arrays it takes half of the server's time. `$1` job id,
    /// `$2` queue, `$3` name, `$4` version, `$5` payload, `$6` context, `$7` band.
    const ENQUEUE_ONE: Statement<(JobId, String, String, i32, String, String, i16), ()> = "
        with job as materialized (select nextval('shared_queues.job_order') as position, $tenant::uuid as tenant_id),
             body as (
                 insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at)
                 select $1::uuid, j.position, j.tenant_id, $2::text, $3::text, $4::integer, $5::text, $6::text, $7::smallint, clock_timestamp()
                   from job j)
        insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
        select $2::text, $7::smallint, j.tenant_id, j.position, $1::uuid from job j";
    /// The same for the tenant `$8`. No row if it is there already, since its answer was lost.
    const ENQUEUE_ONE_FOR: Statement<(JobId, String, String, i32, String, String, i16, TenantId), ()> = "
        with body as (
                 insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at)
                 values ($1, nextval('shared_queues.job_order'), $8, $2, $3, $4, $5, $6, $7, clock_timestamp())
                     on conflict (job_id) do nothing
                 returning position)
        insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
        select $2::text, $7::smallint, $8::uuid, b.position, $1::uuid from body b";
    /// One statement for all jobs of a transaction. `$1` job ids, `$2` queues, `$3` names, `$4` versions, `$5` payloads, `$6` contexts,
    /// `$7` bands, `$8` delays in milliseconds.
    const ENQUEUE: Statement<(Vec<JobId>, Vec<String>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<i16>, Vec<i64>), ()> = concat!("
        with job as materialized (
                 select nextval('shared_queues.job_order') as position, $tenant::uuid as tenant_id, n.job_id, n.queue, n.name, n.version,
                        n.payload, n.context, n.band, n.delay, clock_timestamp() + n.delay * interval '1 millisecond' as due_at
                   from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::smallint[], $8::bigint[])
                        as n (job_id, queue, name, version, payload, context, band, delay))", written!(), ready!());
    /// The same, and `$9` ordering keys, `$10` limits as JSON.
    const ENQUEUE_WITH_LANES: Statement<(Vec<JobId>, Vec<String>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<i16>, Vec<i64>,
                                         Vec<Option<String>>, Vec<Option<String>>), ()> = concat!("
        with given as (
                 select nextval('shared_queues.job_order') as position, $tenant::uuid as tenant_id, n.job_id, n.queue, n.name, n.version,
                        n.payload, n.context, n.band, n.delay, clock_timestamp() + n.delay * interval '1 millisecond' as due_at,
                        n.order_key, n.limits
                   from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::smallint[], $8::bigint[],
                               $9::text[], $10::text[])
                        as n (job_id, queue, name, version, payload, context, band, delay, order_key, limits))", written_with_lanes!(), ready_without_lane!());
    /// The same for the tenants `$9`. A job that is there already, since its answer was lost, is not written again; it is returned.
    const ENQUEUE_FOR: Statement<(Vec<JobId>, Vec<String>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<i16>, Vec<i64>,
                                  Vec<TenantId>), JobId> = concat!("
        with ", known!(), ",
             job as materialized (
                 select nextval('shared_queues.job_order') as position, n.tenant_id, n.job_id, n.queue, n.name, n.version,
                        n.payload, n.context, n.band, n.delay, clock_timestamp() + n.delay * interval '1 millisecond' as due_at
                   from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::smallint[], $8::bigint[],
                               $9::uuid[])
                        as n (job_id, queue, name, version, payload, context, band, delay, tenant_id)
                  where n.job_id <> all (array(select job_id from known)))", written!(), ", ready as (", ready!(), ") select job_id from known");
    /// And `$10` ordering keys, `$11` limits.
    const ENQUEUE_FOR_WITH_LANES: Statement<(Vec<JobId>, Vec<String>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<i16>, Vec<i64>,
                                             Vec<TenantId>, Vec<Option<String>>, Vec<Option<String>>), JobId> = concat!("
        with ", known!(), ",
             given as (
                 select nextval('shared_queues.job_order') as position, n.tenant_id, n.job_id, n.queue, n.name, n.version,
                        n.payload, n.context, n.band, n.delay, clock_timestamp() + n.delay * interval '1 millisecond' as due_at,
                        n.order_key, n.limits
                   from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::smallint[], $8::bigint[],
                               $9::uuid[], $10::text[], $11::text[])
                        as n (job_id, queue, name, version, payload, context, band, delay, tenant_id, order_key, limits)
                  where n.job_id <> all (array(select job_id from known)))", written_with_lanes!(), ", ready as (", ready_without_lane!(), ") select job_id from known");
    /// Jobs that may be the same as others: place in the arrays from 1, answer, job.
    const ENQUEUE_UNIQUE: Statement<(Vec<JobId>, Vec<String>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<i16>, Vec<i64>,
                                     Vec<Option<String>>, Vec<Option<String>>, Vec<Option<String>>), (i64, String, JobId)> = "
        select e.place, e.answer, e.job
          from shared_queues.enqueue_unique_own($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) e";
    const ENQUEUE_UNIQUE_FOR: Statement<(Vec<TenantId>, Vec<JobId>, Vec<String>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<i16>,
                                         Vec<i64>, Vec<Option<String>>, Vec<Option<String>>, Vec<Option<String>>), (i64, String, JobId)> = "
        select e.place, e.answer, e.job
          from shared_queues.enqueue_unique($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) e";
    /// Tells other processes with a transaction that has jobs; `$1` what.
    const CRY: Statement<(Vec<String>,), ()> = "
        select pg_catalog.pg_notify('shared_queues', w.words) from unnest($1::text[]) as w (words)";
    /// The same afterwards, by itself: there is nothing that the disk would have to keep.
    const CRY_AFTERWARDS: Statement<(Vec<String>,), ()> = "
        with unflushed as materialized (select set_config('synchronous_commit', 'off', true))
        select pg_catalog.pg_notify('shared_queues', w.words) from unnest($1::text[]) as w (words) cross join unflushed";
}

/// Plain jobs in one statement at most. More make it no cheaper per job, and take longer.
pub(crate) const AT_ONCE: usize = 1000;

/// The jobs that a transaction has collected.
#[derive(Default, Debug)]
pub(crate) struct Outbox(Vec<Entry>);

impl Outbox {
    pub(crate) fn push(&mut self, job: Entry) {
        self.0.push(job);
    }
}

impl AtCommit for Outbox {
    fn mark(&self) -> usize {
        self.0.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    fn statements(&self, _: &Context) -> Vec<Bound> {
        if let [job] = self.0.as_slice()
            && is_plain(job)
        {
            return vec![ENQUEUE_ONE.bind(parts(job))];
        }
        let c = Columns::of(&self.0);
        let (jobs, queues, names, versions) = (c.jobs, c.queues, c.names, c.versions);
        let (payloads, contexts, bands, delays) = (c.payloads, c.contexts, c.bands, c.delays);
        vec![match self.0.iter().any(is_laned) {
            false => ENQUEUE.bind((jobs, queues, names, versions, payloads, contexts, bands, delays)),
            true => ENQUEUE_WITH_LANES
                .bind((jobs, queues, names, versions, payloads, contexts, bands, delays, c.orders, c.limits)),
        }]
    }

    fn committed(&self, _: &Db) {
        self.0.iter().for_each(|job| METERS.enqueued(job.name.clone()));
    }
}

/// In which queues a transaction has enqueued: those who work elsewhere hear of it with the COMMIT.
#[derive(Default, Debug)]
pub(crate) struct Told {
    queues: Vec<String>,
    crier: Option<Arc<Crier>>,
}

impl Told {
    pub(crate) fn add(tx: &mut TenantTx, queue: &str) {
        let crier = tx.extension_or_default::<Crier>();
        let told = tx.at_commit::<Self>();
        if !told.queues.iter().any(|known| known == queue) {
            told.queues.push(queue.to_owned());
            told.crier = Some(crier);
        }
    }
}

impl AtCommit for Told {
    fn mark(&self) -> usize {
        self.queues.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.queues.truncate(mark);
    }

    fn statements(&self, _: &Context) -> Vec<Bound> {
        let queues = self.queues.iter().map(String::as_str);
        let words = self.crier.as_ref().and_then(|crier| crier.cry(queues));
        words.map(|words| CRY.bind((words,))).into_iter().collect()
    }

    fn committed(&self, db: &Db) {
        wake(db);
    }
}

/// How many jobs of which name a transaction has written already: they are counted once it is committed.
#[derive(Default, Debug)]
pub(crate) struct Written(Vec<&'static str>);

impl Written {
    pub(crate) fn add(&mut self, name: &'static str, jobs: usize) {
        self.0.extend(std::iter::repeat_n(name, jobs));
    }
}

impl AtCommit for Written {
    fn mark(&self) -> usize {
        self.0.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    fn statements(&self, _: &Context) -> Vec<Bound> {
        Vec::new()
    }

    fn committed(&self, _: &Db) {
        self.0.iter().for_each(|name| METERS.enqueued(*name));
    }
}

/// Writes jobs that may be the same as others, at once: so the answers are known before the commit. All in one statement, which locks
/// their marks in one order.
pub(crate) async fn enqueue_unique(tx: &mut TenantTx, jobs: &[Entry]) -> Result<Vec<Enqueued>, Error> {
    let c = Columns::of(jobs);
    let params = (
        c.jobs, c.queues, c.names, c.versions, c.payloads, c.contexts, c.bands, c.delays, c.orders, c.limits,
        c.uniques,
    );
    Ok(answers(tx.all(&ENQUEUE_UNIQUE, params).await?))
}

/// In the order of the jobs.
fn answers(mut rows: Vec<(i64, String, JobId)>) -> Vec<Enqueued> {
    rows.sort_unstable_by_key(|(place, ..)| *place);
    let answer = |(_, answer, job): (i64, String, JobId)| match answer.as_str() {
        "existing" => Enqueued::Existing(job),
        "replaced" => Enqueued::Replaced(job),
        _ => Enqueued::Inserted(job),
    };
    rows.into_iter().map(answer).collect()
}

impl Store {
    /// All of them or none.
    pub(super) async fn enqueue_all(&self, jobs: &[Entry]) -> Result<Vec<Enqueued>, Error> {
        let written = match jobs {
            [] => return Ok(Vec::new()),
            [job] if job.unique.is_none() => vec![self.joined.enqueue(job.clone()).await?],
            few if few.len() <= AT_ONCE && few.iter().all(|job| job.unique.is_none()) => {
                plain(&self.db, few).await?
            }
            jobs => {
                let mut tx = self.db.system().begin().await?;
                let written = enqueue_in(&mut tx, jobs).await?;
                tx.commit().await?;
                written
            }
        };
        self.tell(&queues_of(jobs)).await;
        Ok(written)
    }

    /// Wakes workers of these queues, here and elsewhere.
    pub(super) async fn tell(&self, queues: &[&str]) {
        wake(&self.db);
        let Some(words) = self.crier.cry(queues.iter().copied()) else { return };
        // Those elsewhere find the jobs anyway, a little later.
        if let Err(error) = self.db.system().execute(&CRY_AFTERWARDS, (words,)).await {
            tracing::debug!(%error, "could not tell other processes of new jobs");
        }
    }
}

pub(super) fn queues_of(jobs: &[Entry]) -> Vec<&str> {
    jobs.iter().map(|job| &*job.queue).collect()
}

/// Jobs without rules of uniqueness that share a commit.
pub(crate) struct Plain(pub(super) Db);

impl Writer for Plain {
    async fn write(&self, jobs: &[Entry]) -> Result<Vec<Enqueued>, shared_db::Error> {
        match jobs {
            [job] => Ok(vec![alone(&self.0, job).await?]),
            jobs => plain(&self.0, jobs).await,
        }
    }
}

/// Writes a job without a rule of uniqueness.
async fn alone(db: &Db, job: &Entry) -> Result<Enqueued, shared_db::Error> {
    if !is_plain(job) {
        return Ok(plain(db, std::slice::from_ref(job)).await?[0]);
    }
    let (id, queue, name, version, payload, context, band) = parts(job);
    let given = (id, queue, name, version, payload, context, band, job.tenant);
    Ok(match db.system().execute(&ENQUEUE_ONE_FOR, given).await? {
        0 => Enqueued::Existing(job.job),
        _ => Enqueued::Inserted(job.job),
    })
}

/// It can run at once.
fn is_plain(job: &Entry) -> bool {
    !is_laned(job) && job.delay.is_zero()
}

fn parts(job: &Entry) -> (JobId, String, String, i32, String, String, i16) {
    let (queue, name) = (job.queue.to_string(), job.name.to_string());
    let (payload, context) = (job.payload.clone(), job.context.clone());
    (job.job, queue, name, version(job.version), payload, context, job.priority.band())
}

/// Writes a few jobs without rules of uniqueness, of any tenants. One answer for each.
async fn plain(db: &Db, jobs: &[Entry]) -> Result<Vec<Enqueued>, shared_db::Error> {
    let (c, door) = (Columns::of(jobs), db.system());
    let (ids, queues, names, versions) = (c.jobs, c.queues, c.names, c.versions);
    let (payloads, contexts, bands, delays) = (c.payloads, c.contexts, c.bands, c.delays);
    let known = if jobs.iter().any(is_laned) {
        let all =
            (ids, queues, names, versions, payloads, contexts, bands, delays, c.tenants, c.orders, c.limits);
        door.all(&ENQUEUE_FOR_WITH_LANES, all).await?
    } else {
        let all = (ids, queues, names, versions, payloads, contexts, bands, delays, c.tenants);
        door.all(&ENQUEUE_FOR, all).await?
    };
    Ok(told(jobs, known))
}

/// If some have a rule of uniqueness, all of them in one statement: so it locks their marks in one order, and of two callers with the same
/// keys one waits for the other. Else in slices.
pub(super) async fn enqueue_in(tx: &mut Tx, jobs: &[Entry]) -> Result<Vec<Enqueued>, Error> {
    if jobs.iter().any(|job| job.unique.is_some()) {
        let c = Columns::of(jobs);
        let params = (
            c.tenants, c.jobs, c.queues, c.names, c.versions, c.payloads, c.contexts, c.bands, c.delays,
            c.orders, c.limits, c.uniques,
        );
        return Ok(answers(tx.all(&ENQUEUE_UNIQUE_FOR, params).await?));
    }
    let mut written = Vec::with_capacity(jobs.len());
    for slice in jobs.chunks(AT_ONCE) {
        let c = Columns::of(slice);
        let params = (
            c.jobs, c.queues, c.names, c.versions, c.payloads, c.contexts, c.bands, c.delays, c.tenants,
            c.orders, c.limits,
        );
        written.extend(told(slice, tx.all(&ENQUEUE_FOR_WITH_LANES, params).await?));
    }
    Ok(written)
}

/// What was not there before is new.
fn told(jobs: &[Entry], known: Vec<JobId>) -> Vec<Enqueued> {
    let known: HashSet<JobId> = known.into_iter().collect();
    let answer = |job: &Entry| match known.contains(&job.job) {
        true => Enqueued::Existing(job.job),
        false => Enqueued::Inserted(job.job),
    };
    jobs.iter().map(answer).collect()
}

//! Taking jobs: a batch at a time, under one lease.

use std::time::Duration;

use shared_core::TenantId;
use shared_db::{Row, statements};
use tokio::time::Instant;
use uuid::Uuid;

use super::Store;
use super::turns::Taken;
use crate::backend::{Claim, Claimed};
use crate::{Error, JobId};

/// How many jobs may be taken: none by a worker that was taken out, or from a queue that is paused; -1 if something has to be looked after
/// first. The subqueries are probes of small indexes.
macro_rules! gate {
    () => {
        "unflushed as materialized (select set_config('synchronous_commit', 'off', true)),
         gate as materialized (
                 select case when q.paused or not exists (select from shared_queues.worker where incarnation = $3) then 0
                             when $5 < 2 and (q.concurrency is not null or q.rate_count is not null) then -2
                             when $5 < 1 and (exists (select from shared_queues.news where queue = $1)
                                 or exists (select from shared_queues.lane where queue = $1 and state = 'open')
                                 or exists (select from shared_queues.lane
                                             where queue = $1 and state = 'timed' and opens_at <= clock_timestamp())
                                 or exists (select from shared_queues.limit_use where opens_at <= clock_timestamp())) then -1
                             else $2::bigint end as most
                   from (values (1)) as one (n) left join shared_queues.queue q on q.name = $1)"
    };
}

/// What a claim does with the rows that it `picked`. They are found by their place, and bodies by an array of ids: a join would be planned
/// while the tables are empty, and might then walk over all bodies. A second look under the same number adds to its lease.
macro_rules! take {
    () => {
        "taken as (
                 delete from shared_queues.ready where ctid = any (array(select ctid from picked)) returning job_id, gated),
         lease as (
                 insert into shared_queues.lease as l (worker, claim, queue, ids, gated)
                 select $3, $4, $1, array_agg(job_id), bool_or(gated) from taken having count(*) > 0
                     on conflict (worker, claim) do update set ids = l.ids || excluded.ids, gated = l.gated or excluded.gated)
        select b.job_id, b.tenant_id, b.name, b.version, b.payload, b.context, b.attempts, b.band, b.position,
               extract(epoch from clock_timestamp() - b.due_at)::float8 as waited,
               extract(epoch from clock_timestamp() - b.enqueued_at)::float8 as age
          from shared_queues.body b cross join unflushed where b.job_id = any (array(select job_id from taken))
        union all
        select '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', case most when -1 then 'gated' else 'limited' end,
               0, '', '', 0, 0::smallint, 0, 0, 0
          from gate where most < 0"
    };
}

/// The tenants of band `b.band` that have ready jobs, in turn, beginning behind `b.after`: probes of the index, one for each.
macro_rules! tenants_in_turn {
    () => {
        "select case when w.tenant_id is not null
                     then (select r.tenant_id from shared_queues.ready r
                            where r.queue = $1 and r.band = b.band and r.tenant_id > w.tenant_id order by r.tenant_id limit 1)
                     else (select r.tenant_id from shared_queues.ready r
                            where r.queue = $1 and r.band = b.band order by r.tenant_id limit 1) end,
                w.wrapped or w.tenant_id is null, w.n + 1
           from w where (w.tenant_id is not null or not w.wrapped) and not (w.wrapped and w.tenant_id >= b.after) and w.n < 10000"
    };
}

/// A share of 0 is that of a paused tenant.
macro_rules! share {
    () => {
        "coalesce((select case when s.paused then 0 else s.weight end from shared_queues.share s
                    where s.queue = $1 and s.tenant_id = w.tenant_id), 1)"
    };
}

statements! {
    /// `$1` queue, `$2` how many at most, `$3` incarnation, `$4` claim number, `$5` what not to look after: 0 nothing, 1 lanes, 2 the
    /// queue's limit as well; `$6` bands in their order, `$7` the tenants that they served last, `$8` the quantum.
    ///
    /// Of each band: tenants in turn, a quantum for each times its weight (`first`); and if that does not make a batch, since there are few
    /// tenants, larger quanta for the rest of it (`more`); then whatever is left of the band, before a lower one comes. Losing a claim
    /// only delivers its jobs again, under another fence: so its commit need not be flushed.
    pub(super) const CLAIM: Statement<(String, i64, Uuid, i64, i32, Vec<i16>, Vec<Uuid>, i64), ClaimedRow> = concat!("
        with ", gate!(), ",
         picked as materialized (
                 select k.place as ctid
                   from unnest($6::smallint[], $7::uuid[]) as b (band, after)
                  cross join lateral (
                        with recursive w (tenant_id, wrapped, n) as (
                                 select (select r.tenant_id from shared_queues.ready r
                                          where r.queue = $1 and r.band = b.band and r.tenant_id > b.after order by r.tenant_id limit 1),
                                        false, 1
                                 union all ", tenants_in_turn!(), "),
                             first as materialized (
                                 select j.ctid as place from w cross join lateral (
                                        select r.ctid from shared_queues.ready r
                                         where r.queue = $1 and r.band = b.band and r.tenant_id = w.tenant_id
                                         order by r.position limit $8::bigint * ", share!(), " for update skip locked) j
                                  where w.tenant_id is not null and (not w.wrapped or w.tenant_id <= b.after)
                                  limit (select most from gate)),
                             counted as materialized (select count(*) as first, (select most from gate) - count(*) as rest from first),
                             more as materialized (
                                with recursive w (tenant_id, wrapped, n) as (
                                     select (select r.tenant_id from shared_queues.ready r
                                              where r.queue = $1 and r.band = b.band and r.tenant_id > b.after order by r.tenant_id limit 1),
                                            false, 1
                                     union all ", tenants_in_turn!(), ")
                                select j.ctid as place from w cross join lateral (
                                       select r.ctid from shared_queues.ready r
                                        where r.queue = $1 and r.band = b.band and r.tenant_id = w.tenant_id
                                          and r.ctid <> all (array(select place from first))
                                        order by r.position limit (select (c.rest * $8::bigint + c.first - 1) / greatest(c.first, 1) from counted c) * ",
                                        share!(), " for update skip locked) j
                                 where w.tenant_id is not null and (not w.wrapped or w.tenant_id <= b.after)
                                 limit (select case when c.first = 0 then 0 else c.rest end from counted c)),
                             lacking as materialized (
                                select case when c.first = 0 then 0 else c.rest - (select count(*) from more) end as jobs from counted c)
                        select f.place from first f
                        union all
                        select m.place from more m
                        union all
                        select o.place from (
                            with recursive w (tenant_id, wrapped, n) as (
                                 select (select r.tenant_id from shared_queues.ready r
                                          where r.queue = $1 and r.band = b.band and r.tenant_id > b.after order by r.tenant_id limit 1),
                                        false, 1
                                 union all ", tenants_in_turn!(), ")
                            select j.ctid as place from w cross join lateral (
                                   select r.ctid from shared_queues.ready r
                                    where r.queue = $1 and r.band = b.band and r.tenant_id = w.tenant_id
                                      and r.ctid <> all (array(select place from first union all select place from more))
                                    order by r.position limit (select jobs from lacking) * ", share!(), " for update skip locked) j
                             where w.tenant_id is not null and (not w.wrapped or w.tenant_id <= b.after)
                             limit (select jobs from lacking)) o) k
                  limit (select greatest(most, 0) from gate)),
         ", take!());
    /// The short cut: tenants in their turn, and where their jobs begin, are known. `$6` bands, `$7` tenants, `$8` positions. Each gets its
    /// share of the batch.
    pub(super) const CLAIM_FROM: Statement<(String, i64, Uuid, i64, i32, Vec<i16>, Vec<Uuid>, Vec<i64>), ClaimedRow> = concat!("
        with ", gate!(), ",
         picked as materialized (
                 select j.ctid
                   from (select w.band, w.tenant_id, w.after, ceil($2::float8 * w.share / sum(w.share) over (partition by w.band)) as quota
                           from (select w.band, w.tenant_id, w.after, w.n, ", share!(), " as share
                                   from unnest($6::smallint[], $7::uuid[], $8::bigint[]) with ordinality as w (band, tenant_id, after, n)) w
                          where w.share > 0 order by w.n) w
                  cross join lateral (
                        select r.ctid from shared_queues.ready r
                         where r.queue = $1 and r.band = w.band and r.tenant_id = w.tenant_id and r.position > w.after
                         order by r.position limit w.quota::bigint for update skip locked) j
                  limit (select greatest(most, 0) from gate)),
         ", take!());
    /// Moves what is due to where it waits next. `$1` queue, `$2` how many at most.
    const PROMOTE: Statement<(String, i64), i64> = "
        with due as materialized (
                 select ctid from shared_queues.scheduled
                  where queue = $1 and due_at <= clock_timestamp()
                  order by due_at limit $2 for update skip locked),
             taken as (
                 delete from shared_queues.scheduled where ctid = any (array(select ctid from due))
                 returning queue, band, tenant_id, position, job_id, lane, ordered, due_at, limits),
             ready as (
                 insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
                 select t.queue, t.band, t.tenant_id, t.position, t.job_id from taken t where t.lane is null),
             waiting as (
                 insert into shared_queues.waiting (lane, position, queue, band, tenant_id, job_id, ordered, due_at, limits)
                 select t.lane, t.position, t.queue, t.band, t.tenant_id, t.job_id, t.ordered, t.due_at, t.limits
                   from taken t where t.lane is not null),
             news as (
                 insert into shared_queues.news (queue, position, lane, tenant_id, job_id)
                 select t.queue, t.position, t.lane, t.tenant_id, t.job_id from taken t where t.lane is not null)
        select count(*) from taken";
}

/// A claimed job as it is stored.
#[derive(Row)]
pub(super) struct ClaimedRow {
    job_id: JobId,
    tenant_id: TenantId,
    name: String,
    version: i32,
    payload: String,
    context: String,
    attempts: i32,
    band: i16,
    position: i64,
    waited: f64,
    age: f64,
}

/// What a claim came to.
enum Look {
    Jobs(Vec<ClaimedRow>),
    /// Something has to be admitted first.
    Gated,
    /// The queue has a limit of its own.
    Limited,
}

/// What a claim need not look after.
#[derive(Clone, Copy, PartialEq)]
enum Checked {
    Nothing = 0,
    Lanes = 1,
    Limits = 2,
}

/// Due jobs that are moved in one statement at most: some milliseconds of work, and the rest in the next one.
const PROMOTED_AT_ONCE: i64 = 1000;

/// Tenants take turns about ten to a batch: fair enough within some claims, and cheaper than job by job.
const TURNS_IN_A_BATCH: i64 = 10;

impl Store {
    pub(super) async fn take(&self, claim: Claim<'_>) -> Result<Vec<Claimed>, Error> {
        let mut checked = Checked::Nothing;
        if self.turns.is_gated(claim.queue) {
            self.admit(claim.queue, claim.most).await?;
            checked = Checked::Lanes;
        }
        let rows = match self.look(claim, checked).await? {
            Look::Jobs(rows) => rows,
            Look::Limited => self.take_within_limit(claim).await?,
            Look::Gated => {
                self.admit(claim.queue, claim.most).await?;
                match self.look(claim, Checked::Lanes).await? {
                    Look::Jobs(rows) => rows,
                    Look::Limited | Look::Gated => self.take_within_limit(claim).await?,
                }
            }
        };
        Ok(sorted(rows, claim.lowest_first()))
    }

    /// By a short cut if that is worth it, and by a look at everything if it did not find enough.
    async fn look(&self, claim: Claim<'_>, checked: Checked) -> Result<Look, Error> {
        let bands = bands(claim);
        let mut rows = Vec::new();
        let shortcut = if claim.lowest_first() { None } else { self.turns.shortcut(claim.queue, &bands) };
        if let Some((of, tenants, positions)) = shortcut {
            let given = (
                claim.queue,
                most(claim),
                claim.worker,
                claim.number,
                checked as i32,
                of,
                tenants,
                positions,
            );
            rows = match marked(self.db.system().all(&CLAIM_FROM, given).await?) {
                Look::Jobs(rows) => rows,
                marked => return Ok(marked),
            };
            self.turns.took(claim.queue, &taken(&rows));
            if rows.len() == claim.most || !self.turns.may_look(claim.queue) {
                return Ok(Look::Jobs(rows));
            }
        }
        // A second time if a batch was nearly found, since some tenants have more than their share, and others less.
        for quantum in [(most(claim) / TURNS_IN_A_BATCH).max(1), most(claim)] {
            let claim = Claim { most: claim.most - rows.len(), ..claim };
            let found = match self.look_at_all(claim, checked, quantum).await? {
                Look::Jobs(found) => found,
                marked if rows.is_empty() => return Ok(marked),
                _ => break,
            };
            rows.extend(found);
            if rows.len() * 2 < claim.most || rows.len() >= claim.most {
                break;
            }
        }
        Ok(Look::Jobs(rows))
    }

    async fn look_at_all(&self, claim: Claim<'_>, checked: Checked, quantum: i64) -> Result<Look, Error> {
        let start = Instant::now();
        let found = marked(self.db.system().all(&CLAIM, self.given(claim, checked, quantum)).await?);
        if let Look::Jobs(rows) = &found {
            self.turns.looked(claim.queue, claim.most, &taken(rows), start.elapsed());
        }
        Ok(found)
    }

    fn given<'a>(
        &self,
        claim: Claim<'a>,
        checked: Checked,
        quantum: i64,
    ) -> (&'a str, i64, Uuid, i64, i32, Vec<i16>, Vec<Uuid>, i64) {
        let bands = bands(claim);
        let served = self.turns.served(claim.queue, &bands);
        (claim.queue, most(claim), claim.worker, claim.number, checked as i32, bands, served, quantum)
    }

    /// The claims of a queue with a limit of its own come one after the other.
    async fn take_within_limit(&self, claim: Claim<'_>) -> Result<Vec<ClaimedRow>, Error> {
        let hoped = self.allowed(claim.queue, most(claim)).await?;
        if hoped > 0 {
            self.admit(claim.queue, usize::try_from(hoped).unwrap_or(0)).await?;
        }
        let mut tx = self.db.system().begin().await?;
        let allowed = super::gates::allow(&mut tx, claim.queue, most(claim)).await?;
        let claim = Claim { most: usize::try_from(allowed).unwrap_or(0), ..claim };
        let quantum = (allowed / TURNS_IN_A_BATCH).max(1);
        let rows = match marked(tx.all(&CLAIM, self.given(claim, Checked::Limits, quantum)).await?) {
            Look::Jobs(rows) => rows,
            Look::Gated | Look::Limited => Vec::new(),
        };
        super::gates::spend(&mut tx, claim.queue, rows.len()).await?;
        tx.commit().await?;
        self.turns.took(claim.queue, &taken(&rows));
        Ok(rows)
    }

    /// Moves due jobs of a queue on, and returns whether more may be due.
    pub(super) async fn move_due(&self, queue: &str) -> Result<bool, Error> {
        let moved = self.db.system().one(&PROMOTE, (queue, PROMOTED_AT_ONCE)).await?;
        Ok(moved == PROMOTED_AT_ONCE)
    }
}

fn most(claim: Claim<'_>) -> i64 {
    i64::try_from(claim.most).unwrap_or(i64::MAX)
}

fn bands(claim: Claim<'_>) -> Vec<i16> {
    if claim.lowest_first() { vec![2, 1, 0] } else { vec![0, 1, 2] }
}

/// A row without a job says what has to be done first.
fn marked(rows: Vec<ClaimedRow>) -> Look {
    match rows.first() {
        Some(first) if first.job_id.as_uuid().is_nil() && first.name == "gated" => Look::Gated,
        Some(first) if first.job_id.as_uuid().is_nil() => Look::Limited,
        _ => Look::Jobs(rows),
    }
}

fn taken(rows: &[ClaimedRow]) -> Vec<Taken> {
    let taken =
        |row: &ClaimedRow| Taken { band: row.band, tenant: row.tenant_id.as_uuid(), position: row.position };
    rows.iter().map(taken).collect()
}

/// The most urgent first, or the least, and the oldest of each priority.
fn sorted(mut rows: Vec<ClaimedRow>, lowest_first: bool) -> Vec<Claimed> {
    rows.sort_unstable_by_key(|row| (if lowest_first { -row.band } else { row.band }, row.position));
    rows.into_iter().map(Claimed::from).collect()
}

impl From<ClaimedRow> for Claimed {
    fn from(row: ClaimedRow) -> Self {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Self {
            job: row.job_id,
            tenant: row.tenant_id,
            name: row.name,
            version: row.version.unsigned_abs(),
            payload: row.payload,
            context: row.context,
            attempts: row.attempts.unsigned_abs(),
            waited: seconds(row.waited),
            age: seconds(row.age),
        }
    }
}

//! Taking jobs: a batch at a time, under one lease.

use std::time::Duration;

use shared_core::TenantId;
use shared_db::{Row, statements};
use tokio::time::Instant;
use uuid::Uuid;

use super::Store;
use super::turns::{Portions, Taken};
use crate::backend::{Claim, Claimed};
use crate::{Error, JobId};

/// Of a tenant in the queue; 0 is that of a paused one.
macro_rules! share {
    () => {
        "coalesce((select case when s.paused then 0 else s.weight end from shared_queues.share s
                    where s.queue = $1 and s.tenant_id = f.tenant_id), 1)"
    };
}

statements! {
    /// Which tenants have ready jobs, in turn behind those that were served last, where each one's begin, and its share. `$1` queue, `$2`
    /// bands, `$3` whom each of them served last, `$4` how many tenants of a band it may be content with, `$5` whether what waits in
    /// lanes was looked after. If not, and something has to be, a row without a band says so. `$6` the position behind which it looks: what lies
    /// before it is passed over in the index, though it be dead and not cleaned away.
    ///
    /// It goes from tenant to tenant: a probe of the index for each, and two for each band. Should it pass ten thousand paused ones it ends,
    /// and tells the last of them, with the share 0.
    pub(super) const LOOK: Statement<(String, Vec<i16>, Vec<Uuid>, i32, bool, i64), (i16, Uuid, i64, i32)> = concat!("
        with recursive w (place, part, band, after, last, tenant_id, position, share, met, passed) as (
                 select b.place, f.part, b.band, b.after, f.last, f.tenant_id, f.position, ", share!(), ", 1, 1
                   from unnest($2::smallint[], $3::uuid[]) with ordinality as b (band, after, place)
                  cross join lateral (
                       (select 0 as part, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid as last, r.tenant_id, r.position
                          from shared_queues.ready r where r.queue = $1 and r.band = b.band and r.tenant_id > b.after and r.position > $6
                         order by r.tenant_id, r.position limit 1)
                       union all
                       (select 1, b.after, r.tenant_id, r.position
                          from shared_queues.ready r where r.queue = $1 and r.band = b.band and r.tenant_id <= b.after and r.position > $6
                         order by r.tenant_id, r.position limit 1)) f
                  where not exists (select from shared_queues.queue q where q.name = $1 and q.paused)
                 union all
                 select w.place, w.part, w.band, w.after, w.last, f.tenant_id, f.position, ", share!(), ", w.met + least(w.share, 1), w.passed + 1
                   from w cross join lateral (
                        select r.tenant_id, r.position from shared_queues.ready r
                         where r.queue = $1 and r.band = w.band and r.tenant_id > w.tenant_id and r.tenant_id <= w.last
                           and r.position > $6
                         order by r.tenant_id, r.position limit 1) f
                  where w.met + least(w.share, 1) <= $4 and w.passed < 10000),
             gated as (
                 select where not $5 and (exists (select from shared_queues.news where queue = $1)
                                       or exists (select from shared_queues.lane where queue = $1 and state = 'open')
                                       or exists (select from shared_queues.lane
                                                   where queue = $1 and state = 'timed' and opens_at <= (select clock_timestamp()))
                                       or exists (select from shared_queues.limit_use where opens_at <= (select clock_timestamp()))))
        select -1::smallint, '00000000-0000-0000-0000-000000000000'::uuid, 0::bigint, 0 from gated
        union all
        (select w.band, w.tenant_id, w.position, w.share from w where w.share > 0 or w.passed = 10000 order by w.place, w.part, w.tenant_id)");
    /// Takes jobs. `$1` queue, `$2` how many at most, `$3` incarnation, `$4` claim number, `$5` whether the queue's own limit was looked
    /// after, and portions in their order: `$6` bands, `$7` tenants, `$8` positions behind which their jobs begin, `$9` how many of them are
    /// another portion's, `$10` how many to take.
    ///
    /// None are for a worker that was taken out, nor from a queue that is paused. Rows are found by their place, and bodies by an array
    /// of ids: a join would be planned while the tables are empty, and might then walk over all bodies. A second claim under the same
    /// number adds to its lease. Losing a claim only delivers its jobs again, under another fence: so its commit need not be flushed.
    pub(super) const CLAIM: Statement<(String, i64, Uuid, i64, bool, Vec<i16>, Vec<Uuid>, Vec<i64>, Vec<i64>, Vec<i64>), ClaimedRow> = "
        with unflushed as materialized (select set_config('synchronous_commit', 'off', true)),
             gate as materialized (
                 select case when q.paused or not exists (select from shared_queues.worker where incarnation = $3) then 0
                             when not $5 and (q.concurrency is not null or q.rate_count is not null) then -1
                             else $2::bigint end as most
                   from (values (1)) as one (n) left join shared_queues.queue q on q.name = $1),
             picked as materialized (
                 select j.ctid
                   from unnest($6::smallint[], $7::uuid[], $8::bigint[], $9::bigint[], $10::bigint[]) as p (band, tenant_id, after, others, jobs)
                  cross join lateral (
                        select r.ctid from shared_queues.ready r
                         where r.queue = $1 and r.band = p.band and r.tenant_id = p.tenant_id and r.position > p.after
                           and not exists (select from shared_queues.share s where s.queue = $1 and s.tenant_id = p.tenant_id and s.paused)
                         order by r.position offset p.others limit p.jobs for update skip locked) j
                  limit (select greatest(most, 0) from gate)),
             taken as (
                 delete from shared_queues.ready where ctid = any (array(select ctid from picked)) returning job_id, gated),
             lease as (
                 insert into shared_queues.lease as l (worker, claim, queue, ids, gated)
                 select $3, $4, $1, array_agg(job_id), bool_or(gated) from taken having count(*) > 0
                     on conflict (worker, claim) do update set ids = l.ids || excluded.ids, gated = l.gated or excluded.gated)
        select b.job_id, b.tenant_id, b.name, b.version, b.payload, b.context, b.attempts, b.band, b.position,
               extract(epoch from clock_timestamp() - b.due_at)::float8 as waited,
               extract(epoch from clock_timestamp() - b.enqueued_at)::float8 as age, b.lane is not null as is_laned
          from shared_queues.body b cross join unflushed where b.job_id = any (array(select job_id from taken))
        union all
        select '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', '', 0, '', '', 0, 0::smallint, 0, 0, 0,
               false
          from gate where most < 0";
    /// Moves what is due to where it waits next, and returns how many jobs, and the first position of them. `$1` queue, `$2` how many at most.
    const PROMOTE: Statement<(String, i64), (i64, Option<i64>)> = "
        with due as materialized (
                 select ctid from shared_queues.scheduled
                  where queue = $1 and due_at <= (select clock_timestamp())
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
                 insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
                 select t.queue, min(t.position), t.tenant_id, t.ordered, array_agg(distinct t.lane) from taken t where t.lane is not null
                  group by t.queue, t.tenant_id, t.ordered, t.position / 64)
        select count(*), min(position) from taken";
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
    is_laned: bool,
}

impl ClaimedRow {
    /// Of the row behind those of an admission: how many jobs were admitted, and whether there may be more.
    pub(super) fn admission(&self) -> (usize, bool) {
        (usize::try_from(self.attempts).unwrap_or(0), self.is_laned)
    }
}

/// What a look met.
enum Looked {
    Nothing,
    /// Something that has to be admitted first.
    Gated,
    Tenants(Portions),
}

/// What a claim came to.
enum Took {
    Jobs(Vec<ClaimedRow>),
    /// Nothing: the queue has a limit of its own.
    Limited,
}

/// Due jobs that are moved in one statement at most: some milliseconds of work, and the rest in the next one.
const PROMOTED_AT_ONCE: i64 = 1000;

/// Looks in one claim: the first may have met what has to be admitted, and the next one tenants alone whose jobs others are just taking.
const LOOKS: usize = 3;

impl Store {
    pub(super) async fn take(&self, claim: Claim<'_>) -> Result<Vec<Claimed>, Error> {
        let (mut rows, mut is_admitted) = (Vec::new(), self.turns.is_gated(claim.queue));
        if is_admitted {
            rows = self.admit(claim, true).await?;
        }
        let rest = less(claim, rows.len());
        if rest.most > 0
            && let Some(portions) = self.turns.portions(rest)
        {
            match self.take_of(rest, &portions).await? {
                Took::Limited => return self.take_within_limit(claim).await,
                Took::Jobs(found) => rows.extend(found),
            }
            if !self.turns.may_look(claim.queue) {
                return Ok(sorted(rows, claim.lowest_first()));
            }
        }
        for _ in 0..LOOKS {
            let rest = less(claim, rows.len());
            if rest.most == 0 {
                break;
            }
            let portions = match self.look(rest, is_admitted).await? {
                Looked::Nothing => break,
                Looked::Gated => {
                    is_admitted = true;
                    rows.extend(self.admit(rest, true).await?);
                    continue;
                }
                Looked::Tenants(portions) => portions,
            };
            match self.take_of(rest, &portions).await? {
                Took::Limited if rows.is_empty() => return self.take_within_limit(claim).await,
                Took::Limited => break,
                Took::Jobs(found) => rows.extend(found),
            }
            if portions.are_all {
                break;
            }
        }
        Ok(sorted(rows, claim.lowest_first()))
    }

    /// Looks whose turn it is, if what waits in lanes was looked after or there is no need to.
    async fn look(&self, claim: Claim<'_>, is_admitted: bool) -> Result<Looked, Error> {
        let (bands, tenants) = (claim.bands(), self.turns.tenants(claim.most));
        let (served, start) = (self.turns.served(claim.queue, &bands), self.turns.start(claim.queue));
        let began = Instant::now();
        let given = (claim.queue, bands.as_slice(), served.as_slice(), tenants, is_admitted, start.floor);
        let seen = self.db.system().all(&LOOK, given).await?;
        if seen.first().is_some_and(|(band, ..)| *band < 0) {
            return Ok(Looked::Gated);
        }
        let portions = self.turns.looked(claim, start, seen, began.elapsed());
        Ok(portions.map_or(Looked::Nothing, Looked::Tenants))
    }

    async fn take_of(&self, claim: Claim<'_>, portions: &Portions) -> Result<Took, Error> {
        let rows = self.db.system().all(&CLAIM, portions.of(claim, false)).await?;
        if rows.first().is_some_and(|row| row.job_id.as_uuid().is_nil()) {
            return Ok(Took::Limited);
        }
        self.turns.took(claim, portions, &taken(&rows));
        Ok(Took::Jobs(rows))
    }

    /// The claims of a queue with a limit of its own come one after the other.
    async fn take_within_limit(&self, claim: Claim<'_>) -> Result<Vec<Claimed>, Error> {
        let hoped = self.allowed(claim.queue, most(claim)).await?;
        if hoped <= 0 {
            return Ok(Vec::new());
        }
        let hoped = Claim { most: usize::try_from(hoped).unwrap_or(0), ..claim };
        self.admit(hoped, false).await?;
        let Looked::Tenants(portions) = self.look(hoped, true).await? else { return Ok(Vec::new()) };
        let mut tx = self.db.system().begin().await?;
        let allowed = super::gates::allow(&mut tx, claim.queue, most(hoped)).await?;
        let claim = Claim { most: usize::try_from(allowed).unwrap_or(0), ..claim };
        let rows = tx.all(&CLAIM, portions.of(claim, true)).await?;
        super::gates::spend(&mut tx, claim.queue, rows.len()).await?;
        tx.commit().await?;
        self.turns.took(claim, &portions, &taken(&rows));
        Ok(sorted(rows, claim.lowest_first()))
    }

    /// Moves due jobs of a queue on, and returns whether more may be due.
    pub(super) async fn move_due(&self, queue: &str) -> Result<bool, Error> {
        let (moved, first) = self.db.system().one(&PROMOTE, (queue, PROMOTED_AT_ONCE)).await?;
        if let Some(first) = first {
            self.turns.came_back(queue, first);
        }
        Ok(moved == PROMOTED_AT_ONCE)
    }
}

/// The claim of what is left of it, after so many jobs.
pub(super) fn less(claim: Claim<'_>, jobs: usize) -> Claim<'_> {
    Claim { most: claim.most.saturating_sub(jobs), ..claim }
}

pub(super) fn most(claim: Claim<'_>) -> i64 {
    i64::try_from(claim.most).unwrap_or(i64::MAX)
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
            is_laned: row.is_laned,
        }
    }
}

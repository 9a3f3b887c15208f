//! Effects that happened: rows in the tenant's database, by which later attempts know of them.

use std::time::Duration;

use shared_core::Context;
use shared_db::{AtCommit, Bound, Db, Tenant, TenantTx, statements};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Error, JobId};

statements! {
    /// `$1` job, `$2` name of the effect, `$3` its result.
    const RECORD: Statement<(JobId, String, String), ()> = "
        insert into shared_queues.effect (tenant_id, job_id, name, result) values ($tenant, $1, $2, $3)
        on conflict (tenant_id, job_id, name) do nothing";
    /// The same, and tells the time in microseconds if it was recorded.
    const BEGIN: Statement<(JobId, String, String), i64> = "
        insert into shared_queues.effect (tenant_id, job_id, name, result) values ($tenant, $1, $2, $3)
        on conflict (tenant_id, job_id, name) do nothing
        returning (extract(epoch from clock_timestamp()) * 1000000)::bigint";
    /// `$1` a time in microseconds.
    const COMMIT_BEFORE: Statement<(i64,), ()> = "select shared_queues.commit_before($1)";
    const RESULT: Statement<(JobId, String), String> = "
        select result from shared_queues.effect where tenant_id = $tenant and job_id = $1 and name = $2";
    /// `$1` milliseconds that they are kept, `$2` how many at most.
    const PRUNE: Statement<(i64, i64), ()> = "
        delete from shared_queues.effect where ctid = any (array(
            select ctid from shared_queues.effect where at < clock_timestamp() - $1::bigint * interval '1 millisecond'
             order by at limit $2 for update skip locked))";
}

/// The name of what a job does in the transaction that completes it. Handlers can't use it: theirs are not empty.
const COMPLETION: &str = "";

/// Until when the worker's lease surely holds, by its own clock; it moves on with each beat.
pub(crate) type Sure = watch::Receiver<Instant>;

/// What was found when the mark of completion was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It stands in the transaction.
    Made,
    /// The job is complete already.
    Found,
    /// The worker's lease may be over.
    Late,
}

/// Records in the transaction that the job is complete. It waits for a transaction that is about to say the same.
///
/// The lease is elsewhere, so this database can't look at it. But it has a clock: the COMMIT carries the time, by that clock, up to
/// which the lease surely held when it was sent, and the database refuses it after that. However long the worker is stopped on the
/// way, its COMMIT arrives too late, before or after another attempt's. A handler may take as many beats as it needs: the time is
/// that of the last beat.
pub(crate) async fn complete(tx: &mut TenantTx, job: JobId, sure: Sure) -> Result<Mark, Error> {
    let Some(here) = tx.opt(&BEGIN, (job, COMPLETION, "null")).await? else { return Ok(Mark::Found) };
    // The database's clock showed `here` before this moment: so what is counted from now ends too early, if anything.
    let now = Instant::now();
    if now >= *sure.borrow() {
        return Ok(Mark::Late);
    }
    tx.at_commit::<Deadline>().0 = Some(Clocks { here, now, sure });
    Ok(Mark::Made)
}

/// A moment by both clocks.
struct Clocks {
    /// The database's, in microseconds.
    here: i64,
    /// The worker's.
    now: Instant,
    sure: Sure,
}

impl Clocks {
    /// Until when the lease surely holds, by the database's clock.
    fn deadline(&self) -> i64 {
        let left = self.sure.borrow().saturating_duration_since(self.now);
        self.here.saturating_add(i64::try_from(left.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Lets the COMMIT be refused when the lease may be over.
#[derive(Default)]
struct Deadline(Option<Clocks>);

impl AtCommit for Deadline {
    fn mark(&self) -> usize {
        usize::from(self.0.is_some())
    }

    fn rewind(&mut self, mark: usize) {
        if mark == 0 {
            self.0 = None;
        }
    }

    fn statements(&self, _: &Context) -> Vec<Bound> {
        self.0.iter().map(|clocks| COMMIT_BEFORE.bind((clocks.deadline(),))).collect()
    }

    fn committed(&self, _: &Db) {}
}

/// Records the result of an effect, and returns the one that counts: that of whoever was first.
pub(crate) async fn record(tenant: &Tenant, job: JobId, name: &str, result: String) -> Result<String, Error> {
    if tenant.execute(&RECORD, (job, name, result.as_str())).await? > 0 {
        return Ok(result);
    }
    Ok(recorded(tenant, job, name).await?.unwrap_or(result))
}

/// The result of an effect that happened.
pub(crate) async fn recorded(tenant: &Tenant, job: JobId, name: &str) -> Result<Option<String>, Error> {
    Ok(tenant.opt(&RESULT, (job, name)).await?)
}

/// Rows that are forgotten in one statement at most: some milliseconds of work.
const PRUNED_AT_ONCE: i64 = 1000;

/// Forgets effects that are older than this, and returns whether there may be more of them.
pub(crate) async fn prune(db: &Db, keep: Duration) -> Result<bool, Error> {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let pruned = db.system().execute(&PRUNE, (keep, PRUNED_AT_ONCE)).await?;
    Ok(pruned >= PRUNED_AT_ONCE.unsigned_abs())
}

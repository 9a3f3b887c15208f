//! Effects that happened: rows in the tenant's database, by which later attempts know of them.

use std::time::Duration;

use shared_db::{Db, Tenant, TenantTx, statements};

use crate::{Error, JobId};

statements! {
    /// `$1` job, `$2` name of the effect, `$3` its result.
    const RECORD: Statement<(JobId, String, String), ()> = "
        insert into shared_queues.effect (tenant_id, job_id, name, result) values ($tenant, $1, $2, $3)
        on conflict (tenant_id, job_id, name) do nothing";
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

/// Records in the transaction that the job is complete, unless it is already: then `false`. It waits for a transaction that is
/// about to say the same.
pub(crate) async fn complete(tx: &mut TenantTx, job: JobId) -> Result<bool, Error> {
    Ok(tx.execute(&RECORD, (job, COMPLETION, "null")).await? > 0)
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

//! Admitting jobs from their lanes, and the limits of queues.

use shared_db::{Tx, statements};
use uuid::Uuid;

use super::Store;
use super::claim::{ClaimedRow, less};
use crate::Error;
use crate::backend::Claim;

statements! {
    /// Admits waiting jobs. `$1` queue, `$2` how many at most, `$3` incarnation, if they may be claimed at once, and `$4` claim number. What was
    /// claimed; and behind it a row without a job, in which `attempts` is how many were admitted, and `is_laned` whether there may be more.
    pub(super) const ADMIT: Statement<(String, i32, Option<Uuid>, i64), ClaimedRow> = "
        with a as materialized (select d.admitted, d.more, d.taken from shared_queues.admit($1, $2, $3, $4) d)
        select b.job_id, b.tenant_id, b.name, b.version, b.payload, b.context, b.attempts, b.band, b.position,
               extract(epoch from clock_timestamp() - b.due_at)::float8 as waited,
               extract(epoch from clock_timestamp() - b.enqueued_at)::float8 as age, b.lane is not null as is_laned
          from shared_queues.body b where b.job_id = any ((select a.taken from a)::uuid[])
        union all
        select '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', '', 0, '', '', a.admitted, 0::smallint, 0, 0, 0,
               a.more
          from a";
    /// How many jobs a claim may take by the limit of its queue. `$2` how many it wants.
    const ALLOW: Statement<(String, i64), i64> = "select shared_queues.allow($1, $2)";
    const SPEND: Statement<(String, i64), ()> = "
        update shared_queues.queue set tokens = tokens - $2::bigint where name = $1 and rate_count is not null";
}

/// Rounds of one claim: what one opens, such as a lane whose limit has a place again, the next one admits.
const ROUNDS: usize = 3;

impl Store {
    /// Lets jobs out of their lanes. They are ready then; or, if `at_once` and nothing else is ready, claimed, and these are returned.
    pub(super) async fn admit(&self, claim: Claim<'_>, at_once: bool) -> Result<Vec<ClaimedRow>, Error> {
        let (mut taken, mut admitted, mut more) = (Vec::new(), 0, true);
        for _ in 0..ROUNDS {
            let left = less(claim, admitted).most;
            if !more || left == 0 {
                break;
            }
            let given = (
                claim.queue,
                i32::try_from(left).unwrap_or(i32::MAX),
                at_once.then_some(claim.worker),
                claim.number,
            );
            let mut rows = self.db.system().all(&ADMIT, given).await?;
            let (jobs, is_more) = rows.pop().map_or((0, false), |last| last.admission());
            taken.extend(rows);
            admitted += jobs;
            more = is_more;
        }
        // Those that were claimed at once are nobody's news.
        self.turns.admitted(claim.queue, admitted > taken.len(), more);
        Ok(taken)
    }

    /// How many jobs the queue's own limit would allow now.
    pub(super) async fn allowed(&self, queue: &str, most: i64) -> Result<i64, Error> {
        Ok(self.db.system().one(&ALLOW, (queue, most)).await?)
    }
}

/// Locks the queue's row until the end of the transaction.
pub(super) async fn allow(tx: &mut Tx, queue: &str, most: i64) -> Result<i64, Error> {
    Ok(tx.one(&ALLOW, (queue, most)).await?)
}

pub(super) async fn spend(tx: &mut Tx, queue: &str, jobs: usize) -> Result<(), Error> {
    tx.execute(&SPEND, (queue, i64::try_from(jobs).unwrap_or(i64::MAX))).await?;
    Ok(())
}

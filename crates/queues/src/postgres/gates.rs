//! Admitting jobs from their lanes, and the limits of queues.

use shared_db::{Tx, statements};

use super::Store;
use crate::Error;

statements! {
    /// How many were admitted, and whether there may be more to do. `$1` queue, `$2` how many at most.
    pub(super) const ADMIT: Statement<(String, i32), (i32, bool)> = "
        select a.admitted, a.more from shared_queues.admit($1, $2) a";
    /// How many jobs a claim may take by the limit of its queue. `$2` how many it wants.
    const ALLOW: Statement<(String, i64), i64> = "select shared_queues.allow($1, $2)";
    const SPEND: Statement<(String, i64), ()> = "
        update shared_queues.queue set tokens = tokens - $2::bigint where name = $1 and rate_count is not null";
}

/// Rounds of one claim: what one opens, such as a lane whose limit has a place again, the next one admits.
const ROUNDS: usize = 3;

impl Store {
    /// Makes ready up to so many jobs of lanes.
    pub(super) async fn admit(&self, queue: &str, most: usize) -> Result<(), Error> {
        let (mut left, mut more) = (i32::try_from(most).unwrap_or(i32::MAX), true);
        for _ in 0..ROUNDS {
            if !more || left <= 0 {
                break;
            }
            let admitted;
            (admitted, more) = self.db.system().one(&ADMIT, (queue, left)).await?;
            left -= admitted;
        }
        self.turns.set_gated(queue, more);
        Ok(())
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

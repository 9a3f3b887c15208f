use std::fmt;
use std::time::Duration;

use shared_db::{Db, statements};

use super::level::Level;
use super::limit::Quota;
use super::remote::Remote;
use super::store::{Ask, LimitStore, OnOutage, Outage, Taken};
use super::{MOST_RULES, Rule};
use crate::Error;

statements! {
    const TAKE: Statement<(Vec<Vec<u8>>, Vec<bool>, Vec<i64>, Vec<i64>, i64), (bool, i64, i64, i64)> = "
        select fits, a, b, c from shared_security.take_limits($1, $2, $3, $4, $5) order by place";
}

/// Limits of all processes that share a database: for those that have no Redis, or for limits that are asked rarely, as log-ins
/// are. The tables are those of [`MIGRATIONS`](crate::MIGRATIONS).
///
/// - **One statement** for all rules of a limiter, and none for a denial that is known. It decides on all of them or on none,
///   by the server's clock, under locks of their rows: callers with the same key come one after the other, each in its own
///   transaction, so that what was taken stays taken whatever becomes of the request.
/// - **Rows** have a digest for a key, and are swept by later callers when nothing is left to be remembered.
/// - **When it gives no answer** within the [time-out](Self::timeout), the choice of [`OnOutage`] holds.
///
/// The table is not logged: after a crash of the server, or on a replica that takes over, each key gets at most one more burst
/// or one more window's count.
pub struct PostgresLimits {
    db: Db,
    remote: Remote,
}

impl PostgresLimits {
    /// Limits in this database, and what becomes of requests without it.
    pub fn new(db: Db, on_outage: OnOutage) -> Self {
        Self { db, remote: Remote::new(on_outage) }
    }

    /// How long a decision may take, waiting for a connection included: 250 ms unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.remote = self.remote.with_timeout(timeout);
        self
    }
}

impl LimitStore for PostgresLimits {
    const IS_REMOTE: bool = true;

    fn accept(&self, _: &[Rule]) -> Result<(), Error> {
        Ok(())
    }

    async fn take(&self, asks: &[Ask<'_>], cost: u64) -> Result<Taken, Outage> {
        let keys: Vec<Vec<u8>> =
            asks.iter().map(|ask| ask.key.digest(ask.rule.name(), ask.rule.by()).to_vec()).collect();
        let quotas = asks.iter().map(|ask| match ask.quota {
            Quota::Bucket { interval, burst } => (false, (signed(interval), signed(burst))),
            Quota::Window { seconds, count } => (true, (i64::from(seconds) * 1000, i64::from(count))),
        });
        let (windows, (widths, mosts)): (Vec<_>, (Vec<_>, Vec<_>)) = quotas.unzip();
        let door = self.db.system();
        let asked = door.all(&TAKE, (keys, windows, widths, mosts, signed(cost)));
        let rows = self.remote.answer(asked).await?;
        let mut before = [None; MOST_RULES];
        for (level, (ask, (_, a, b, c))) in before.iter_mut().zip(asks.iter().zip(&rows)) {
            *level = Some(Level::answered(ask.quota, [a, b, c].map(|number| number.unsigned_abs())));
        }
        Ok(Taken { all: rows.iter().all(|(fits, ..)| *fits), before })
    }
}

/// None is above 2^53: a limit holds no more, and a cost that it does not hold is not asked for.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl fmt::Debug for PostgresLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresLimits({:?})", self.remote)
    }
}

#[cfg(test)]
mod tests {
    use shared_db::{Config, Db, bootstrap, testing::mismatches};
    use shared_devkit::Postgres;

    #[tokio::test]
    async fn every_statement_fits_the_schema() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        bootstrap(&config, &[crate::MIGRATIONS]).await.unwrap();
        let db = Db::connect(&config).await.unwrap();
        assert_eq!(mismatches(&db, super::STATEMENTS).await.unwrap(), Vec::<String>::new());
    }
}

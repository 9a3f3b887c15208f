//! One step of a migration, applied: whole, once, and without standing in front of everybody for long.

use std::time::{Duration, Instant};

use shared_core::Backoff;
use tracing::Instrument;

use super::session::Session;
use crate::config::{Config, Roles, quoted};
use crate::error::{Error, described};
use crate::migration::{MigrationSet, Step, label};
use crate::spans;

/// How long a step tries to get its locks.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For one attempt in a transaction. Whoever comes later queues up behind it, so it is short; and longer than
    /// the second after which the server ends a vacuum that is in the way.
    pub(super) attempt: Duration,
    /// For all attempts together. A concurrent step waits that long in one: nobody queues up behind it.
    pub(super) total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(2), total: Duration::from_secs(180) }
    }
}

/// What steps are applied with.
pub(super) struct Steps<'a> {
    pub(super) session: &'a Session,
    pub(super) config: &'a Config,
    pub(super) roles: &'a Roles,
    pub(super) patience: Patience,
}

impl Steps<'_> {
    /// Applies the step. A lock that is not to be had is asked for again and again, with pauses in which others get on.
    pub(super) async fn apply(&self, set: &MigrationSet, step: &Step) -> Result<Duration, Error> {
        let name = label(set.schema(), step.version, step.name);
        let span = spans::migration(&name, &self.session.database);
        let applied = self.attempts(set, step).instrument(span.clone()).await;
        spans::end(&span, &applied);
        applied
    }

    async fn attempts(&self, set: &MigrationSet, step: &Step) -> Result<Duration, Error> {
        let (start, backoff) =
            (Instant::now(), Backoff::new(Duration::from_millis(100), Duration::from_secs(5)));
        let (mut watcher, mut blockers) = (None, None);
        for retry in 1.. {
            if retry == 2 || step.is_concurrent() {
                watcher = Some((Session::open(self.config).await?, self.pid(set, step).await?));
            }
            let attempt = self.attempt(set, step);
            let (done, seen) = match &watcher {
                Some((watcher, pid)) => watcher.watching(*pid, attempt).await,
                None => (attempt.await, None),
            };
            blockers = seen.or(blockers);
            match done {
                Ok(()) => break,
                Err(error) if !is_contention(&error) => return Err(set.wrong(step, described(&error))),
                Err(_) if start.elapsed() >= self.patience.total => {
                    return Err(set.wrong(step, no_lock(start.elapsed(), blockers.as_deref())));
                }
                Err(_) => tokio::time::sleep(backoff.delay(retry)).await,
            }
        }
        Ok(start.elapsed())
    }

    async fn pid(&self, set: &MigrationSet, step: &Step) -> Result<i32, Error> {
        self.session.pid().await.map_err(|error| set.wrong(step, described(&error)))
    }

    async fn attempt(&self, set: &MigrationSet, step: &Step) -> Result<(), tokio_postgres::Error> {
        match step.is_concurrent() {
            true => self.concurrently(set, step).await,
            false => self.in_transaction(set, step).await,
        }
    }

    /// The step and its entry in the history, in one transaction.
    async fn in_transaction(&self, set: &MigrationSet, step: &Step) -> Result<(), tokio_postgres::Error> {
        let begin = format!("BEGIN; SET LOCAL lock_timeout = {}", self.patience.attempt.as_millis());
        let done = async {
            self.session.send(&begin).await?;
            self.session.send(&self.roles.write_into(&step.text())).await?;
            self.enter(set, step, true).await?;
            self.session.send("COMMIT").await
        };
        let done = done.await;
        if done.is_err() {
            let _ = self.session.send("ROLLBACK").await;
        }
        done
    }

    /// The entry comes first and is closed at the end: what lies in between may have happened, in part or as a whole.
    async fn concurrently(&self, set: &MigrationSet, step: &Step) -> Result<(), tokio_postgres::Error> {
        self.enter(set, step, false).await?;
        if let Some(index) = step.index() {
            self.drop_if_invalid(set.schema(), index).await?;
        }
        self.session.send(&format!("SET lock_timeout = {}", self.patience.total.as_millis())).await?;
        let done = self.session.send(&self.roles.write_into(&step.text())).await;
        let reset = self.session.send("RESET lock_timeout").await;
        done.and(reset)?;
        self.enter(set, step, true).await
    }

    /// What a build that was broken off leaves: nobody reads it, and every write pays for it.
    async fn drop_if_invalid(&self, schema: &str, index: &str) -> Result<(), tokio_postgres::Error> {
        const INVALID: &str = "
            SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relname = $2 AND NOT i.indisvalid
               AND pg_get_userbyid(c.relowner) = current_user";
        if self.session.client.query_opt(INVALID, &[&schema, &index]).await?.is_none() {
            return Ok(());
        }
        let index = format!("{}.{}", quoted(schema), quoted(index));
        self.session.send(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await
    }

    async fn enter(
        &self,
        set: &MigrationSet,
        step: &Step,
        finished: bool,
    ) -> Result<(), tokio_postgres::Error> {
        // `now()` is when the transaction began: that of the step, or of the entry that says so.
        let enter = format!(
            "INSERT INTO {}.migration AS m (version, name, checksum, oldest, started_at, finished_at)
             VALUES ($1, $2, $3, $4, now(), CASE WHEN $5 THEN clock_timestamp() END)
             ON CONFLICT (version) DO UPDATE SET name = excluded.name, checksum = excluded.checksum, oldest = excluded.oldest,
                 started_at = CASE WHEN $5 THEN m.started_at ELSE excluded.started_at END, finished_at = excluded.finished_at",
            quoted(set.schema())
        );
        let (version, oldest) = (step.version as i32, step.oldest as i32);
        let entry: [&(dyn postgres_types::ToSql + Sync); 5] =
            [&version, &step.name, &step.checksum(), &oldest, &finished];
        self.session.client.execute(&enter, &entry).await?;
        shared_core::fault::point("db.bootstrap.answered");
        Ok(())
    }
}

/// Somebody else's lock was in the way.
fn is_contention(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(code.code(), "55P03" | "40P01"))
}

fn no_lock(waited: Duration, blockers: Option<&str>) -> String {
    let who = blockers.map_or_else(
        || "see pg_stat_activity for transactions that do not end".to_owned(),
        |who| {
            format!("in its way: process {who}; end that transaction, with pg_terminate_backend if need be")
        },
    );
    format!("a lock that it needs was not to be had within {} s; {who}, and run it again", waited.as_secs())
}

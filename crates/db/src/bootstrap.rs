//! Roles, extension, schemas and migrations, under one lock.

mod roles;
mod session;
mod steps;

use std::fmt;
use std::time::Duration;

pub(crate) use self::session::{Session, failed};
use self::steps::{Patience, Steps};
use crate::config::{Config, Roles, quoted};
use crate::error::Error;
use crate::migration::{MigrationSet, Step, history, label, with_ours};

/// What [`bootstrap`] did. Its `Display` is one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The steps that were applied now, in their order.
    pub steps: Vec<AppliedStep>,
}

/// A step that was applied. Its `Display` names it, as in `notes 0001_note`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedStep {
    /// The schema of its set.
    pub schema: &'static str,
    /// Its number.
    pub version: u32,
    /// Its name.
    pub name: &'static str,
    /// How long it took, the wait for its locks included.
    pub took: Duration,
}

impl fmt::Display for AppliedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&label(self.schema, self.version, self.name))
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("nothing to apply");
        }
        for (at, step) in self.steps.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{step} ({} ms)", step.took.as_millis())?;
        }
        Ok(())
    }
}

/// The family's own base: the helpers that other crates' migrations use.
pub const MIGRATIONS: MigrationSet = MigrationSet::new(
    "shared_db",
    &[
        Step::sql(1, "tenant_table", include_str!("../migrations/0001_tenant_table.sql")),
        Step::sql(2, "collection", include_str!("../migrations/0002_collection.sql")),
    ],
)
.catalogue(include_str!("../migrations/catalogue.txt"));

/// Makes the roles, the `vector` extension and the schemas, and applies what is missing of each set; a second run
/// changes nothing. Programs that start together take turns. A server without pgvector will do where no set has a
/// collection.
///
/// It logs in with `DATABASE_OWNER_URL`, by default `DATABASE_URL`. [`MIGRATIONS`] is always among the sets. A step that
/// meets somebody else's lock waits 2 s at a time, so that others get by, and three minutes in all.
///
/// # Errors
/// [`Error::Bootstrap`] where a right is missing, with the statement that somebody who has it can run, and for a database whose
/// encoding is not UTF8;
/// [`Error::Migration`] for a step that fails, that finds no lock, or whose text was changed after it was applied;
/// [`Error::Incompatible`] if a newer release has taken away what this program uses. Every step that succeeded stays; the
/// next run goes on behind it. Dropping the future leaves whole steps; of a concurrent one perhaps an index that the next
/// run finds invalid and builds again.
pub async fn bootstrap(config: &Config, sets: &[MigrationSet]) -> Result<Applied, Error> {
    bootstrap_within(Patience::default(), config, sets).await
}

async fn bootstrap_within(
    patience: Patience,
    config: &Config,
    sets: &[MigrationSet],
) -> Result<Applied, Error> {
    let (sets, roles) = (with_ours(sets)?, config.roles()?);
    let session = Session::open(config).await?;
    session.must_be_utf8().await?;
    session.lock().await?;
    let steps = Steps { session: &session, config, roles: &roles, patience };
    let applied = prepare_and_migrate(&steps, &sets).await;
    session.unlock().await;
    applied
}

async fn prepare_and_migrate(steps: &Steps<'_>, sets: &[MigrationSet]) -> Result<Applied, Error> {
    let Steps { session, config, roles, .. } = steps;
    session.prepare(config, roles, sets).await?;
    session.run(&format!("SET ROLE {}", quoted(&roles.owner))).await?;
    let mut applied = Applied::default();
    for set in sets {
        make_schema(session, set, roles).await?;
        let history = history::read(&session.client, set).await?;
        for step in history::pending(set, &history)? {
            let took = steps.apply(set, step).await?;
            applied.steps.push(AppliedStep {
                schema: set.schema(),
                version: step.version,
                name: step.name,
                took,
            });
        }
    }
    Ok(applied)
}

/// The schema and its history, which programs read when they start.
async fn make_schema(session: &Session, set: &MigrationSet, roles: &Roles) -> Result<(), Error> {
    let schema = quoted(set.schema());
    let sql = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};
         GRANT USAGE ON SCHEMA {schema} TO {{app}}, {{system}}, {{across}}, {{definer}};
         CREATE TABLE IF NOT EXISTS {schema}.migration (
             version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, oldest integer NOT NULL,
             started_at timestamptz NOT NULL, finished_at timestamptz);
         GRANT SELECT ON {schema}.migration TO {{app}}"
    );
    session.run(&roles.write_into(&sql)).await
}

#[cfg(test)]
mod tests {
    use shared_devkit::Postgres;

    use super::*;

    const SET: MigrationSet = MigrationSet::new(
        "t",
        &[
            Step::sql(1, "one", "create table t.one (a int)"),
            Step::sql(2, "two", "alter table t.one add column b int"),
        ],
    );

    #[tokio::test]
    async fn a_lock_that_is_never_given_back_is_named_with_who_holds_it() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        const FIRST: MigrationSet = MigrationSet::new("t", SET.steps.split_at(1).0);
        bootstrap(&config, &[FIRST]).await.unwrap();

        let holder = Session::open(&config).await.unwrap();
        holder.run("SET application_name = 'a forgotten psql'; BEGIN; SELECT a FROM t.one").await.unwrap();
        let pid = holder.pid().await.unwrap();
        let patience = Patience { attempt: Duration::from_millis(500), total: Duration::from_secs(1) };
        let error = bootstrap_within(patience, &config, &[SET]).await.unwrap_err().to_string();
        assert!(
            error.starts_with("migration t 0002_two: a lock that it needs was not to be had within"),
            "{error}"
        );
        let holder = format!("in its way: process {pid} (a forgotten psql, idle in transaction)");
        assert!(error.contains(&holder), "{error}");
    }
}

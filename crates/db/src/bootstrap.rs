//! Roles, extension, schemas and migrations, under one lock.

use std::time::{Duration, Instant};

use shared_core::Backoff;
use tokio_postgres::{Client, NoTls};

use crate::config::{Config, Roles, quoted};
use crate::error::{Error, described};
use crate::migration::{MigrationSet, Step, ordered};
use crate::pool::{notice_silence, parse};

/// The key of the advisory lock: "shared" and 1. Two programs that start together take turns.
const LOCK: i64 = 0x7368_6172_6564_0001;

/// How long to wait for another program that migrates. Long steps exist; five minutes of them mean trouble.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// How long a step may wait for a lock on a table, so that it never queues up in front of everybody.
const LOCK_TIMEOUT: &str = "5s";

/// What [`bootstrap`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The steps that were applied now, as `schema 0001_name`.
    pub steps: Vec<String>,
}

/// The family's own base: the helpers that other crates' migrations use.
pub const MIGRATIONS: MigrationSet = MigrationSet::new(
    "shared_db",
    &[
        Step::sql(1, "tenant_table", include_str!("../migrations/0001_tenant_table.sql")),
        Step::sql(2, "collection", include_str!("../migrations/0002_collection.sql")),
    ],
);

/// Makes the roles, the `vector` extension and the schemas, and applies what is missing of each set; a second run
/// changes nothing. Programs that start together take turns.
///
/// It logs in with `DATABASE_OWNER_URL`, by default `DATABASE_URL`. [`MIGRATIONS`] is always among the sets.
///
/// # Errors
/// [`Error::Bootstrap`] where a right is missing, with the statement that somebody who has it can run;
/// [`Error::Migration`] for a step that fails or whose text was changed after it was applied. Every step that
/// succeeded stays; the next run goes on behind it. Dropping the future leaves whole steps.
pub async fn bootstrap(config: &Config, sets: &[MigrationSet]) -> Result<Applied, Error> {
    let all: Vec<MigrationSet> = std::iter::once(MIGRATIONS).chain(sets.iter().copied()).collect();
    let sets = ordered(&all).map_err(Error::Bootstrap)?;
    let session = Session::open(config).await?;
    session.lock().await?;
    let applied = session.prepare_and_migrate(config, &sets).await;
    // The lock goes with the session, whatever happens; this only spares others the wait for its end.
    let _ = session.client.batch_execute(&format!("RESET ROLE; SELECT pg_advisory_unlock({LOCK})")).await;
    applied
}

/// A direct connection of its own, ended with the value.
struct Session {
    client: Client,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    async fn open(config: &Config) -> Result<Self, Error> {
        let mut settings = parse(config.owner_url())?;
        notice_silence(&mut settings);
        settings.connect_timeout(config.connect_timeout).application_name("shared-db bootstrap");
        let (client, connection) =
            settings.connect(NoTls).await.map_err(|error| Error::Connect { reason: described(&error) })?;
        let driver = tokio::spawn(async move {
            // Its error reaches the client as well.
            let _ = connection.await;
        });
        Ok(Self { client, driver })
    }

    /// By asking again and again: a session that waits inside the server holds a snapshot, and two of those
    /// deadlock with a concurrent index build.
    async fn lock(&self) -> Result<(), Error> {
        let (start, backoff) =
            (Instant::now(), Backoff::new(Duration::from_millis(20), Duration::from_millis(500)));
        for retry in 1.. {
            let row =
                self.client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(failed)?;
            if row.get(0) {
                break;
            }
            if start.elapsed() > LOCK_PATIENCE {
                return Err(Error::Bootstrap(format!(
                    "another program has been migrating for {} s; see who holds the advisory lock in pg_locks",
                    LOCK_PATIENCE.as_secs()
                )));
            }
            tokio::time::sleep(backoff.delay(retry)).await;
        }
        Ok(())
    }

    async fn prepare_and_migrate(&self, config: &Config, sets: &[MigrationSet]) -> Result<Applied, Error> {
        let roles = config.roles()?;
        self.make_roles(config, &roles).await?;
        self.make_extension().await?;
        self.grant_database(&roles).await?;
        self.run(&format!("SET ROLE {}", quoted(&roles.owner))).await?;
        let mut applied = Applied::default();
        for set in sets {
            self.make_schema(set, &roles).await?;
            self.apply(set, &roles, &mut applied).await?;
        }
        Ok(applied)
    }

    async fn make_roles(&self, config: &Config, roles: &Roles) -> Result<(), Error> {
        for role in [&roles.owner, &roles.app, &roles.system, &roles.definer] {
            if self.exists("SELECT 1 FROM pg_roles WHERE rolname = $1", role).await? {
                continue;
            }
            // Without inheritance: what the definer may read is for its functions, and not for the owner's views.
            let statement = format!("CREATE ROLE {} NOLOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS", quoted(role));
            // Roles belong to the whole server: another database's bootstrap may make the same one now.
            let guarded = format!(
                "DO $make$ BEGIN {statement}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $make$"
            );
            self.right(&guarded, &statement).await?;
        }
        let mut grants = vec![(config.owner_url(), [&roles.owner, &roles.definer])];
        grants.push((&config.url, [&roles.app, &roles.app]));
        grants.push((config.system_url(), [&roles.system, &roles.system]));
        // So that a migration, which runs as the owner, can give a function to the definer.
        self.make_member(&roles.owner, &roles.definer).await?;
        self.end_inheritance(&roles.owner, &roles.definer).await?;
        for (url, roles) in grants {
            let login = match parse(url)?.get_user() {
                Some(login) => login.to_owned(),
                None => self.session_user().await?,
            };
            for role in roles {
                self.make_member(&login, role).await?;
            }
        }
        Ok(())
    }

    /// A URL without a user logs in as the user of the operating system, as this session did.
    async fn session_user(&self) -> Result<String, Error> {
        self.client.query_one("SELECT session_user::text", &[]).await.map(|row| row.get(0)).map_err(failed)
    }

    /// The definer sees every tenant's rows through its policies; an owner that inherits them would show them to everybody
    /// in any view that it makes.
    async fn end_inheritance(&self, owner: &str, definer: &str) -> Result<(), Error> {
        const INHERITS: &str =
            "SELECT pg_has_role($1, $2, 'USAGE'), current_setting('server_version_num')::int >= 160000";
        let inherits = async || self.client.query_one(INHERITS, &[&owner, &definer]).await.map_err(failed);
        let before = inherits().await?;
        if !before.get::<_, bool>(0) {
            return Ok(());
        }
        let (owner_name, definer_name) = (quoted(owner), quoted(definer));
        let statement = match before.get(1) {
            true => format!("GRANT {definer_name} TO {owner_name} WITH INHERIT FALSE, SET TRUE"),
            false => format!("ALTER ROLE {owner_name} NOINHERIT"),
        };
        self.right(&statement, &statement).await?;
        match inherits().await?.get(0) {
            false => Ok(()),
            true => Err(Error::Unsafe(format!(
                "role {owner} inherits what {definer} may read; run: {statement};"
            ))),
        }
    }

    /// Membership in the role, so that the login may take it on. A superuser needs none.
    async fn make_member(&self, login: &str, role: &str) -> Result<(), Error> {
        // Since 16, who makes a role is its member and may still not take it on.
        const MEMBER: &str = "
            SELECT pg_has_role($1, $2, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)";
        let is_member = self.client.query_one(MEMBER, &[&login, &role]).await.map_err(failed)?.get(0);
        if is_member {
            return Ok(());
        }
        let grant = format!("GRANT {} TO {}", quoted(role), quoted(login));
        self.right(&grant, &grant).await
    }

    async fn make_extension(&self) -> Result<(), Error> {
        if self.exists("SELECT 1 FROM pg_extension WHERE extname = $1", "vector").await? {
            return Ok(());
        }
        if !self.exists("SELECT 1 FROM pg_available_extensions WHERE name = $1", "vector").await? {
            return Err(Error::Bootstrap(
                "the server has no pgvector; install it (Debian: postgresql-NN-pgvector), or use `shared-devkit up`".to_owned(),
            ));
        }
        let statement = "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public";
        self.right(statement, statement).await
    }

    async fn grant_database(&self, roles: &Roles) -> Result<(), Error> {
        const MAY_CREATE: &str =
            "SELECT current_database()::text, has_database_privilege($1, current_database(), 'CREATE')";
        let may_create = async || self.client.query_one(MAY_CREATE, &[&roles.owner]).await.map_err(failed);
        let row = may_create().await?;
        if row.get(1) {
            return Ok(());
        }
        let database: String = row.get(0);
        let grant = format!("GRANT CREATE ON DATABASE {} TO {}", quoted(&database), quoted(&roles.owner));
        self.right(&grant, &grant).await?;
        // Who may not grant it gets a warning and no error.
        match may_create().await?.get(1) {
            true => Ok(()),
            false => Err(needs_right("the login may not grant it", &grant)),
        }
    }

    async fn make_schema(&self, set: &MigrationSet, roles: &Roles) -> Result<(), Error> {
        let schema = quoted(set.schema);
        let sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             GRANT USAGE ON SCHEMA {schema} TO {{app}}, {{system}}, {{definer}};
             CREATE TABLE IF NOT EXISTS {schema}.migration (
                 version integer PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now(), milliseconds integer NOT NULL)"
        );
        self.run(&roles.write_into(&sql)).await
    }

    async fn apply(&self, set: &MigrationSet, roles: &Roles, applied: &mut Applied) -> Result<(), Error> {
        let history = format!("SELECT version, checksum FROM {}.migration", quoted(set.schema));
        let history = self.client.query(&history, &[]).await.map_err(failed)?;
        for step in set.steps {
            let wrong = |reason: String| Error::Migration {
                schema: set.schema,
                version: step.version,
                name: step.name,
                reason,
            };
            let known = history.iter().find(|row| row.get::<_, i32>(0) == step.version as i32);
            match known.map(|row| row.get::<_, &[u8]>(1) == step.checksum()) {
                Some(true) => continue,
                Some(false) => {
                    return Err(wrong(
                        "its text has changed since it was applied; restore it, and write another step"
                            .to_owned(),
                    ));
                }
                None => self.apply_step(set, step, roles).await.map_err(|error| wrong(described(&error)))?,
            }
            applied.steps.push(format!("{} {:04}_{}", set.schema, step.version, step.name));
        }
        Ok(())
    }

    /// The step and its entry in the history, in one transaction.
    async fn apply_step(
        &self,
        set: &MigrationSet,
        step: &Step,
        roles: &Roles,
    ) -> Result<(), tokio_postgres::Error> {
        let start = Instant::now();
        let begin =
            format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = 0");
        let done = async {
            self.client.batch_execute(&begin).await?;
            self.client.batch_execute(&roles.write_into(&step.text())).await?;
            let entry = format!(
                "INSERT INTO {}.migration (version, name, checksum, milliseconds) VALUES ($1, $2, $3, $4)",
                quoted(set.schema)
            );
            let milliseconds = i32::try_from(start.elapsed().as_millis()).unwrap_or(i32::MAX);
            self.client
                .execute(&entry, &[&(step.version as i32), &step.name, &step.checksum(), &milliseconds])
                .await?;
            self.client.batch_execute("COMMIT").await
        };
        let done = done.await;
        if done.is_err() {
            let _ = self.client.batch_execute("ROLLBACK").await;
        }
        done
    }

    async fn exists(&self, query: &str, name: &str) -> Result<bool, Error> {
        self.client.query_opt(query, &[&name]).await.map(|row| row.is_some()).map_err(failed)
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(failed)
    }

    /// Runs what takes a right that the login may lack; then the error carries the statement for somebody who has it.
    async fn right(&self, sql: &str, shown: &str) -> Result<(), Error> {
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
        for retry in 1..=10 {
            match self.client.batch_execute(sql).await {
                Ok(()) => return Ok(()),
                // Two databases that change one role at once: "tuple concurrently updated".
                Err(error) if error.code().is_some_and(|code| code.code() == "XX000") && retry < 10 => {
                    tokio::time::sleep(backoff.delay(retry)).await;
                }
                Err(error) => {
                    return Err(needs_right(&described(&error), shown));
                }
            }
        }
        Ok(())
    }
}

fn needs_right(reason: &str, statement: &str) -> Error {
    Error::Bootstrap(format!("{reason}; let somebody who may run: {statement};"))
}

fn failed(error: tokio_postgres::Error) -> Error {
    Error::Bootstrap(described(&error))
}

//! A database for each test, copied from a template that was migrated once.

use std::{error::Error as StdError, fmt, time::SystemTime};

use super::{log, session::Session};
use crate::{Error, fingerprint, handle::Handle};

/// One template is made at a time on a server: migrations of different crates create the same roles.
const TEMPLATES: &str = "devkit templates";

/// More than one, so that the dead become fewer; not all, so that no test waits for the clean-up of a whole run.
const SWEPT_AT_ONCE: usize = 2;

/// A database of one's own, which goes when this value is dropped or its process dies.
///
/// It lives as long as a session that this value holds: keep it inside the runtime that made it, not in a `static`.
/// Dropping cannot wait for the server, so the database is dropped by the next call that makes one, or goes with its server.
/// A database to which somebody is still connected is never dropped.
pub struct TestDatabase {
    name: String,
    url: String,
    /// Holds the lock that says that the database is in use.
    _session: Session,
    /// Keeps the server up, where it is one of ours.
    handle: Option<Handle>,
    made: SystemTime,
    #[cfg(feature = "secrecy")]
    _searched: Option<crate::secrecy::ServerLog>,
}

impl TestDatabase {
    /// The superuser's URL of this database, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of this database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the server's log says about this database, and what the server itself warned of or failed at since it was
    /// made: the last 50 lines. Empty for a server of `DATABASE_URL`, whose log is elsewhere.
    pub fn log(&self) -> Vec<String> {
        self.handle
            .as_ref()
            .map(|handle| log::about(handle.site(), &self.name, self.made))
            .unwrap_or_default()
    }
}

impl fmt::Debug for TestDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TestDatabase").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Makes a database on the server at `url`: a copy of `template`, or empty. It lives as long as the session.
pub(crate) async fn create(
    session: Session,
    url: &str,
    template: Option<&str>,
    handle: Option<Handle>,
) -> Result<TestDatabase, Error> {
    let made = SystemTime::now();
    let server = Facts::ask(&session).await?;
    sweep(&session, &server).await?;
    let name = format!("{}{}", server.prefix("test"), uuid::Uuid::new_v4().simple());
    // First the lock, then the database: without its lock it would look abandoned.
    session.run("lock a test database", &lock("pg_advisory_lock", &name)).await?;
    let (template, strategy) = (template.unwrap_or("template0"), server.strategy);
    let copy = format!("create database {name} template {template} strategy {strategy}");
    session.run("create a test database", &copy).await?;
    Ok(TestDatabase {
        url: with_database(url, &name),
        name,
        _session: session,
        made,
        #[cfg(feature = "secrecy")]
        _searched: handle.as_ref().map(|handle| crate::secrecy::ServerLog::from_now(handle.site().log())),
        handle,
    })
}

/// What our statements need to know of the server, asked in one go.
struct Facts {
    /// The maintenance database, through which we came.
    oid: u32,
    strategy: &'static str,
}

impl Facts {
    async fn ask(session: &Session) -> Result<Facts, Error> {
        let sql = "select oid, current_setting('fsync') = 'off' from pg_database where datname = current_database()";
        let row = session.client.query_one(sql, &[]).await.map_err(Error::database("look at the server"))?;
        // Copying files takes two checkpoints: faster where these do not wait for the disk, slower where they do.
        let strategy = if row.get(1) { "file_copy" } else { "wal_log" };
        Ok(Facts { oid: row.get(0), strategy })
    }

    /// The beginning of our names. Advisory locks belong to the database in which they were taken, so those who came
    /// through different databases of a server leave each other's alone.
    fn prefix(&self, kind: &str) -> String {
        format!("devkit_{kind}_{}_", self.oid)
    }
}

/// The template for a key; made by the first who asks for it, in whatever process.
pub(crate) async fn template<F, Fut, E>(
    session: &Session,
    url: &str,
    key: &str,
    migrate: F,
) -> Result<String, Error>
where
    F: FnOnce(String) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let name = format!("{}{}", Facts::ask(session).await?.prefix("template"), fingerprint(key));
    if is_complete(session, &name).await? {
        return Ok(name);
    }
    session.run("lock the templates", &lock("pg_advisory_lock", TEMPLATES)).await?;
    if !is_complete(session, &name).await? {
        session
            .run("drop a half-made template", &format!("drop database if exists {name} with (force)"))
            .await?;
        session.run("create a template", &format!("create database {name} template template0")).await?;
        if let Err(error) = migrate(with_database(url, &name)).await {
            session.run("drop a half-made template", &format!("drop database {name} with (force)")).await?;
            return Err(Error::Migration { template: key.to_owned(), source: error.into() });
        }
        complete(session, &name).await?;
    }
    session.run("unlock the templates", &lock("pg_advisory_unlock", TEMPLATES)).await?;
    Ok(name)
}

/// Marks a migrated template: nobody can connect to it any more, and it counts from now on.
async fn complete(session: &Session, name: &str) -> Result<(), Error> {
    let closed = format!("alter database {name} with allow_connections false");
    session.run("close a template", &closed).await?;
    // The migration's own connections may still be on their way out, and a template must have none.
    let leave =
        format!("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'");
    session.run("empty a template", &leave).await?;
    session.run("mark a template", &format!("alter database {name} with is_template true")).await
}

async fn is_complete(session: &Session, name: &str) -> Result<bool, Error> {
    let sql = "select 1 from pg_database where datname = $1 and datistemplate";
    let found =
        session.client.query_opt(sql, &[&name]).await.map_err(Error::database("look for a template"))?;
    Ok(found.is_some())
}

/// Drops databases whose owner is gone: nobody holds their lock and nobody is connected.
async fn sweep(session: &Session, server: &Facts) -> Result<(), Error> {
    let failed = || Error::database("look for abandoned databases");
    let abandoned = "select datname::text from pg_database where starts_with(datname, $1) \
                     and oid not in (select datid from pg_stat_activity where datid is not null)";
    let rows = session.client.query(abandoned, &[&server.prefix("test")]).await.map_err(failed())?;
    let mut swept = 0;
    for name in rows.iter().map(|row| row.get::<_, &str>(0)) {
        let row =
            session.client.query_one(&lock("pg_try_advisory_lock", name), &[]).await.map_err(failed())?;
        if row.get(0) {
            // Where somebody has connected in this moment, the next sweep finds it again.
            let _ = session.client.batch_execute(&format!("drop database if exists {name}")).await;
            session.run("look for abandoned databases", &lock("pg_advisory_unlock", name)).await?;
            swept += 1;
        }
        if swept == SWEPT_AT_ONCE {
            break;
        }
    }
    Ok(())
}

/// Takes or gives back the lock of a name of ours.
fn lock(function: &str, name: &str) -> String {
    format!("select {function}(hashtextextended('{name}', 0))")
}

/// The same server's URL for another database.
fn with_database(url: &str, name: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // `host=.. dbname=..`, where the last word counts.
        return format!("{url} dbname={name}");
    };
    let (address, parameters) =
        rest.split_once('?').map_or((rest, None), |(address, rest)| (address, Some(rest)));
    let server = address.split('/').next().unwrap_or(address);
    let parameters = parameters.map(|text| format!("?{text}")).unwrap_or_default();
    format!("{scheme}://{server}/{name}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_url_of_another_database_keeps_everything_else() {
        let same = [
            ("postgres://u:p@h:5/a", "postgres://u:p@h:5/x"),
            ("postgres://u:p@h:5", "postgres://u:p@h:5/x"),
            (
                "postgres:///a?host=/tmp/a/b&connect_timeout=3",
                "postgres:///x?host=/tmp/a/b&connect_timeout=3",
            ),
            ("host=h dbname=a", "host=h dbname=a dbname=x"),
        ];
        for (from, to) in same {
            assert_eq!(with_database(from, "x"), to);
        }
    }
}

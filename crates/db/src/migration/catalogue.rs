//! What is in a schema, as lines of text that are the same wherever the same migrations ran.

use sha2::{Digest, Sha256};

use crate::bootstrap::{Session, failed};
use crate::config::{Config, Roles, quoted};
use crate::error::Error;

const QUERY: &str = include_str!("catalogue.sql");

/// What is in a schema: tables, columns, types, defaults, constraints, indexes, policies, grants, owners, functions, triggers and
/// sequences, a sorted line each, such as
/// ```text
/// table note: column body text not null
/// table note: row level security forced
/// ```
/// It depends neither on the prefix of the roles nor on the version of the server, 15 or later; of a function's body it has the
/// SHA-256. The schema's history is not in it, but for the grants on it. Statistics, default privileges and comments are not.
///
/// Kept in a file beside the migrations it is what [`MigrationSet::catalogue`](super::MigrationSet::catalogue) wants. A
/// program that calls [`cli`](super::cli()) prints it.
///
/// ```no_run
/// # async fn example(config: &shared_db::Config) -> Result<(), shared_db::Error> {
/// let lines = shared_db::migration::catalogue(config, "notes").await?;
/// assert!(lines.contains("table note: row level security forced\n"));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Connect`], or [`Error::Bootstrap`] where the server does not answer. A schema that is not there is empty.
pub async fn catalogue(config: &Config, schema: &str) -> Result<String, Error> {
    let lines = lines(&Session::open(config).await?, &config.roles()?, schema).await?;
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

pub(super) async fn lines(session: &Session, roles: &Roles, schema: &str) -> Result<Vec<String>, Error> {
    // So that the server writes every name with its schema.
    session.run("SET search_path = ''").await?;
    let (names, marks): (Vec<_>, Vec<_>) = roles.marks().into_iter().map(|(mark, name)| (name, mark)).unzip();
    let rows = session.client.query(QUERY, &[&schema, &names, &marks]).await.map_err(failed)?;
    let mut lines = Vec::new();
    for row in &rows {
        let (object, detail): (&str, &str) =
            (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let body: Option<&str> = row.try_get(2).map_err(failed)?;
        let hash = body.map_or_else(String::new, |body| format!(" sha256 {}", hash(body, roles)));
        lines.push(format!("{object}: {}{hash}", detail.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    lines.sort_unstable();
    Ok(lines)
}

/// Of a function's text as its migration has it.
fn hash(body: &str, roles: &Roles) -> String {
    let unix = body.replace("\r\n", "\n");
    let text = roles.marks().iter().fold(unix, |text, (mark, name)| text.replace(&quoted(name), mark));
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

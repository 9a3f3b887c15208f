//! Whether a program may work with a database that somebody else has migrated.

use super::{MigrationSet, history, with_ours};
use crate::db::Db;
use crate::error::Error;

/// Whether the database has every step of these sets, and no newer one that took away what they use. For a program that does
/// not call [`bootstrap`](crate::bootstrap), when it starts; one round trip.
///
/// ```no_run
/// # const MIGRATIONS: shared_db::MigrationSet = shared_db::MigrationSet::new("notes", &[]);
/// # async fn start(config: &shared_db::Config) -> Result<(), shared_db::Error> {
/// let db = shared_db::Db::connect(config).await?;
/// shared_db::migration::check(&db, &[MIGRATIONS]).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Incompatible`] where it is not so, [`Error::Migration`] where a step was applied with another text.
pub async fn check(db: &Db, sets: &[MigrationSet]) -> Result<(), Error> {
    let sets = with_ours(sets)?;
    let selects: Vec<String> = sets.iter().map(history::select).collect();
    let mut connection = db.app().get().await?;
    let ask = format!("{}; {}; COMMIT", db.app().begin(), selects.join("; "));
    // A connection whose transaction has failed is not handed on: it stays unsettled.
    connection.asks();
    let client = connection.client();
    let answer =
        client.answer("check", client.simple_query(&ask)).await.map_err(|error| match error.code() {
            Some("42P01" | "3F000") => behind(&error.to_string()),
            _ => Error::Connect { reason: error.to_string() },
        })?;
    connection.settled();
    let history = history::entries(&answer)?;
    for set in &sets {
        if let Some(step) = history::pending(set, &history)?.first() {
            return Err(behind(&format!("it lacks {}", super::label(set.schema, step.version, step.name))));
        }
    }
    Ok(())
}

fn behind(what: &str) -> Error {
    Error::Incompatible(format!("the database is behind this program ({what}); run its migrations first"))
}

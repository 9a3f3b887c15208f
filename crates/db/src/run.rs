//! Sends statements: the one place that talks to the driver.

use deadpool_postgres::ClientWrapper;
use postgres_types::ToSql;
use tokio_postgres::Row as Answer;

use crate::error::Error;
use crate::row::{Columns, Row};
use crate::statement::Text;

/// What came back.
pub(crate) struct Rows {
    statement: &'static str,
    answers: Vec<Answer>,
}

impl Rows {
    pub(crate) fn new(statement: &'static str, answers: Vec<Answer>) -> Self {
        Self { statement, answers }
    }

    pub(crate) fn one<R: Row>(&self) -> Result<R, Error> {
        match self.answers.as_slice() {
            [row] => R::from_row(&Columns(row)),
            rows => Err(Error::RowCount { statement: self.statement, found: rows.len() }),
        }
    }

    pub(crate) fn opt<R: Row>(&self) -> Result<Option<R>, Error> {
        match self.answers.as_slice() {
            [] => Ok(None),
            _ => self.one().map(Some),
        }
    }

    pub(crate) fn all<R: Row>(&self) -> Result<Vec<R>, Error> {
        self.answers.iter().map(|row| R::from_row(&Columns(row))).collect()
    }
}

/// The parameters with the tenant in front, if the statement asks for it.
pub(crate) fn arguments<'a>(
    text: &Text<'_>,
    tenant: Option<&'a (dyn ToSql + Sync)>,
    mut given: Vec<&'a (dyn ToSql + Sync)>,
) -> Vec<&'a (dyn ToSql + Sync)> {
    if let (true, Some(tenant)) = (text.takes_tenant, tenant) {
        given.insert(0, tenant);
    }
    given
}

/// Prepares the statement on this connection, unless it is prepared there: one round trip, once a connection.
pub(crate) async fn prepare(
    client: &ClientWrapper,
    text: &Text<'_>,
) -> Result<tokio_postgres::Statement, Error> {
    client.prepare_cached(text.sql).await.map_err(|error| Error::statement(text.name, &error))
}

/// A word of the simple protocol, such as COMMIT.
pub(crate) async fn control(client: &ClientWrapper, name: &'static str, sql: &str) -> Result<(), Error> {
    client.batch_execute(sql).await.map_err(|error| Error::statement(name, &error))
}

/// What came of a pipeline that ends with COMMIT.
pub(crate) fn outcome<T>(done: Result<T, Error>, committed: Result<(), Error>) -> Result<T, Error> {
    match (done, committed) {
        // The COMMIT behind a refused statement acts as a ROLLBACK: that nothing happened is known.
        (Err(error), committed) if error.is_certain() || committed.is_ok() => Err(error),
        (done, committed) => committed.map_err(Error::at_commit).and(done),
    }
}

/// Prepares where that is needed, sends, and waits.
pub(crate) async fn run(
    client: &ClientWrapper,
    text: &Text<'_>,
    tenant: Option<&(dyn ToSql + Sync)>,
    given: Vec<&(dyn ToSql + Sync)>,
) -> Result<(Rows, u64), Error> {
    let statement = prepare(client, text).await?;
    query(client, text, &statement, &arguments(text, tenant, given)).await
}

/// Sends a prepared statement and waits for its rows and the number of rows it touched.
pub(crate) async fn query(
    client: &ClientWrapper,
    text: &Text<'_>,
    statement: &tokio_postgres::Statement,
    arguments: &[&(dyn ToSql + Sync)],
) -> Result<(Rows, u64), Error> {
    let failed = |error| Error::statement(text.name, &error);
    if statement.columns().is_empty() {
        let touched = client.execute(statement, arguments).await.map_err(failed)?;
        return Ok((Rows::new(text.name, Vec::new()), touched));
    }
    let answers = client.query(statement, arguments).await.map_err(failed)?;
    let touched = answers.len() as u64;
    Ok((Rows::new(text.name, answers), touched))
}

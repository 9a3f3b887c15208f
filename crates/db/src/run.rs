//! Sends statements: the one place that talks to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deadpool_postgres::ClientWrapper;
use futures_util::future::{join, join3};
use postgres_types::ToSql;
use tokio_postgres::{Row as Answer, SimpleQueryMessage};

use crate::describe::Described;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::pool::{Client, Connection};
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
            [row] => R::from_row(&Columns::answered(row)),
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
        self.answers.iter().map(|row| R::from_row(&Columns::answered(row))).collect()
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

/// The protocol counts parameters in two bytes; past them the driver loses its place in the answers.
pub(crate) fn fit(text: &Text<'_>, given: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
    match given.len() < usize::from(u16::MAX) {
        true => Ok(()),
        false => Err(Error::unsent(
            text.name,
            format!("{} parameters, where a statement has room for 65,535: hand in an array", given.len()),
        )),
    }
}

/// A statement that can be sent.
pub(crate) enum Ready {
    /// Prepared on the connection.
    Prepared(tokio_postgres::Statement),
    /// Sent as text with the types of its parameters.
    Typed(Arc<Described>),
}

/// Prepares the statement on this connection, unless it is prepared there: one round trip, once a connection.
///
/// Behind a pooler its types are asked for instead, once a process; without a transaction in one that is opened for it.
pub(crate) async fn prepare(
    connection: &mut Connection,
    text: &Text<'_>,
    in_transaction: bool,
) -> Result<Ready, Error> {
    let operation = connection.client().operation(text.name);
    let ready = ready(connection, text, in_transaction).await;
    match &ready {
        // What counts is yet to come.
        Ok(_) => operation.forget(),
        Err(_) => operation.end(&ready),
    }
    ready
}

async fn ready(connection: &mut Connection, text: &Text<'_>, in_transaction: bool) -> Result<Ready, Error> {
    if !connection.pool().has_lead_in() {
        let client = connection.client();
        return client.answer(text.name, client.prepare_cached(text.sql)).await.map(Ready::Prepared);
    }
    if let Some(described) = connection.pool().described(text) {
        return Ok(Ready::Typed(described));
    }
    if in_transaction {
        return connection.describe(text).await.map(Ready::Typed);
    }
    let begin = connection.pool().begin();
    let described = match control(connection.client(), "begin", &begin).await {
        Ok(()) => connection.describe(text).await,
        Err(error) => Err(error),
    };
    // Also behind a refusal: what stands behind BEGIN may be refused, and BEGIN itself not.
    control(connection.client(), "commit", "COMMIT").await?;
    described.map(Ready::Typed)
}

/// A word of the simple protocol, such as COMMIT.
pub(crate) async fn control(client: Client<'_>, name: &'static str, sql: &str) -> Result<(), Error> {
    client.answer(name, client.batch_execute(sql)).await
}

/// What came of a pipeline that ends with COMMIT.
pub(crate) fn outcome<T>(done: Result<T, Error>, committed: Result<(), Error>) -> Result<T, Error> {
    match (done, committed) {
        // The COMMIT behind a refused statement acts as a ROLLBACK: that nothing happened is known.
        (Err(error), _) if error.is_certain() => Err(error),
        (done, committed) => committed.and(done).map_err(Error::at_commit),
    }
}

/// Prepares where that is needed, sends, and waits.
pub(crate) async fn run(
    connection: &mut Connection,
    text: &Text<'_>,
    tenant: Option<&(dyn ToSql + Sync)>,
    given: Vec<&(dyn ToSql + Sync)>,
) -> Result<(Rows, u64), Error> {
    fit(text, &given)?;
    let ready = prepare(connection, text, true).await?;
    query(connection.client(), text, &ready, &arguments(text, tenant, given)).await
}

/// COMMIT, and behind it, in the same round trip, a note of where that was.
pub(crate) async fn commit(client: Client<'_>, committed_at: Option<&AtomicU64>) -> Result<(), Error> {
    let Some(committed_at) = committed_at else { return control(client, "commit", "COMMIT").await };
    let position = async {
        let messages = client.simple_query("SELECT pg_catalog.pg_current_wal_insert_lsn()").await.ok()?;
        messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse::<Lsn>().ok(),
            _ => None,
        })
    };
    let (committed, position) = join(control(client, "commit", "COMMIT"), position).await;
    if let (Ok(()), Some(position)) = (&committed, position) {
        committed_at.fetch_max(position.as_u64(), Ordering::Relaxed);
    }
    committed
}

/// BEGIN, and behind it, in the same round trip, the first statement of the transaction.
pub(crate) async fn begin(
    connection: &mut Connection,
    lead_in: &str,
    text: &Text<'_>,
    tenant: &(dyn ToSql + Sync),
    given: Vec<&(dyn ToSql + Sync)>,
) -> Result<Rows, Error> {
    fit(text, &given)?;
    connection.asks();
    let prepared = prepare(connection, text, false).await;
    if prepared.as_ref().err().is_some_and(Error::is_answer) {
        // No transaction is open yet.
        connection.settled();
    }
    let statement = prepared?;
    let arguments = arguments(text, Some(tenant), given);
    let client = connection.client();
    let (begun, done) =
        join(control(client, "begin", lead_in), query(client, text, &statement, &arguments)).await;
    let done = begun.and(done);
    connection.answered(&done);
    Ok(done?.0)
}

/// A statement in a transaction of its own, in one round trip: `lead_in` opens it, COMMIT ends it.
pub(crate) async fn one_trip(
    connection: &mut Connection,
    lead_in: &str,
    text: &Text<'_>,
    tenant: Option<&(dyn ToSql + Sync)>,
    given: Vec<&(dyn ToSql + Sync)>,
    committed_at: Option<&AtomicU64>,
) -> Result<(Rows, u64), Error> {
    fit(text, &given)?;
    connection.asks();
    let prepared = prepare(connection, text, false).await;
    if prepared.as_ref().err().is_some_and(Error::is_answer) {
        // No transaction is open yet.
        connection.settled();
    }
    let statement = prepared?;
    let arguments = arguments(text, tenant, given);
    let client = connection.client();
    // Polled in this order, so sent in this order, before any answer is awaited. Only a prepared statement may
    // stand in the middle: a text would be prepared first, and run after the COMMIT.
    let (begun, done, committed) = join3(
        control(client, "begin", lead_in),
        query(client, text, &statement, &arguments),
        commit(client, committed_at),
    )
    .await;
    connection.ended(&done, &committed);
    outcome(begun.and(done), committed)
}

/// Sends a statement and waits for its rows and the number of rows it touched.
pub(crate) async fn query(
    client: Client<'_>,
    text: &Text<'_>,
    ready: &Ready,
    arguments: &[&(dyn ToSql + Sync)],
) -> Result<(Rows, u64), Error> {
    let operation = client.operation(text.name);
    let answered = client.answer(text.name, send(&client, text.sql, ready, arguments)).await;
    operation.end(&answered);
    let (answers, touched) = answered?;
    Ok((Rows::new(text.name, answers), touched))
}

async fn send(
    client: &ClientWrapper,
    sql: &str,
    ready: &Ready,
    arguments: &[&(dyn ToSql + Sync)],
) -> Result<(Vec<Answer>, u64), tokio_postgres::Error> {
    let answers = match ready {
        Ready::Prepared(statement) if statement.columns().is_empty() => {
            return client.execute(statement, arguments).await.map(|touched| (Vec::new(), touched));
        }
        Ready::Prepared(statement) => client.query(statement, arguments).await?,
        Ready::Typed(described) => {
            let typed: Vec<_> = arguments.iter().copied().zip(described.types.iter().cloned()).collect();
            if !described.returns_rows {
                return client.execute_typed(sql, &typed).await.map(|touched| (Vec::new(), touched));
            }
            client.query_typed(sql, &typed).await?
        }
    };
    let touched = answers.len() as u64;
    Ok((answers, touched))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_statement_without_an_answer_before_a_commit_with_one_may_have_happened() {
        let silent = || Err::<(), _>(Error::silence("write", Duration::ZERO));
        for committed in [Ok(()), silent()] {
            assert!(matches!(outcome(silent(), committed), Err(Error::OutcomeUnknown { .. })));
        }
        let refused = Err(Error::unsent("write", "it was not even sent".to_owned()));
        assert!(matches!(outcome::<()>(refused, Ok(())), Err(Error::Statement { statement: "write", .. })));
    }
}

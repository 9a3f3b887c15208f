//! Rows one by one.

use std::marker::PhantomData;
use std::pin::Pin;

use futures_util::TryStreamExt;
use postgres_types::ToSql;
use tokio_postgres::{Row as Answer, RowStream};

use crate::error::Error;
use crate::lent::Lent;
use crate::params::Params;
use crate::row::{Columns, Row};
use crate::run::{self, Ready};
use crate::statement::{Statement, Text};
use crate::{TenantTx, Tx};

/// The rows of a statement, one by one: what is in memory is one row and what the network has read ahead, a few dozen KiB.
///
/// Read it to its end. If it is dropped before, what runs is cancelled, and the transaction can't be committed.
/// The server's time-out for a statement goes on while rows are read.
///
/// ```
/// # use shared_core::Id;
/// # use shared_db::{Error, TenantTx, statements};
/// # struct Note;
/// statements! {
///     const ALL: Statement<(), (Id<Note>, String)> = "select id, body from notes.note where tenant_id = $tenant";
/// }
/// async fn longest(tx: &mut TenantTx) -> Result<usize, Error> {
///     let (mut longest, mut notes) = (0, tx.stream(&ALL, ()).await?);
///     while let Some(note) = notes.next_columns().await? {
///         let body: &str = note.at(1)?;     // borrowed from the row, and not copied
///         longest = longest.max(body.len());
///     }
///     Ok(longest)
/// }
/// ```
/// What is borrowed from a row does not outlive it:
/// ```compile_fail
/// # use shared_db::{Error, Streamed};
/// async fn first_two(rows: &mut Streamed<'_, String>) -> Result<bool, Error> {
///     let first: &str = match rows.next_columns().await? { Some(row) => row.at(0)?, None => "" };
///     let second = rows.next().await?;
///     Ok(second.as_deref() == Some(first))
/// }
/// ```
pub struct Streamed<'tx, R> {
    lent: Lent<'tx>,
    statement: &'static str,
    rows: Pin<Box<RowStream>>,
    current: Option<Answer>,
    types: PhantomData<fn() -> R>,
}

impl<R: Row> Streamed<'_, R> {
    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// Those of the statement, after which there are no more rows; [`Error::Column`] for a row that can't be read.
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        match self.next_columns().await? {
            Some(row) => R::from_row(&row).map(Some),
            None => Ok(None),
        }
    }

    /// The next row as the server sent it, to borrow texts and bytes from; `None` after the last.
    ///
    /// # Errors
    /// Those of the statement, after which there are no more rows.
    pub async fn next_columns(&mut self) -> Result<Option<Columns<'_>>, Error> {
        let client = self.lent.connection.client();
        self.current = match client.answer(self.statement, self.rows.try_next()).await {
            Ok(row) => row,
            Err(error) => {
                let failed = Err(error);
                self.lent.done(&failed);
                return failed;
            }
        };
        if self.current.is_none() {
            self.lent.done(&Ok(()));
        }
        Ok(self.current.as_ref().map(Columns::answered))
    }
}

impl<R> std::fmt::Debug for Streamed<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Streamed({})", self.statement)
    }
}

macro_rules! streams {
    ($tx:ty) => {
        impl $tx {
            /// The rows of the statement one by one, without collecting them.
            pub async fn stream<P, R: Row>(
                &mut self,
                statement: &Statement<P, R>,
                params: impl Params<P>,
            ) -> Result<Streamed<'_, R>, Error> {
                let lent = self.lend(statement.text())?;
                open(lent, statement.text(), params.refs()).await
            }
        }
    };
}
streams!(TenantTx);
streams!(Tx);

async fn open<'tx, R>(
    mut lent: Lent<'tx>,
    text: &Text<'_>,
    given: Vec<&(dyn ToSql + Sync)>,
) -> Result<Streamed<'tx, R>, Error> {
    let rows = match run::prepare(lent.connection, text, true).await {
        Ok(ready) => {
            lent.measure();
            send(&lent, text, &ready, given).await
        }
        Err(error) => Err(error),
    };
    if rows.is_err() {
        lent.done(&rows);
    }
    let rows = Box::pin(rows?);
    Ok(Streamed { lent, statement: text.name, rows, current: None, types: PhantomData })
}

async fn send(
    lent: &Lent<'_>,
    text: &Text<'_>,
    ready: &Ready,
    given: Vec<&(dyn ToSql + Sync)>,
) -> Result<RowStream, Error> {
    let tenant = lent.tenant.as_ref().map(|tenant| tenant as &(dyn ToSql + Sync));
    let arguments = run::arguments(text, tenant, given);
    let client = lent.connection.client();
    match ready {
        Ready::Prepared(statement) => client.answer(text.name, client.query_raw(statement, arguments)).await,
        Ready::Typed(described) => {
            let typed = arguments.into_iter().zip(described.types.iter().cloned());
            client.answer(text.name, client.query_typed_raw(text.sql, typed)).await
        }
    }
}

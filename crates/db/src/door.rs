use std::borrow::Cow;
use std::sync::Arc;

use shared_core::fault;
use tracing::{Instrument, Span};

use crate::audit::Watch;
use crate::error::Error;
use crate::lent::Lent;
use crate::params::Params;
use crate::pool::{Connection, Pool};
use crate::row::Row;
use crate::run::{self, Rows};
use crate::spans;
use crate::statement::{Statement, Text};

/// A door without a tenant: single statements in one round trip each, and transactions.
///
/// A statement that takes `$tenant` has no business here and is refused.
#[derive(Clone, Debug)]
pub struct Door {
    pool: Pool,
    /// Opens every transaction, where that takes more than BEGIN.
    lead_in: Option<Arc<str>>,
    watch: Option<Watch>,
}

impl Door {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, lead_in: None, watch: None }
    }

    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// The same door with other words than BEGIN in front of every transaction.
    pub(crate) fn opened_with(mut self, lead_in: &str) -> Self {
        self.lead_in = Some(lead_in.into());
        self
    }

    fn opening(&self) -> Cow<'_, str> {
        match &self.lead_in {
            Some(lead_in) => Cow::Borrowed(lead_in),
            None => self.pool.begin(),
        }
    }

    /// The family's own machinery asks many times a second, for nobody's request: it has metrics and no spans.
    fn is_quiet(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.reason.is_none())
    }

    fn report(&self, statement: &'static str) {
        if let Some(watch) = &self.watch {
            watch.used(statement);
        }
    }

    /// The row that the statement returns.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless it is exactly one.
    pub async fn one<P, R: Row>(
        &self,
        statement: &Statement<P, R>,
        params: impl Params<P>,
    ) -> Result<R, Error> {
        self.single(statement.text(), &params).await?.0.one()
    }

    /// The row that the statement returns, if it returns one.
    ///
    /// # Errors
    /// [`Error::RowCount`] if there are more.
    pub async fn opt<P, R: Row>(
        &self,
        statement: &Statement<P, R>,
        params: impl Params<P>,
    ) -> Result<Option<R>, Error> {
        self.single(statement.text(), &params).await?.0.opt()
    }

    /// All rows that the statement returns, in memory: bound it with `limit`.
    pub async fn all<P, R: Row>(
        &self,
        statement: &Statement<P, R>,
        params: impl Params<P>,
    ) -> Result<Vec<R>, Error> {
        self.single(statement.text(), &params).await?.0.all()
    }

    /// Runs the statement and returns how many rows it touched.
    pub async fn execute<P>(
        &self,
        statement: &Statement<P, ()>,
        params: impl Params<P>,
    ) -> Result<u64, Error> {
        Ok(self.single(statement.text(), &params).await?.1)
    }

    /// Opens a transaction. Dropping the guard rolls back.
    pub async fn begin(&self) -> Result<Tx, Error> {
        self.report("transaction");
        let span = if self.is_quiet() { Span::none() } else { spans::transaction(&self.pool) };
        let connection = self.pool.get().instrument(span.clone()).await;
        spans::end(&span, &connection);
        let mut tx = Tx::new(connection?, span);
        tx.control("begin", &self.opening()).await?;
        Ok(tx)
    }

    /// Runs `work` in a transaction, and commits if it returns `Ok`.
    ///
    /// # Errors
    /// Those of `work`, after a rollback; [`Error::OutcomeUnknown`] if the connection broke at commit.
    pub async fn tx<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = self.begin().await?;
        match work(&mut tx).await {
            Ok(done) => {
                tx.commit().await?;
                Ok(done)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    async fn single<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<(Rows, u64), Error> {
        refuse_tenant(text)?;
        self.report(text.name);
        let span = if self.is_quiet() { Span::none() } else { spans::statement(text.name, &self.pool) };
        let done = self.twice_if_stale(text, params).instrument(span.clone()).await;
        spans::end(&span, &done);
        done
    }

    async fn twice_if_stale<D>(
        &self,
        text: &Text<'_>,
        params: &impl Params<D>,
    ) -> Result<(Rows, u64), Error> {
        match self.one_trip(text, params).await {
            // A table has changed under the prepared statement, which therefore was not run.
            Err(error) if error.is_stale() => {
                self.pool.forget_plans();
                self.one_trip(text, params).await
            }
            done => done,
        }
    }

    /// For the crate's own statements whose text is made at run time.
    pub(crate) async fn rows<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<Rows, Error> {
        Ok(self.single(text, params).await?.0)
    }

    async fn one_trip<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<(Rows, u64), Error> {
        let mut connection = self.pool.get().await?;
        if self.lead_in.is_some() || self.pool.has_lead_in() {
            return run::one_trip(&mut connection, &self.opening(), text, None, params.refs(), None).await;
        }
        run::fit(text, &params.refs())?;
        connection.asks();
        let done = match run::prepare(&mut connection, text, false).await {
            // It commits itself, so without an answer nobody knows.
            Ok(statement) => run::query(connection.client(), text, &statement, &params.refs())
                .await
                .map_err(Error::at_commit),
            Err(error) => Err(error),
        };
        if done.as_ref().err().is_none_or(Error::is_answer) {
            connection.settled();
        }
        done
    }
}

/// A transaction without a tenant. [`commit`](Self::commit) consumes it; dropping it rolls back.
pub struct Tx {
    connection: Connection,
    failed: Option<&'static str>,
    span: Span,
}

impl Tx {
    fn new(connection: Connection, span: Span) -> Self {
        Self { connection, failed: None, span }
    }

    /// The row that the statement returns.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless it is exactly one.
    pub async fn one<P, R: Row>(
        &mut self,
        statement: &Statement<P, R>,
        params: impl Params<P>,
    ) -> Result<R, Error> {
        self.send(statement.text(), &params).await?.0.one()
    }

    /// The row that the statement returns, if it returns one.
    ///
    /// # Errors
    /// [`Error::RowCount`] if there are more.
    pub async fn opt<P, R: Row>(
        &mut self,
        statement: &Statement<P, R>,
        params: impl Params<P>,
    ) -> Result<Option<R>, Error> {
        self.send(statement.text(), &params).await?.0.opt()
    }

    /// All rows that the statement returns, in memory: bound it with `limit`.
    pub async fn all<P, R: Row>(
        &mut self,
        statement: &Statement<P, R>,
        params: impl Params<P>,
    ) -> Result<Vec<R>, Error> {
        self.send(statement.text(), &params).await?.0.all()
    }

    /// Runs the statement and returns how many rows it touched.
    pub async fn execute<P>(
        &mut self,
        statement: &Statement<P, ()>,
        params: impl Params<P>,
    ) -> Result<u64, Error> {
        Ok(self.send(statement.text(), &params).await?.1)
    }

    /// Makes it so.
    ///
    /// # Errors
    /// [`Error::TransactionFailed`] if a statement had failed: then nothing was committed.
    /// [`Error::OutcomeUnknown`] if the connection broke before the answer.
    pub async fn commit(mut self) -> Result<(), Error> {
        if let Some(statement) = self.failed {
            let failed = Err(Error::TransactionFailed { statement });
            spans::end(&self.span, &failed);
            self.rollback().await;
            return failed;
        }
        self.connection.asks();
        fault::point("db.commit.sending");
        let committed =
            run::control(self.connection.client(), "commit", "COMMIT").await.map_err(Error::at_commit);
        fault::point("db.commit.answered");
        if committed.as_ref().err().is_none_or(Error::is_answer) {
            self.connection.settled();
        }
        spans::end(&self.span, &committed);
        committed
    }

    /// Undoes it, and gives the connection back. A connection that can't even do that, or on which a statement
    /// still runs, is closed.
    pub async fn rollback(mut self) {
        if self.connection.is_waiting() {
            return;
        }
        self.connection.asks();
        if run::control(self.connection.client(), "rollback", "ROLLBACK").await.is_ok() {
            self.connection.settled();
        }
    }

    /// For the crate's own statements whose text is made at run time.
    pub(crate) async fn rows<D>(&mut self, text: &Text<'_>, params: &impl Params<D>) -> Result<Rows, Error> {
        Ok(self.send(text, params).await?.0)
    }

    /// The connection, for what takes more than one question and answer.
    pub(crate) fn lend(&mut self, text: &Text<'_>) -> Result<Lent<'_>, Error> {
        refuse_tenant(text)?;
        Lent::new(text.name, &mut self.connection, &mut self.failed, &self.span)
    }

    async fn control(&mut self, name: &'static str, sql: &str) -> Result<(), Error> {
        self.connection.asks();
        let done = run::control(self.connection.client(), name, sql).await;
        self.connection.answered(&done);
        done
    }

    async fn send<D>(&mut self, text: &Text<'_>, params: &impl Params<D>) -> Result<(Rows, u64), Error> {
        refuse_tenant(text)?;
        if let (Some(statement), true) = (self.failed, self.connection.is_waiting()) {
            return Err(Error::TransactionFailed { statement });
        }
        // Set before and taken back after: a future dropped in between counts as failed.
        let failed = self.failed.replace(text.name);
        self.connection.asks();
        let span = spans::statement_within(&self.span, text.name, self.connection.pool());
        let done = run::run(&mut self.connection, text, None, params.refs()).instrument(span.clone()).await;
        spans::end(&span, &done);
        self.connection.answered(&done);
        match &done {
            Ok(_) => self.failed = failed,
            Err(error) if error.is_stale() => self.connection.pool().forget_plans(),
            Err(_) => {}
        }
        done
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("failed", &self.failed).finish_non_exhaustive()
    }
}

fn refuse_tenant(text: &Text<'_>) -> Result<(), Error> {
    match text.takes_tenant {
        true => Err(Error::Config(format!(
            "statement `{}` takes a tenant; run it through `Db::tenant`",
            text.name
        ))),
        false => Ok(()),
    }
}

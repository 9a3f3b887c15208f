use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::future::{join, maybe_done, try_join_all};
use futures_util::poll;
use postgres_types::ToSql;
use shared_core::{Context, InTenant, TenantId, fault};
use tracing::{Instrument, Span};

use crate::at_commit::{AtCommit, Collected};
use crate::db::Db;
use crate::error::Error;
use crate::lent::Lent;
use crate::params::Params;
use crate::pool::{Connection, Pool};
use crate::row::Row;
use crate::run::{self, Rows};
use crate::spans;
use crate::statement::{Bound, Statement, Text};

/// A transaction in one tenant. [`commit`](Self::commit) consumes it; dropping it rolls back.
///
/// ```compile_fail
/// # use shared_db::{Error, TenantTx};
/// async fn twice(tx: TenantTx) -> Result<(), Error> {
///     tx.commit().await?;
///     tx.commit().await
/// }
/// ```
/// Once is right:
/// ```
/// # use shared_db::{Error, TenantTx};
/// async fn once(tx: TenantTx) -> Result<(), Error> {
///     tx.commit().await
/// }
/// ```
pub struct TenantTx {
    connection: Connection,
    db: Db,
    context: Context,
    /// A statement that failed, or whose future was dropped.
    failed: Option<&'static str>,
    /// The server has asked to run the transaction again.
    lost: bool,
    savepoints: u32,
    collected: Collected,
    /// What was collected for earlier contexts, and sent.
    sent: Vec<Collected>,
    /// Where its door remembers its last commit.
    committed_at: Option<Arc<AtomicU64>>,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
    span: Span,
}

/// What stands in `failed` while the work inside a savepoint runs.
const UNFINISHED: &str = "savepoint";

impl TenantTx {
    pub(crate) async fn begin(
        pool: &Pool,
        db: Db,
        context: Context,
        lead_in: &str,
        committed_at: Option<Arc<AtomicU64>>,
    ) -> Result<Self, Error> {
        let mut tx = Self::unbegun(pool, db, context, committed_at).await?;
        tx.control("begin", lead_in).await?;
        Ok(tx)
    }

    /// BEGIN and the first statement in one round trip.
    pub(crate) async fn begin_with<D>(
        pool: &Pool,
        db: Db,
        context: Context,
        lead_in: &str,
        committed_at: Option<Arc<AtomicU64>>,
        (text, params): (&Text<'_>, &impl Params<D>),
    ) -> Result<(Self, Rows), Error> {
        let mut tx = Self::unbegun(pool, db, context, committed_at).await?;
        let span = spans::statement_within(&tx.span, text.name, pool);
        let (tenant, connection) = (tx.context.tenant(), &mut tx.connection);
        let done =
            run::begin(connection, lead_in, text, &tenant, params.refs()).instrument(span.clone()).await;
        spans::end(&span, &done);
        match done {
            Ok(rows) => Ok((tx, rows)),
            Err(error) => {
                tx.remember(&error);
                tx.rollback().await;
                Err(error)
            }
        }
    }

    /// On a connection, and not yet begun.
    async fn unbegun(
        pool: &Pool,
        db: Db,
        context: Context,
        committed_at: Option<Arc<AtomicU64>>,
    ) -> Result<Self, Error> {
        let span = spans::transaction(pool);
        let connection = pool.get().instrument(span.clone()).await;
        spans::end(&span, &connection);
        Ok(Self {
            connection: connection?,
            db,
            context,
            failed: None,
            lost: false,
            savepoints: 0,
            collected: Collected::default(),
            sent: Vec::new(),
            committed_at,
            after_commit: Vec::new(),
            span,
        })
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

    /// Runs `work` in a savepoint: if it fails, what it did is undone, and the transaction goes on.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn savepoint<T, E: From<Error>>(
        &mut self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let (marks, hooks, depth) = (self.collected.marks(), self.after_commit.len(), self.savepoints + 1);
        self.control("savepoint", &format!("SAVEPOINT s{depth}")).await?;
        self.savepoints = depth;
        // As with a statement: a savepoint whose future is dropped half-way counts as failed.
        let failed = self.failed.replace(UNFINISHED);
        let done = work(self).await;
        // One inside this one was dropped half-way, and left its mark.
        let half_way = self.savepoints != depth;
        self.savepoints = depth - 1;
        match done {
            Ok(done) if self.failed == Some(UNFINISHED) && !half_way => {
                self.failed = failed;
                self.control("release", &format!("RELEASE s{depth}")).await?;
                Ok(done)
            }
            done => {
                let undone =
                    self.control("rollback to", &format!("ROLLBACK TO s{depth}; RELEASE s{depth}")).await;
                if let Err(error) = undone {
                    return done.and(Err(error.into()));
                }
                let swallowed = std::mem::replace(&mut self.failed, failed);
                let swallowed = swallowed.filter(|one| half_way || *one != UNFINISHED);
                self.collected.rewind(&marks);
                self.after_commit.truncate(hooks);
                match (done, swallowed) {
                    (Ok(_), Some(statement)) => Err(Error::TransactionFailed { statement }.into()),
                    (done, _) => done,
                }
            }
        }
    }

    /// Goes on in another context of the same tenant: whatever is recorded, published or enqueued from here on belongs to it. What was
    /// collected before is sent now, under the context that it was collected in. For batches of work whose parts were asked
    /// for by different requests.
    ///
    /// # Errors
    /// [`Error::Unsafe`] for another tenant's context, or inside a savepoint; [`Error::Statement`] if what was collected fails.
    pub async fn continue_in(&mut self, context: &Context) -> Result<(), Error> {
        if context.tenant() != self.context.tenant() || self.savepoints > 0 {
            return Err(Error::Unsafe(
                "a transaction keeps its tenant, and inside a savepoint its context".to_owned(),
            ));
        }
        for one in self.collected.statements(&self.context) {
            self.send_refs(&one.text, one.refs()).await?;
        }
        let collected = std::mem::take(&mut self.collected);
        if !collected.is_empty() {
            self.sent.push(collected);
        }
        self.context = context.clone();
        Ok(())
    }

    /// What this transaction collects of a kind, to be sent with its COMMIT.
    pub fn at_commit<C: AtCommit + Default>(&mut self) -> &mut C {
        self.collected.of::<C>()
    }

    /// What [stands beside its database](Db::extend), of this type.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.db.extension()
    }

    /// [The same](Db::extension_or_default), made if there is none.
    pub fn extension_or_default<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        self.db.extension_or_default()
    }

    /// Runs `hook` if, and only if, the transaction was committed. It must be quick and must not panic.
    pub fn after_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(hook));
    }

    /// Makes it so: everything that was collected and COMMIT go out in one round trip.
    ///
    /// # Errors
    /// [`Error::TransactionFailed`] if a statement had failed, [`Error::Statement`] if one that was collected fails: then
    /// nothing was committed. [`Error::OutcomeUnknown`] if the connection broke before the answer. If this
    /// future is dropped, the outcome is unknown as well.
    pub async fn commit(mut self) -> Result<(), Error> {
        if let Some(statement) = self.failed {
            let failed = Err(Error::TransactionFailed { statement });
            spans::end(&self.span, &failed);
            self.rollback().await;
            return failed;
        }
        let span = self.span.clone();
        let committed = self.send_collected_and_commit().instrument(span).await;
        spans::end(&self.span, &committed);
        committed?;
        for collected in self.sent.iter().chain([&self.collected]) {
            collected.committed(&self.db);
        }
        self.after_commit.drain(..).for_each(|hook| hook());
        Ok(())
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
        let lent = Lent::new(text.name, &mut self.connection, &mut self.failed, &self.span)?;
        Ok(lent.within(self.context.tenant(), &mut self.lost))
    }

    async fn send_collected_and_commit(&mut self) -> Result<(), Error> {
        let bound = self.collected.statements(&self.context);
        self.connection.asks();
        fault::point("db.commit.sending");
        let (done, committed) =
            with_commit(&mut self.connection, &bound, self.context.tenant(), self.committed_at.as_deref())
                .await;
        fault::point("db.commit.answered");
        if let Err(error) = &done {
            self.remember(error);
        }
        let Some(committed) = committed else { return done };
        self.connection.ended(&done, &committed);
        run::outcome(done, committed)
    }

    async fn control(&mut self, name: &'static str, sql: &str) -> Result<(), Error> {
        self.refuse_behind_abandoned()?;
        self.connection.asks();
        let failed = self.failed.replace(name);
        let done = run::control(self.connection.client(), name, sql).await;
        self.connection.answered(&done);
        done?;
        self.failed = failed;
        Ok(())
    }

    /// Whatever is sent behind a statement that nobody awaits any more would wait for its end.
    fn refuse_behind_abandoned(&self) -> Result<(), Error> {
        match self.failed {
            Some(statement) if self.connection.is_waiting() => Err(Error::TransactionFailed { statement }),
            _ => Ok(()),
        }
    }

    async fn send<D>(&mut self, text: &Text<'_>, params: &impl Params<D>) -> Result<(Rows, u64), Error> {
        self.send_refs(text, params.refs()).await
    }

    async fn send_refs(
        &mut self,
        text: &Text<'_>,
        params: Vec<&(dyn ToSql + Sync)>,
    ) -> Result<(Rows, u64), Error> {
        self.refuse_behind_abandoned()?;
        let span = spans::statement_within(&self.span, text.name, self.connection.pool());
        // Set before and taken back after: a future dropped in between counts as failed.
        let failed = self.failed.replace(text.name);
        self.connection.asks();
        let tenant = self.context.tenant();
        let sent = run::run(&mut self.connection, text, Some(&tenant), params);
        let done = sent.instrument(span.clone()).await;
        spans::end(&span, &done);
        self.connection.answered(&done);
        match &done {
            Ok(_) => self.failed = failed,
            Err(error) => self.remember(error),
        }
        done
    }

    fn remember(&mut self, error: &Error) {
        self.lost |= error.is_conflict() || error.is_stale();
        if error.is_stale() {
            self.connection.pool().forget_plans();
        }
    }

    /// A statement lost to another transaction, or its table has changed: run again, it may succeed.
    pub(crate) fn lost(&self) -> bool {
        self.lost && self.failed.is_some()
    }
}

/// What came of the statements, and of the COMMIT behind them: one round trip. Without the second there was no COMMIT.
async fn with_commit(
    connection: &mut Connection,
    bound: &[Bound],
    tenant: TenantId,
    committed_at: Option<&AtomicU64>,
) -> (Result<(), Error>, Option<Result<(), Error>>) {
    let mut prepared = Vec::with_capacity(bound.len());
    for one in bound {
        match run::prepare(connection, &one.text, true).await {
            Ok(statement) => prepared.push(statement),
            Err(error) => return (Err(error), None),
        }
    }
    let client = connection.client();
    let sent = bound.iter().zip(&prepared).map(async |(one, statement)| {
        run::query(client, &one.text, statement, &run::arguments(&one.text, Some(&tenant), one.refs())).await
    });
    let mut sent = pin!(maybe_done(try_join_all(sent)));
    // The first poll sends them, in their order. A value that can't be sent, such as a date that the server does not
    // know, shows here, where no COMMIT is on its way yet.
    let _ = poll!(sent.as_mut());
    let committed = match sent.as_mut().output_mut() {
        Some(Err(_)) => None,
        _ => Some(join(sent.as_mut(), run::commit(client, committed_at)).await.1),
    };
    (sent.take_output().map_or(Ok(()), |done| done.map(drop)), committed)
}

impl InTenant for TenantTx {
    fn context(&self) -> &Context {
        &self.context
    }
}

impl std::fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantTx")
            .field("tenant", &self.context.tenant())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

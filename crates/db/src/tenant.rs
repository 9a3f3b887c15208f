use futures_util::future::join3;
use shared_core::{Context, InTenant};
use tracing::Instrument;

use crate::db::Db;
use crate::error::Error;
use crate::params::Params;
use crate::row::Row;
use crate::run::{self, Rows};
use crate::statement::{Statement, Text};
use crate::tenant_tx::TenantTx;

/// The door to one tenant's rows.
///
/// A single statement takes one round trip: BEGIN, the tenant, the statement and COMMIT go out together. (Its first
/// use on a connection takes one more, to prepare it.) Several statements that belong together go through
/// [`tx`](Self::tx).
///
/// Dropping the future of a call never harms the connection; a write that was under way may have been committed.
#[derive(Clone, Debug)]
pub struct Tenant {
    db: Db,
    context: Context,
    settings: String,
}

impl Tenant {
    pub(crate) fn new(db: Db, context: Context) -> Self {
        Self { db, context, settings: String::new() }
    }

    /// The same door with settings that hold for each of its transactions, such as `hnsw.ef_search`. Names and
    /// values are the crate's own, never a caller's.
    pub(crate) fn with_settings(mut self, settings: &[(&'static str, &str)]) -> Self {
        for (name, value) in settings {
            self.settings.push_str(&format!("; SET LOCAL {name} = {value}"));
        }
        self
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

    /// Opens a transaction: BEGIN and the tenant in one round trip. Dropping the guard rolls back.
    ///
    /// The guard suits long bodies; but a forgotten `commit` compiles, so prefer [`tx`](Self::tx).
    pub async fn begin(&self) -> Result<TenantTx, Error> {
        TenantTx::begin(self.db.clone(), self.context.clone(), &self.lead_in()).await
    }

    /// Runs `work` in a transaction, and commits if it returns `Ok`.
    ///
    /// Where the error's type does not follow from the place of the call, name it:
    /// `async |tx| -> Result<_, Problem> { .. }`.
    ///
    /// # Errors
    /// Those of `work`, after a rollback; [`Error::TransactionFailed`] if a statement failed and `work` returned `Ok`
    /// all the same; [`Error::OutcomeUnknown`] if the connection broke at commit.
    pub async fn tx<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
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

    /// BEGIN and the settings as one message of the simple protocol. A tenant's UUID needs no quoting.
    fn lead_in(&self) -> String {
        format!("BEGIN; SET LOCAL app.tenant_id = '{}'{}", self.context.tenant(), self.settings)
    }

    /// For the crate's own statements whose text is made at run time.
    pub(crate) async fn rows<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<Rows, Error> {
        Ok(self.single(text, params).await?.0)
    }

    async fn single<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<(Rows, u64), Error> {
        let span = tracing::info_span!(
            "db.statement",
            otel.name = text.name,
            otel.kind = "client",
            db.system.name = "postgresql"
        );
        self.one_trip(text, params).instrument(span).await
    }

    async fn one_trip<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<(Rows, u64), Error> {
        let mut connection = self.db.app().get().await?;
        connection.asks();
        let prepared = run::prepare(connection.client(), text).await;
        if prepared.as_ref().err().is_some_and(Error::is_answer) {
            // No transaction is open yet.
            connection.settled();
        }
        let statement = prepared?;
        let tenant = self.context.tenant();
        let arguments = run::arguments(text, Some(&tenant), params.refs());
        let lead_in = self.lead_in();
        let client = connection.client();
        // Polled in this order, so sent in this order, before any answer is awaited. Only a prepared statement may
        // stand in the middle: a text would be prepared first, and run after the COMMIT.
        let (begun, done, committed) = join3(
            run::control(client, "begin", &lead_in),
            run::query(client, text, &statement, &arguments),
            run::control(client, "commit", "COMMIT"),
        )
        .await;
        connection.ended(&done, &committed);
        run::outcome(begun.and(done), committed)
    }
}

impl InTenant for Tenant {
    fn context(&self) -> &Context {
        &self.context
    }
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared_core::{Context, InTenant};
use tracing::Instrument;

use crate::db::Db;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::params::Params;
use crate::pool::Pool;
use crate::replicas::Consistency;
use crate::row::Row;
use crate::run::{self, Rows};
use crate::spans;
use crate::statement::{Statement, Text};
use crate::tenant_tx::TenantTx;
use crate::transaction::{Isolation, Mode, Retrying};

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
    mode: Mode,
    consistency: Consistency,
    settings: String,
    /// Where the last commit of this door and its clones was.
    committed_at: Arc<AtomicU64>,
}

impl Tenant {
    pub(crate) fn new(db: Db, context: Context) -> Self {
        Self {
            db,
            context,
            mode: Mode::default(),
            consistency: Consistency::Primary,
            settings: String::new(),
            committed_at: Arc::default(),
        }
    }

    /// The same door with settings that hold for each of its transactions, such as `hnsw.ef_search`. Names and
    /// values are the crate's own, never a caller's.
    pub(crate) fn with_settings(mut self, settings: &[(&'static str, &str)]) -> Self {
        for (name, value) in settings {
            self.settings.push_str(&format!("; SET LOCAL {name} = {value}"));
        }
        self
    }

    /// The same door for reading alone: the server refuses every write.
    pub fn read_only(mut self) -> Self {
        self.mode.read_only = true;
        self
    }

    /// The same door for reads that may be answered by a replica, as said. Without replicas, or where none qualifies, the
    /// primary answers.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use shared_core::AssumedTenant;
    /// # use shared_db::{Consistency, Db, Error, statements};
    /// # statements! {
    /// #     const ADD: Statement<(String,), ()> = "insert into notes.note (tenant_id, body) values ($tenant, $1)";
    /// #     const ALL: Statement<(), String> = "select body from notes.note where tenant_id = $tenant";
    /// # }
    /// # async fn example(db: &Db, tenant: &AssumedTenant) -> Result<(), Error> {
    /// let notes = db.tenant(tenant);
    /// notes.execute(&ADD, ("mine",)).await?;
    /// // One's own writes, wherever they have arrived; and what may be five seconds old:
    /// let mine = notes.committed_at().map_or(Consistency::Primary, Consistency::AtLeast);
    /// let bodies = notes.clone().consistency(mine).all(&ALL, ()).await?;
    /// let older = notes.consistency(Consistency::Eventual { max_lag: Duration::from_secs(5) }).all(&ALL, ()).await?;
    /// # Ok(()) }
    /// ```
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.mode.read_only |= consistency != Consistency::Primary;
        self.consistency = consistency;
        self
    }

    /// Where the last commit made through this door, or a clone of it, stands in the write-ahead log. `None` before the
    /// first, and where no replica is configured.
    pub fn committed_at(&self) -> Option<Lsn> {
        match self.committed_at.load(Ordering::Relaxed) {
            0 => None,
            position => Some(Lsn::from_u64(position)),
        }
    }

    /// The same door with another isolation level. From [`Isolation::RepeatableRead`] on the server may refuse a
    /// transaction with an error that [`is_conflict`](Error::is_conflict); [`retrying`](Self::retrying) runs it again.
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.mode.isolation = level;
        self
    }

    /// The same door where every statement is planned for its own parameters, never for those of all: for partitioned tables, of
    /// which a general plan locks every partition, and where one tenant has a thousand times the rows of another. Planning is
    /// repeated each time, some tens of microseconds; it costs no trip.
    pub fn custom_plans(self) -> Self {
        self.with_settings(&[("plan_cache_mode", "force_custom_plan")])
    }

    /// Transactions that are run again after a deadlock or a serialisation failure.
    ///
    /// ```no_run
    /// # use shared_core::AssumedTenant;
    /// # use shared_db::{Db, Error, Isolation, statements};
    /// # statements! { const TAKE: Statement<(i64,), i64> = "update shop.stock set left = left - $1 where tenant_id = $tenant returning left"; }
    /// # async fn example(db: &Db, tenant: &AssumedTenant) -> Result<(), Error> {
    /// let left = db.tenant(tenant).isolation(Isolation::Serializable).retrying().tx(async |tx| tx.one(&TAKE, (3_i64,)).await).await?;
    /// # let _: i64 = left;
    /// # Ok(()) }
    /// ```
    pub fn retrying(self) -> Retrying {
        Retrying::new(self)
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
        if let Some(replica) = self.replica() {
            match self.begin_on(&replica).await {
                Err(error) if error.is_unreachable() => self.leave_out(&replica, &error),
                begun => return begun,
            }
        }
        self.begin_on(self.db.app()).await
    }

    async fn begin_on(&self, pool: &Pool) -> Result<TenantTx, Error> {
        let positions = self.marks_commits().then(|| self.committed_at.clone());
        TenantTx::begin(pool, self.db.clone(), self.context.clone(), &self.lead_in(), positions).await
    }

    /// Opens a transaction with its first statement, which returns one row: both in one round trip. Always on the primary.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin) and of the statement, and [`Error::RowCount`] unless it returns exactly one row: no transaction is open
    /// then. Dropping the future rolls back.
    pub async fn begin_with<P, R: Row>(
        &self,
        statement: &Statement<P, R>,
        params: impl Params<P>,
    ) -> Result<(TenantTx, R), Error> {
        let text = statement.text();
        let (tx, rows) = match self.begun_with(text, &params).await {
            // A table has changed under the prepared statement, which therefore was not run.
            Err(error) if error.is_stale() => self.begun_with(text, &params).await?,
            begun => begun?,
        };
        match rows.one() {
            Ok(row) => Ok((tx, row)),
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    async fn begun_with<D>(
        &self,
        text: &Text<'_>,
        params: &impl Params<D>,
    ) -> Result<(TenantTx, Rows), Error> {
        let positions = self.marks_commits().then(|| self.committed_at.clone());
        let (db, context, lead_in) = (self.db.clone(), self.context.clone(), self.lead_in());
        TenantTx::begin_with(self.db.app(), db, context, &lead_in, positions, (text, params)).await
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
        let (begin, session, tenant) = (self.mode.begin(), self.db.app().lead_in(), self.context.tenant());
        let mut room = uuid::Uuid::encode_buffer();
        let tenant = tenant.as_uuid().hyphenated().encode_lower(&mut room);
        [begin, session, "; SET LOCAL app.tenant_id = '", tenant, "'", &self.settings].concat()
    }

    /// For the crate's own statements whose text is made at run time.
    pub(crate) async fn rows<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<Rows, Error> {
        Ok(self.single(text, params).await?.0)
    }

    async fn single<D>(&self, text: &Text<'_>, params: &impl Params<D>) -> Result<(Rows, u64), Error> {
        let span = spans::statement(text.name, self.db.app());
        let done = self.on_some_server(text, params).instrument(span.clone()).await;
        spans::end(&span, &done);
        done
    }

    /// On a replica that qualifies, or else on the primary: what is asked of a replica only reads, and may be asked again.
    async fn on_some_server<D>(
        &self,
        text: &Text<'_>,
        params: &impl Params<D>,
    ) -> Result<(Rows, u64), Error> {
        if let Some(replica) = self.replica() {
            match self.on(&replica, text, params).await {
                Err(error) if error.is_unreachable() => self.leave_out(&replica, &error),
                done => return done,
            }
        }
        self.on(self.db.app(), text, params).await
    }

    async fn on<D>(
        &self,
        pool: &Pool,
        text: &Text<'_>,
        params: &impl Params<D>,
    ) -> Result<(Rows, u64), Error> {
        match self.one_trip(pool, text, params).await {
            // A table has changed under the prepared statement, which therefore was not run.
            Err(error) if error.is_stale() => {
                pool.forget_plans();
                self.one_trip(pool, text, params).await
            }
            done => done,
        }
    }

    fn replica(&self) -> Option<Pool> {
        self.db.replicas().and_then(|replicas| replicas.choose(self.consistency))
    }

    fn leave_out(&self, replica: &Pool, error: &Error) {
        tracing::warn!(%error, "a replica can't be reached; the primary answers instead");
        if let Some(replicas) = self.db.replicas() {
            replicas.leave_out(replica);
        }
    }

    /// Positions are of use only to those who read from replicas.
    fn marks_commits(&self) -> bool {
        self.db.replicas().is_some() && !self.mode.read_only
    }

    async fn one_trip<D>(
        &self,
        pool: &Pool,
        text: &Text<'_>,
        params: &impl Params<D>,
    ) -> Result<(Rows, u64), Error> {
        let mut connection = pool.get().await?;
        let (tenant, lead_in) = (self.context.tenant(), self.lead_in());
        let position = self.marks_commits().then_some(self.committed_at.as_ref());
        run::one_trip(&mut connection, &lead_in, text, Some(&tenant), params.refs(), position).await
    }
}

impl InTenant for Tenant {
    fn context(&self) -> &Context {
        &self.context
    }
}

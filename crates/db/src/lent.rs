use shared_core::TenantId;
use tracing::Span;

use crate::error::Error;
use crate::operation::Operation;
use crate::pool::Connection;
use crate::spans;

/// A transaction's connection, lent to something that takes more than one question and answer. Until it is done, and if it is
/// dropped before, the transaction counts as failed.
pub(crate) struct Lent<'tx> {
    pub(crate) connection: &'tx mut Connection,
    pub(crate) tenant: Option<TenantId>,
    failed: &'tx mut Option<&'static str>,
    lost: Option<&'tx mut bool>,
    before: Option<&'static str>,
    statement: &'static str,
    span: Span,
    operation: Option<Operation>,
}

impl<'tx> Lent<'tx> {
    pub(crate) fn new(
        statement: &'static str,
        connection: &'tx mut Connection,
        failed: &'tx mut Option<&'static str>,
        transaction: &Span,
    ) -> Result<Self, Error> {
        // Whatever is sent behind a statement that nobody awaits any more would wait for its end.
        if let (Some(statement), true) = (*failed, connection.is_waiting()) {
            return Err(Error::TransactionFailed { statement });
        }
        connection.asks();
        let before = failed.replace(statement);
        let span = spans::statement_within(transaction, statement, connection.pool());
        Ok(Self { connection, tenant: None, failed, lost: None, before, statement, span, operation: None })
    }

    /// For a tenant's transaction, which remembers what it has lost to others.
    pub(crate) fn within(mut self, tenant: TenantId, lost: &'tx mut bool) -> Self {
        self.tenant = Some(tenant);
        self.lost = Some(lost);
        self
    }

    /// It is one question with one long answer, and is measured from here to its end.
    pub(crate) fn measure(&mut self) {
        self.operation = Some(self.connection.client().operation(self.statement));
    }

    /// Everything that was sent is answered, and this is the end.
    pub(crate) fn done<T>(&mut self, done: &Result<T, Error>) {
        self.connection.answered(done);
        self.ended(done);
        match done {
            Ok(_) => *self.failed = self.before,
            Err(error) => self.remember(error),
        }
    }

    /// How it ended, for those who measure; whether all was answered nobody knows.
    pub(crate) fn ended<T>(&mut self, done: &Result<T, Error>) {
        spans::end(&self.span, done);
        if let Some(operation) = self.operation.take() {
            operation.end(done);
        }
    }

    fn remember(&mut self, error: &Error) {
        if let Some(lost) = &mut self.lost {
            **lost |= error.is_conflict() || error.is_stale();
        }
        if error.is_stale() {
            self.connection.pool().forget_plans();
        }
    }
}

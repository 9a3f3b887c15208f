//! The spans, by the names of OpenTelemetry's semantic conventions for database clients.
//!
//! <https://opentelemetry.io/docs/specs/semconv/db/postgresql/>

use tracing::Span;
use tracing::field::Empty;

use crate::error::Error;
use crate::pool::Pool;

/// A statement that is a transaction of its own: from the wait for a connection to its answer.
pub(crate) fn statement(name: &'static str, pool: &Pool) -> Span {
    tracing::info_span!(
        "db.statement",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = &*pool.namespace(),
        db.query.summary = name,
        db.response.status_code = Empty,
        error.type = Empty,
    )
}

/// A statement within a transaction. Many make one, so it shows at level debug.
pub(crate) fn statement_within(transaction: &Span, name: &'static str, pool: &Pool) -> Span {
    tracing::debug_span!(
        parent: transaction,
        "db.statement",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = &*pool.namespace(),
        db.query.summary = name,
        db.response.status_code = Empty,
        error.type = Empty,
    )
}

/// A transaction: from the wait for a connection to its end.
pub(crate) fn transaction(pool: &Pool) -> Span {
    tracing::info_span!(
        "db.transaction",
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = &*pool.namespace(),
        db.response.status_code = Empty,
        error.type = Empty,
    )
}

/// The wait for a connection, with the opening of one where there is none.
pub(crate) fn checkout(pool: &str) -> Span {
    tracing::debug_span!(
        "db.checkout",
        otel.kind = "internal",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.client.connection.pool.name = pool,
        error.type = Empty,
    )
}

/// A step of a migration, with all of its attempts.
pub(crate) fn migration(step: &str, database: &str) -> Span {
    tracing::info_span!(
        "db.migration",
        otel.name = step,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = database,
        db.query.summary = step,
        error.type = Empty,
    )
}

/// Says on the span how it went, if it went wrong.
pub(crate) fn end<T>(span: &Span, done: &Result<T, Error>) {
    let Err(error) = done else { return };
    span.record("otel.status_code", "ERROR").record("error.type", error.class());
    if let Some(code) = error.code() {
        span.record("db.response.status_code", code);
    }
}

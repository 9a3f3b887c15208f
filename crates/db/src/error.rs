use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition, Severity};

/// What can go wrong between a service and its database.
///
/// No variant shows a parameter, a row, a password, or the server's DETAIL and HINT.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings can't work.
    #[error("the database settings can't be used: {0}")]
    Config(String),
    /// No connection could be opened.
    #[error("could not connect to the database: {reason}; check that it runs and that its URL is right")]
    #[non_exhaustive]
    Connect {
        /// What the driver or the server said.
        reason: String,
    },
    /// All connections were busy for as long as the caller was willing to wait.
    #[error("no connection became free within {waited:?}; hold transactions shorter, or raise the pool size")]
    #[non_exhaustive]
    PoolTimeout {
        /// The pool's time-out.
        waited: Duration,
    },
    /// The pool was closed, usually since the service stops.
    #[error("the database pool is closed")]
    Closed,
    /// The server refused a statement, or the connection broke under it.
    #[error("statement `{statement}` failed: {cause}")]
    #[non_exhaustive]
    Statement {
        /// The name of the constant.
        statement: &'static str,
        /// What the server or the driver said.
        cause: Cause,
    },
    /// The answer to COMMIT did not arrive: the transaction may have happened or not.
    #[error(
        "the connection broke at commit ({cause}): the transaction may or may not have happened; look before you repeat it"
    )]
    #[non_exhaustive]
    OutcomeUnknown {
        /// What the driver said.
        cause: Cause,
    },
    /// A statement of this transaction had failed or was abandoned, and the transaction was to be committed all
    /// the same. It was rolled back.
    #[error(
        "nothing was committed: `{statement}` had failed before in this transaction; put what may fail into a savepoint"
    )]
    #[non_exhaustive]
    TransactionFailed {
        /// The statement that failed.
        statement: &'static str,
    },
    /// One row was expected.
    #[error("statement `{statement}` returned {found} rows where one was expected")]
    #[non_exhaustive]
    RowCount {
        /// The name of the constant.
        statement: &'static str,
        /// How many came.
        found: usize,
    },
    /// A column could not be read as the type that the row declares.
    #[error("column `{column}` can't be read: {reason}")]
    #[non_exhaustive]
    Column {
        /// Its name or position.
        column: String,
        /// Why not: types, never the value.
        reason: String,
    },
    /// A role or a table would let a tenant's rows leak.
    #[error("the database is not safe for tenants: {0}")]
    Unsafe(String),
    /// A table can't be read by cuts here without losing rows.
    #[error("rows would be lost here: {0}")]
    Uncut(String),
    /// A migration could not be applied.
    #[error("migration {schema} {version:04}_{name}: {reason}")]
    #[non_exhaustive]
    Migration {
        /// The schema of the set.
        schema: &'static str,
        /// The number of the step.
        version: u32,
        /// The name of the step.
        name: &'static str,
        /// What went wrong and what to do.
        reason: String,
    },
    /// The schema is too old for this program, or too new.
    #[error("the program and the database do not fit: {0}")]
    Incompatible(String),
    /// The roles, the extension or the schemas could not be prepared.
    #[error("could not prepare the database: {0}")]
    Bootstrap(String),
    /// The probe of isolation could not make a row for a table.
    #[error(
        "could not make a row for {table}: {reason}; give it one: `.row(\"{table}\", r#\"{{\"column\": \"value\"}}\"#)`"
    )]
    #[non_exhaustive]
    NoRow {
        /// The table.
        table: String,
        /// What the server said, or what is not known.
        reason: String,
    },
    /// The caller's deadline passed.
    #[error("no answer within the deadline of {waited:?}")]
    #[non_exhaustive]
    Deadline {
        /// The deadline.
        waited: Duration,
    },
    /// A text could not be embedded for a vector search.
    #[error("could not embed a text: {0}")]
    Embed(String),
    /// Redis refused a command, or it was never sent: it has not happened.
    #[error("command `{command}` failed: {cause}")]
    #[non_exhaustive]
    Command {
        /// Its first word, `PIPELINE`, `MULTI`, or the name of the script.
        command: String,
        /// What the server or the driver said.
        cause: Cause,
    },
    /// Redis gave no answer within the deadline.
    #[error(
        "no answer to `{command}` within {waited:?}: it may or may not have happened; look before you repeat it"
    )]
    #[non_exhaustive]
    CommandTimeout {
        /// As of [`Command`](Error::Command).
        command: String,
        /// The deadline.
        waited: Duration,
    },
    /// The connection to Redis broke before the answer.
    #[error("no answer to `{command}` ({cause}): it may or may not have happened; look before you repeat it")]
    #[non_exhaustive]
    Unanswered {
        /// As of [`Command`](Error::Command).
        command: String,
        /// What the driver said.
        cause: Cause,
    },
    /// The keys of a script lie on several nodes of the cluster. It was not sent.
    #[error(
        "the {keys} keys of script `{script}` do not share one slot of the cluster; give them one hash tag, as in `{{tag}}name`"
    )]
    #[non_exhaustive]
    CrossSlot {
        /// The name of the script.
        script: &'static str,
        /// How many keys there are.
        keys: usize,
    },
}

impl Error {
    /// The same call may succeed when it is made again: the pool was busy, the connection broke, the server asked
    /// for it. After [`OutcomeUnknown`](Error::OutcomeUnknown), [`CommandTimeout`](Error::CommandTimeout) and
    /// [`Unanswered`](Error::Unanswered) look first: the effect may be there.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::PoolTimeout { .. } => true,
            Self::Statement { cause, .. } | Self::Command { cause, .. } => cause.is_retryable(),
            _ => false,
        }
    }

    /// A unique constraint or index refused the row.
    pub fn is_unique_violation(&self) -> bool {
        self.code() == Some("23505")
    }

    /// A foreign key refused the row.
    pub fn is_foreign_key_violation(&self) -> bool {
        self.code() == Some("23503")
    }

    /// A check constraint refused the row.
    pub fn is_check_violation(&self) -> bool {
        self.code() == Some("23514")
    }

    /// A column that must have a value got none.
    pub fn is_not_null_violation(&self) -> bool {
        self.code() == Some("23502")
    }

    /// Another transaction was in the way: a serialisation failure or a deadlock. The whole transaction may be run
    /// again, as [`Tenant::retrying`](crate::Tenant::retrying) does.
    pub fn is_conflict(&self) -> bool {
        matches!(self.code(), Some("40001" | "40P01"))
    }

    /// The time was up: the pool's, the caller's deadline, or the statement's on the server, where somebody may also have
    /// cancelled it.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::PoolTimeout { .. } | Self::Deadline { .. } | Self::CommandTimeout { .. })
            || self.code() == Some("57014")
    }

    /// The row belongs to another tenant, or the role may not touch the table.
    pub fn is_permission_denied(&self) -> bool {
        self.code() == Some("42501")
    }

    /// The server's SQLSTATE, where there is one; of Redis the first word of its refusal, such as `WRONGTYPE`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Statement { cause, .. } | Self::OutcomeUnknown { cause } | Self::Command { cause, .. } => {
                cause.code()
            }
            _ => None,
        }
    }

    /// What spans and metrics call it.
    pub(crate) fn class(&self) -> &str {
        self.code().unwrap_or(if self.is_timeout() { "timeout" } else { "_OTHER" })
    }

    pub(crate) fn statement(statement: &'static str, error: &tokio_postgres::Error) -> Self {
        Self::Statement { statement, cause: Cause::from(error) }
    }

    /// A value that was never sent.
    pub(crate) fn unsent(statement: &'static str, text: String) -> Self {
        Self::Statement {
            statement,
            cause: Cause { code: None, closed: false, stale: false, transient: false, text },
        }
    }

    /// The server has not answered for longer than any statement may run: as good as a broken connection.
    pub(crate) fn silence(statement: &'static str, waited: Duration) -> Self {
        let text = format!("the server has not answered for {waited:?}");
        Self::Statement {
            statement,
            cause: Cause { code: None, closed: true, stale: false, transient: false, text },
        }
    }

    /// The same where the statement commits: without an answer nobody knows whether it did.
    pub(crate) fn at_commit(self) -> Self {
        match self {
            Self::Statement { cause, .. } if cause.closed => Self::OutcomeUnknown { cause },
            known => known,
        }
    }

    /// There was no server to answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Statement { cause, .. } | Self::OutcomeUnknown { cause } => cause.closed,
            _ => false,
        }
    }

    /// The server refused, and the connection is as good as before.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Statement { cause, .. } if cause.code.is_some() && !cause.closed && !cause.stale)
    }

    /// The statement did not run to its end: the server said so, or it was never sent.
    pub(crate) fn is_certain(&self) -> bool {
        matches!(self, Self::Statement { cause, .. } if cause.code.is_some() || !cause.closed)
    }

    /// What was prepared on this connection no longer fits the tables.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Statement { cause, .. } if cause.stale)
    }
}

/// What the server or the driver said, without anything that was in a parameter or a row.
#[derive(Clone, Debug, Default, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    pub(crate) code: Option<String>,
    pub(crate) closed: bool,
    pub(crate) stale: bool,
    /// Of Redis: nothing has happened, and soon it may.
    pub(crate) transient: bool,
    pub(crate) text: String,
}

impl Cause {
    /// The SQLSTATE, or the first word of Redis's refusal.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The connection is gone.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn is_retryable(&self) -> bool {
        // Serialisation failure, deadlock, class 08 (connection), 53 (resources), 57P (shutdown and start-up).
        self.closed
            || self.stale
            || self.transient
            || self.code.as_deref().is_some_and(|code| {
                matches!(code, "40001" | "40P01" | "55P03")
                    || ["08", "53", "57P"].iter().any(|class| code.starts_with(class))
            })
    }
}

impl From<&tokio_postgres::Error> for Cause {
    fn from(error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self { closed: error.is_closed(), text: driver_text(error), ..Self::default() };
        };
        let code = db.code().code();
        let text = match db.constraint() {
            Some(constraint) => format!("constraint `{constraint}` (SQLSTATE {code})"),
            None if names_objects(db) => format!("{} (SQLSTATE {code})", db.message()),
            None => format!("the server refused a value (SQLSTATE {code})"),
        };
        // After a change of a table a plan may no longer fit; another connection has no such plan.
        let stale = code == "26000" || db.routine() == Some("RevalidateCachedQuery");
        Self { code: Some(code.to_owned()), closed: is_fatal(db), stale, transient: false, text }
    }
}

/// The server has ended the connection.
fn is_fatal(db: &DbError) -> bool {
    matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// Whether the server's message names objects and not values. A list of what is safe, since functions and input
/// routines quote what they were given under many codes.
fn names_objects(db: &DbError) -> bool {
    const SAFE: &[&str] = &["08", "0A", "25", "40", "53", "54", "55", "57"];
    let code = db.code().code();
    // What is wrong with the text of a statement has a place in that text, and the text is a constant.
    let in_the_text = code.starts_with("42") && matches!(db.position(), Some(ErrorPosition::Original(_)));
    in_the_text || matches!(code, "23502" | "42501") || SAFE.iter().any(|class| code.starts_with(class))
}

/// The server's own words, for what happens without anybody's data: connecting, and changing the schema. Those about
/// a value that a migration reads are left out.
pub(crate) fn described(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) if !db.code().code().starts_with("22") || is_fatal(db) => {
            format!("{} (SQLSTATE {})", db.message(), db.code().code())
        }
        _ => Cause::from(error).to_string(),
    }
}

/// The driver's own words, and its cause where that is about the network.
fn driver_text(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) if source.is::<std::io::Error>() => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

impl From<Error> for shared_core::Problem {
    /// What a caller may know: that a value is taken, that it is not allowed, or that now is a bad moment.
    fn from(error: Error) -> Self {
        let problem = match &error {
            _ if error.is_unique_violation() => Self::conflict().with_detail("this is already there"),
            _ if error.is_foreign_key_violation() => {
                Self::conflict().with_detail("what this refers to is not there")
            }
            _ if error.is_permission_denied() => Self::forbidden(),
            // A text with U+0000, which comes from a caller: no program writes one by itself. `bootstrap` refuses a database of another
            // encoding than UTF8, where other characters would have the same codes.
            _ if matches!(error.code(), Some("22021" | "22P05")) => {
                Self::unprocessable_content().with_detail("a text holds a character that can't be stored")
            }
            _ if error.is_retryable() || matches!(error, Error::Closed) => {
                Self::unavailable().with_header("retry-after", "1")
            }
            _ if error.is_timeout() => Self::gateway_timeout(),
            _ => Self::internal(),
        };
        if problem.status() >= 500 {
            tracing::error!(error = %error, "a request failed at the database");
        }
        problem
    }
}

//! A statement is a constant that says what goes in and what comes out.

use std::fmt;
use std::marker::PhantomData;

use postgres_types::{ToSql, Type};

use crate::params::{Declared, Params};
use crate::row::{Column, Row};

pub(crate) mod mismatches;
#[doc(hidden)]
pub mod rewrite;
#[doc(hidden)]
pub mod session;

/// An SQL statement with the types of its parameters, `P`, and of a row that it returns, `R`. Made by
/// [`statements!`](crate::statements).
pub struct Statement<P, R> {
    text: Text<'static>,
    types: PhantomData<fn(P) -> R>,
}

/// What is sent: the same for every type of statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) name: &'static str,
    pub(crate) sql: &'a str,
    /// `$1` is the tenant of the door.
    pub(crate) takes_tenant: bool,
}

impl<P, R> Statement<P, R> {
    #[doc(hidden)]
    pub const fn from_macro(name: &'static str, sql: &'static str, takes_tenant: bool) -> Self {
        Self { text: Text { name, sql, takes_tenant }, types: PhantomData }
    }

    /// The name of the constant.
    pub const fn name(&self) -> &'static str {
        self.text.name
    }

    /// The text as it is sent; `$tenant` has become `$1`.
    pub const fn sql(&self) -> &'static str {
        self.text.sql
    }

    pub(crate) const fn text(&self) -> &Text<'static> {
        &self.text
    }

    /// The statement with its parameters, to be sent later: with the COMMIT of a transaction.
    pub fn bind(&self, params: P) -> Bound
    where
        P: Params<P> + 'static,
    {
        Bound { text: self.text, params: Box::new(Owned(params)) }
    }
}

impl<P, R> fmt::Debug for Statement<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({})", self.text.name)
    }
}

/// A statement with its parameters. See [`Statement::bind`].
pub struct Bound {
    pub(crate) text: Text<'static>,
    params: Box<dyn Refs>,
}

impl Bound {
    pub(crate) fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.params.refs()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bound({})", self.text.name)
    }
}

/// `Params<P>` with its own declaration forgotten, so that statements of different types share a list.
trait Refs: Send + Sync {
    fn refs(&self) -> Vec<&(dyn ToSql + Sync)>;
}

struct Owned<P>(P);

impl<P: Params<P>> Refs for Owned<P> {
    fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.refs()
    }
}

/// What a test needs to know of a statement to compare it with the server. See [`testing`](crate::testing).
pub trait Check: Sync {
    /// What is prepared for the comparison.
    fn sql(&self) -> String;
    /// `$1` is the tenant.
    fn takes_tenant(&self) -> bool;
    /// The columns are written by COPY, and not read.
    fn fills(&self) -> bool {
        false
    }
    /// The parameters after the tenant.
    fn parameters(&self) -> &'static [fn(&Type) -> bool];
    /// The columns that are read.
    fn columns(&self) -> Vec<Column>;
}

impl<P: Declared, R: Row> Check for Statement<P, R> {
    fn sql(&self) -> String {
        self.text.sql.to_owned()
    }
    fn takes_tenant(&self) -> bool {
        self.text.takes_tenant
    }
    fn parameters(&self) -> &'static [fn(&Type) -> bool] {
        P::ACCEPTS
    }
    fn columns(&self) -> Vec<Column> {
        R::COLUMNS.to_vec()
    }
}

/// Declares statements as constants, and lists them in `STATEMENTS` for the test that compares them with the
/// migrated schema.
///
/// `$tenant` is the tenant of the door; it is bound by the door and by nobody else. The other parameters are
/// `$1`, `$2` and so on. Strings, quoted names, comments and dollar-quoted bodies are left alone.
///
/// Beside a [`Statement`](crate::Statement) it can be a [`CopyIn`](crate::CopyIn) or a [`CopyOut`](crate::CopyOut).
///
/// ```
/// use shared_db::statements;
/// statements! {
///     /// The body of one note.
///     pub const BODY: Statement<(i64,), String> = "
///         select body from notes.note where tenant_id = $tenant and id = $1";
/// }
/// assert!(BODY.sql().ends_with("where tenant_id = $1 and id = $2"));
/// ```
///
/// A typing mistake does not compile:
/// ```compile_fail
/// use shared_db::statements;
/// statements! {
///     const BODY: Statement<(i64,), String> = "select body from notes.note where tenant_id = $tennant";
/// }
/// ```
/// Neither does a text that would leave something on its connection, where somebody else would find it: what begins with BEGIN, SET, LISTEN
/// and the like, a lock of the session, a temporary table.
/// ```compile_fail
/// use shared_db::statements;
/// statements! { const ALONE: Statement<(i64,), ()> = "select pg_advisory_lock($1)"; }
/// ```
/// A lock that ends with its transaction is right:
/// ```
/// use shared_db::statements;
/// statements! { const ALONE: Statement<(i64,), ()> = "select pg_advisory_xact_lock($1)"; }
/// ```
#[macro_export]
macro_rules! statements {
    ($($(#[$attribute:meta])* $visibility:vis const $name:ident: $kind:ident<$($of:ty),+> = $sql:expr;)*) => {
        $(
            $(#[$attribute])*
            $visibility const $name: $crate::$kind<$($of),+> = {
                const _: () = $crate::statement::session::refuse_session_state($sql);
                const TAKES_TENANT: bool = $crate::statement::rewrite::takes_tenant($sql);
                const LENGTH: usize = $crate::statement::rewrite::rewrite::<0>($sql).1;
                const BYTES: [u8; LENGTH] = $crate::statement::rewrite::rewrite::<LENGTH>($sql).0;
                const SQL: &str = $crate::statement::rewrite::text(&BYTES);
                $crate::$kind::from_macro(stringify!($name), SQL, TAKES_TENANT)
            };
        )*
        /// Every statement of this block, by name.
        #[allow(dead_code, reason = "it is for a test, which not every crate has")]
        pub(crate) const STATEMENTS: &[(&str, &dyn $crate::Check)] = &[$((stringify!($name), &$name),)*];
    };
}

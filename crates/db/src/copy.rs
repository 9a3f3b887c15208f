//! COPY, in the server's binary format: the fastest way in and out for many rows.

use std::fmt;
use std::marker::PhantomData;

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::lent::Lent;
use crate::params::Declared;
use crate::row::{Column, Row};
use crate::statement::Check;

mod read;
mod write;

pub use read::Copied;
pub(crate) use read::CopiedRow;
pub use write::Copying;

/// A table and its columns, to be filled with rows of `P`. Made by [`statements!`](crate::statements).
///
/// It is for tables without row-level security: the server refuses it on a tenant's, and a [`TenantTx`](crate::TenantTx) does not
/// offer it. There, [`Many`](crate::Many) rows go into one statement.
/// ```
/// # use shared_db::{Db, Error, statements};
/// # use shared_db::CopyIn;
/// statements! {
///     const COUNTRIES: CopyIn<(String, String)> = "geo.country (code, name)";
/// }
/// # async fn example(db: &Db, countries: Vec<(String, String)>) -> Result<u64, Error> {
/// db.untenanted().tx(async |tx| {
///     let mut copy = tx.copy_in(&COUNTRIES).await?;
///     for (code, name) in &countries {
///         copy.write((code, name)).await?;
///     }
///     copy.finish().await
/// }).await
/// # }
/// ```
/// In a tenant's transaction it does not compile:
/// ```compile_fail
/// # use shared_db::{CopyIn, Error, TenantTx, statements};
/// # statements! { const COUNTRIES: CopyIn<(String, String)> = "geo.country (code, name)"; }
/// async fn load(tx: &mut TenantTx) -> Result<(), Error> { tx.copy_in(&COUNTRIES).await.map(drop) }
/// ```
/// nor do a row of other types
/// ```compile_fail
/// # use shared_db::{CopyIn, Error, Tx, statements};
/// # statements! { const COUNTRIES: CopyIn<(String, String)> = "geo.country (code, name)"; }
/// async fn load(tx: &mut Tx) -> Result<(), Error> { tx.copy_in(&COUNTRIES).await?.write(("de", 49_i32)).await }
/// ```
/// and another number of columns than of types:
/// ```compile_fail
/// # use shared_db::{CopyIn, statements};
/// statements! { const COUNTRIES: CopyIn<(String, String)> = "geo.country (code)"; }
/// ```
pub struct CopyIn<P> {
    name: &'static str,
    into: &'static str,
    types: PhantomData<fn(P)>,
}

impl<P: Declared> CopyIn<P> {
    #[doc(hidden)]
    pub const fn from_macro(name: &'static str, into: &'static str, takes_tenant: bool) -> Self {
        assert!(!takes_tenant, "COPY takes no parameters");
        assert!(
            columns(into) == P::ACCEPTS.len(),
            "CopyIn wants `schema.table (column, ..)`, a column for each type"
        );
        Self { name, into, types: PhantomData }
    }

    /// What tells the types of the columns.
    fn described(&self) -> String {
        let (table, columns) = self.into.split_once('(').unwrap_or((self.into, ""));
        format!("select {} from {}", columns.trim_end().trim_end_matches(')'), table.trim_end())
    }
}

impl<P> fmt::Debug for CopyIn<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyIn({})", self.name)
    }
}

impl<P: Declared> Check for CopyIn<P> {
    fn sql(&self) -> String {
        self.described()
    }
    fn takes_tenant(&self) -> bool {
        false
    }
    fn fills(&self) -> bool {
        true
    }
    fn parameters(&self) -> &'static [fn(&Type) -> bool] {
        &[]
    }
    fn columns(&self) -> Vec<Column> {
        P::ACCEPTS
            .iter()
            .map(|accepts| Column { name: None, accepts: *accepts, takes_null: |_| true })
            .collect()
    }
}

/// A `select` whose rows `R` leave by COPY. Made by [`statements!`](crate::statements). It takes no parameters, not even `$tenant`:
/// in a tenant's transaction row-level security alone keeps it within the tenant.
/// ```
/// # use shared_db::{CopyOut, Error, TenantTx, statements};
/// statements! {
///     const BODIES: CopyOut<(i64, String)> = "select stars, body from notes.note -- without tenant: COPY takes no parameters";
/// }
/// async fn export(tx: &mut TenantTx, file: &mut Vec<(i64, String)>) -> Result<(), Error> {
///     let mut rows = tx.copy_out(&BODIES).await?;
///     while let Some(row) = rows.next().await? {
///         file.push(row);
///     }
///     Ok(())
/// }
/// ```
pub struct CopyOut<R> {
    name: &'static str,
    select: &'static str,
    types: PhantomData<fn() -> R>,
}

impl<R: Row> CopyOut<R> {
    #[doc(hidden)]
    pub const fn from_macro(name: &'static str, select: &'static str, takes_tenant: bool) -> Self {
        assert!(!takes_tenant, "COPY takes no parameters; row-level security keeps it within the tenant");
        Self { name, select, types: PhantomData }
    }
}

impl<R> fmt::Debug for CopyOut<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyOut({})", self.name)
    }
}

impl<R: Row> Check for CopyOut<R> {
    fn sql(&self) -> String {
        self.select.to_owned()
    }
    fn takes_tenant(&self) -> bool {
        false
    }
    fn parameters(&self) -> &'static [fn(&Type) -> bool] {
        &[]
    }
    fn columns(&self) -> Vec<Column> {
        R::COLUMNS.to_vec()
    }
}

/// The names and types of a select's columns. They are asked each time: what was prepared and is never run would not be noticed
/// to have changed.
async fn describe(
    lent: &mut Lent<'_>,
    name: &'static str,
    select: &str,
) -> Result<Vec<(String, Type)>, Error> {
    if lent.connection.pool().has_lead_in() {
        let refused = Err(Error::Config(format!(
            "`{name}` is a COPY, and behind a pooler nothing can be prepared for one"
        )));
        lent.done(&refused);
        return refused;
    }
    lent.measure();
    let client = lent.connection.client();
    let described = client.answer(name, client.prepare(select)).await;
    if described.is_err() {
        lent.done(&described);
    }
    Ok(described?.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone())).collect())
}

/// How many columns stand in the parentheses of `schema.table (a, b)`; 0 for anything else.
const fn columns(into: &str) -> usize {
    let bytes = into.as_bytes();
    let (mut at, mut columns, mut open) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'(' if !open => (open, columns) = (true, 1),
            b',' if open => columns += 1,
            b')' if open => return if is_blank(bytes, at + 1) { columns } else { 0 },
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'"' | b' ' | b'\n' => {}
            b'.' if !open => {}
            _ => return 0,
        }
        at += 1;
    }
    0
}

const fn is_blank(bytes: &[u8], mut at: usize) -> bool {
    while at < bytes.len() {
        if !bytes[at].is_ascii_whitespace() {
            return false;
        }
        at += 1;
    }
    true
}

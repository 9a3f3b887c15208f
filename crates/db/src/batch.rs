//! Many rows in one statement, as an array for each column.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, BytesMut};
use futures_util::{StreamExt, stream};
use postgres_types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::binary;
use crate::error::Error;
use crate::lent::Lent;
use crate::params::Params;
use crate::row::Row;
use crate::run::{self, Ready, Rows};
use crate::statement::{Statement, Text};
use crate::{TenantTx, Tx};

/// Rows in one round trip at most: from about a thousand on, more rows make a statement no faster per row.
const ROWS: usize = 5000;

/// Bytes in one round trip at most, but for a row that has more by itself: two chunks are in memory at a time.
const BYTES: usize = 8 << 20;

/// Chunks on their way at once: one runs on the server while the next is encoded.
const ON_THEIR_WAY: usize = 2;

/// Declares that a statement takes many rows of `P`: parameter `$n` is the array of what stands at position `n` of each row.
///
/// It is how a tenant's table is filled quickly, where [`CopyIn`](crate::CopyIn) is refused by the server.
/// ```
/// # use shared_core::{Id};
/// # use shared_db::{Error, TenantTx, statements};
/// # struct Note;
/// statements! {
///     const IMPORT: Statement<Many<(Id<Note>, String)>, ()> = "
///         insert into notes.note (tenant_id, id, body)
///         select $tenant, id, body from unnest($1::uuid[], $2::text[]) as new (id, body)
///         on conflict do nothing";
/// }
/// # use shared_db::Many;
/// # async fn example(tx: &mut TenantTx, bodies: Vec<String>) -> Result<(), Error> {
/// let added = tx.execute_many(&IMPORT, bodies.iter().map(|body| (Id::new(), body))).await?;
/// # Ok(()) }
/// ```
/// A row of other types does not compile:
/// ```compile_fail
/// # use shared_db::{Error, Many, TenantTx, statements};
/// statements! {
///     const IMPORT: Statement<Many<(i64, String)>, ()> = "
///         insert into notes.line (tenant_id, number, text) select $tenant, n, t from unnest($1::int8[], $2::text[]) as new (n, t)";
/// }
/// # async fn example(tx: &mut TenantTx) -> Result<(), Error> {
/// tx.execute_many(&IMPORT, [("one", "text")]).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Many<P>(PhantomData<fn(P)>);

macro_rules! many {
    ($tx:ty) => {
        impl $tx {
            /// Runs the statement for all these rows, up to 5,000 of them or 8 MiB in a round trip, and returns how many rows it
            /// touched. No rows, no trip.
            ///
            /// # Errors
            /// Those of the first statement that fails, and of a value that can't be sent; rows before it may have been sent.
            pub async fn execute_many<P, Q: Params<P>>(
                &mut self,
                statement: &Statement<Many<P>, ()>,
                rows: impl IntoIterator<Item = Q>,
            ) -> Result<u64, Error> {
                let lent = self.lend(statement.text())?;
                let answers = send(lent, statement.text(), rows.into_iter()).await?;
                Ok(answers.iter().map(|(_, touched)| touched).sum())
            }

            /// As [`execute_many`](Self::execute_many), and returns the rows that come back: those of earlier chunks first, within a
            /// chunk as the server sends them. It keeps the order of the arrays if the statement says nothing else.
            pub async fn all_many<P, Q: Params<P>, R: Row>(
                &mut self,
                statement: &Statement<Many<P>, R>,
                rows: impl IntoIterator<Item = Q>,
            ) -> Result<Vec<R>, Error> {
                let lent = self.lend(statement.text())?;
                let answers = send(lent, statement.text(), rows.into_iter()).await?;
                let rows: Vec<Vec<R>> =
                    answers.iter().map(|(rows, _)| rows.all()).collect::<Result<_, _>>()?;
                Ok(rows.into_iter().flatten().collect())
            }
        }
    };
}
many!(TenantTx);
many!(Tx);

/// Sends chunk after chunk; behind one that was refused no other.
async fn send<P, Q: Params<P>>(
    mut lent: Lent<'_>,
    text: &Text<'_>,
    mut rows: impl Iterator<Item = Q>,
) -> Result<Vec<(Rows, u64)>, Error> {
    let prepared = match run::prepare(lent.connection, text, true).await {
        Ok(ready) => members(text, &ready).map(|members| (ready, members)),
        Err(error) => Err(error),
    };
    if prepared.is_err() {
        lent.done(&prepared);
    }
    let (ready, members) = prepared?;
    let (client, tenant) = (lent.connection.client(), lent.tenant);
    let stop = AtomicBool::new(false);
    let chunks = std::iter::from_fn(|| match stop.load(Ordering::Relaxed) {
        true => None,
        false => Chunk::of(text.name, &members, &mut rows).transpose(),
    });
    let answers = stream::iter(chunks).map(async |chunk| {
        let sent = match chunk {
            Ok(chunk) => {
                let tenant = tenant.as_ref().map(|tenant| tenant as &(dyn ToSql + Sync));
                run::query(client, text, &ready, &run::arguments(text, tenant, chunk.refs())).await
            }
            Err(error) => Err(error),
        };
        stop.fetch_or(sent.is_err(), Ordering::Relaxed);
        sent
    });
    let answers: Vec<Result<_, Error>> = answers.buffered(ON_THEIR_WAY).collect().await;
    let answers: Result<Vec<_>, Error> = answers.into_iter().collect();
    lent.done(&answers);
    answers
}

/// The types of what is in the arrays that the server wants.
fn members(text: &Text<'_>, ready: &Ready) -> Result<Vec<Type>, Error> {
    let types = match ready {
        Ready::Prepared(statement) => statement.params(),
        Ready::Typed(described) => &described.types,
    };
    let arrays = types.iter().skip(usize::from(text.takes_tenant));
    let member = |(at, ty): (usize, &Type)| match ty.kind() {
        Kind::Array(member) => Ok(member.clone()),
        _ => Err(Error::unsent(text.name, format!("parameter {} has to be an array, and is {ty}", at + 1))),
    };
    arrays.enumerate().map(member).collect()
}

/// Rows of one round trip, column by column.
struct Chunk(Vec<Array>);

impl Chunk {
    fn of<P, Q: Params<P>>(
        statement: &'static str,
        members: &[Type],
        rows: &mut impl Iterator<Item = Q>,
    ) -> Result<Option<Self>, Error> {
        let mut arrays: Vec<Array> = members.iter().map(Array::of).collect();
        let (mut count, mut bytes) = (0, 0);
        while count < ROWS && bytes < BYTES {
            let Some(row) = rows.next() else { break };
            bytes += push(statement, &mut arrays, &row)?;
            count += 1;
        }
        Ok((count > 0).then_some(Self(arrays)))
    }

    fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|array| array as &(dyn ToSql + Sync)).collect()
    }
}

/// Appends a row, and returns how many bytes it took.
fn push<P>(statement: &'static str, arrays: &mut [Array], row: &impl Params<P>) -> Result<usize, Error> {
    let (expected, mut given, mut bytes) = (arrays.len(), 0, 0);
    row.each(|value| {
        if let Some(array) = arrays.get_mut(given) {
            bytes += array.push(statement, given, value)?;
        }
        given += 1;
        Ok(())
    })?;
    match given == expected {
        true => Ok(bytes),
        false => {
            let wrong = format!("a row has {given} values, and the statement {expected} arrays");
            Err(Error::unsent(statement, wrong))
        }
    }
}

/// An array that is already encoded, but for its head.
#[derive(Debug)]
struct Array {
    member: Type,
    length: i32,
    has_null: bool,
    values: BytesMut,
}

impl Array {
    fn of(member: &Type) -> Self {
        Self { member: member.clone(), length: 0, has_null: false, values: BytesMut::new() }
    }

    /// Returns how many bytes it took.
    fn push(
        &mut self,
        statement: &'static str,
        at: usize,
        value: &(dyn ToSql + Sync),
    ) -> Result<usize, Error> {
        let before = self.values.len();
        let null = binary::append(statement, at, value, &self.member, &mut self.values)?;
        self.has_null |= matches!(null, IsNull::Yes);
        self.length += 1;
        Ok(self.values.len() - before)
    }
}

impl ToSql for Array {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.reserve(20 + self.values.len());
        for number in [1, i32::from(self.has_null)] {
            out.put_i32(number);
        }
        out.put_u32(self.member.oid());
        for number in [self.length, 1] {
            out.put_i32(number);
        }
        out.put_slice(&self.values);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;

use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;
use postgres_types::{FromSql, Type, WrongType};
use tokio_postgres::CopyOutStream;

use super::{CopyOut, describe};
use crate::error::Error;
use crate::lent::Lent;
use crate::row::{Columns, Row, Unreadable};
use crate::statement::Text;
use crate::{TenantTx, Tx};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The rows of a COPY, one by one: what is in memory is one row and what the network has read ahead, a few dozen KiB.
///
/// Read it to its end. If it is dropped before, what runs is cancelled, and the transaction can't be committed.
pub struct Copied<'tx, R> {
    lent: Lent<'tx>,
    name: &'static str,
    stream: Pin<Box<CopyOutStream>>,
    row: CopiedRow,
    has_begun: bool,
    types: PhantomData<fn() -> R>,
}

impl<R: Row> Copied<'_, R> {
    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// Those of the server, after which there are no more rows; [`Error::Column`] for a row that can't be read.
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        match self.next_columns().await? {
            Some(row) => R::from_row(&row).map(Some),
            None => Ok(None),
        }
    }

    /// The next row as the server sent it, to borrow texts and bytes from; `None` after the last.
    ///
    /// # Errors
    /// Those of the server, after which there are no more rows.
    pub async fn next_columns(&mut self) -> Result<Option<Columns<'_>>, Error> {
        loop {
            let client = self.lent.connection.client();
            match client.answer(self.name, self.stream.try_next()).await {
                Ok(Some(message)) => {
                    if self.take(message)? {
                        return Ok(Some(Columns::copied(&self.row)));
                    }
                }
                Ok(None) => {
                    self.lent.done(&Ok(()));
                    return Ok(None);
                }
                Err(error) => {
                    let failed = Err(error);
                    self.lent.done(&failed);
                    return failed;
                }
            }
        }
    }

    /// The server sends each row as a message, the head together with the first, and a mark after the last. Says whether it was
    /// a row.
    fn take(&mut self, mut message: Bytes) -> Result<bool, Error> {
        let malformed = || Error::unsent(self.name, "the server sent a row that is none".to_owned());
        if !self.has_begun {
            if !message.starts_with(SIGNATURE) {
                return Err(malformed());
            }
            skip(&mut message, SIGNATURE.len() + 4).ok_or_else(malformed)?;
            let extension = message.try_get_u32().map_err(|_| malformed())? as usize;
            skip(&mut message, extension).ok_or_else(malformed)?;
            self.has_begun = true;
        }
        if message.is_empty() || message.starts_with(&(-1_i16).to_be_bytes()) {
            return Ok(false);
        }
        self.row.read(message).ok_or_else(malformed)?;
        Ok(true)
    }
}

/// One row, and where its values are.
#[derive(Debug)]
pub(crate) struct CopiedRow {
    columns: Vec<(String, Type)>,
    bytes: Bytes,
    values: Vec<Option<Range<usize>>>,
}

impl CopiedRow {
    /// `None` if it is cut off or has not as many values as there are columns.
    fn read(&mut self, message: Bytes) -> Option<()> {
        self.values.clear();
        let mut rest = &message[..];
        let count = rest.try_get_i16().ok()?;
        for _ in 0..count {
            let length = rest.try_get_i32().ok()?;
            let start = message.len() - rest.len();
            let value = usize::try_from(length).ok().map(|length| start..start + length);
            skip(&mut rest, value.as_ref().map_or(0, ExactSizeIterator::len))?;
            self.values.push(value);
        }
        self.bytes = message;
        (self.values.len() == self.columns.len()).then_some(())
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| column == name)
    }

    pub(crate) fn at<'a, T: FromSql<'a>>(&'a self, position: usize) -> Result<T, Unreadable> {
        let ((_, ty), value) =
            self.columns.get(position).zip(self.values.get(position)).ok_or(Unreadable::Missing)?;
        if !T::accepts(ty) {
            return Err(Unreadable::Value(Box::new(WrongType::new::<T>(ty.clone()))));
        }
        let value = value.clone().map(|range| &self.bytes[range]);
        T::from_sql_nullable(ty, value).map_err(Unreadable::Value)
    }
}

/// Passes over so many bytes, if there are as many.
fn skip(bytes: &mut impl Buf, count: usize) -> Option<()> {
    (count <= bytes.remaining()).then(|| bytes.advance(count))
}

impl<R> std::fmt::Debug for Copied<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Copied({})", self.name)
    }
}

macro_rules! copies_out {
    ($tx:ty) => {
        impl $tx {
            /// The rows of a select one by one, in the server's binary format. See [`CopyOut`].
            pub async fn copy_out<R: Row>(&mut self, copy: &CopyOut<R>) -> Result<Copied<'_, R>, Error> {
                let lent = self.lend(&Text { name: copy.name, sql: copy.select, takes_tenant: false })?;
                open(lent, copy).await
            }
        }
    };
}
copies_out!(TenantTx);
copies_out!(Tx);

async fn open<'tx, R: Row>(mut lent: Lent<'tx>, copy: &CopyOut<R>) -> Result<Copied<'tx, R>, Error> {
    let (name, select) = (copy.name, copy.select.trim_end().trim_end_matches(';'));
    let columns = describe(&mut lent, name, select).await?;
    let text = format!("copy ({select}\n) to stdout (format binary)");
    let client = lent.connection.client();
    let stream = client.answer(name, client.copy_out(&text)).await;
    if stream.is_err() {
        lent.done(&stream);
    }
    let row = CopiedRow { columns, bytes: Bytes::new(), values: Vec::new() };
    Ok(Copied { lent, name, stream: Box::pin(stream?), row, has_begun: false, types: PhantomData })
}

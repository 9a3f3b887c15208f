use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Sink;
use tokio_postgres::CopyInSink;
use tokio_postgres::types::Type;

use super::{CopyIn, describe};
use crate::Tx;
use crate::binary;
use crate::error::Error;
use crate::lent::Lent;
use crate::params::{Declared, Params};
use crate::statement::Text;

/// What begins every file in this format: its signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Bytes that are sent at once: each message costs the driver an allocation and a hop between tasks, however small it is.
const CHUNK: usize = 128 << 10;

/// What is reserved for a chunk: few rows are larger than the rest, so that a chunk is written into one piece of memory.
const ROOM: usize = CHUNK + CHUNK / 8;

/// A COPY that is being written. [`finish`](Self::finish) it: if it is dropped before, no row is added, and the transaction can't
/// be committed.
#[must_use = "without `finish` no row is added"]
pub struct Copying<'tx, P> {
    lent: Lent<'tx>,
    name: &'static str,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    columns: Vec<Type>,
    chunk: BytesMut,
    types: PhantomData<fn(P)>,
}

impl<P> Copying<'_, P> {
    /// Adds a row. Rows are sent 128 KiB at a time, so most calls return at once. If the future is dropped, the row is added all
    /// the same.
    ///
    /// # Errors
    /// [`Error::Statement`] for a value that can't be sent; the row is left out, and the copy may go on. Also if the connection
    /// breaks. What the server finds wrong with a row is told by [`finish`](Self::finish).
    pub async fn write(&mut self, row: impl Params<P>) -> Result<(), Error> {
        self.encode(&row)?;
        if self.chunk.len() >= CHUNK {
            self.send().await?;
            self.chunk.reserve(ROOM);
        }
        Ok(())
    }

    /// Ends the copy, and returns how many rows were added. They are there once the transaction commits.
    ///
    /// # Errors
    /// [`Error::Statement`] if the server refuses a row: then none is added.
    pub async fn finish(mut self) -> Result<u64, Error> {
        self.chunk.put_i16(-1);
        self.send().await?;
        let added = self.lent.connection.client().answer(self.name, self.sink.as_mut().finish()).await;
        self.lent.done(&added);
        added
    }

    fn encode(&mut self, row: &impl Params<P>) -> Result<(), Error> {
        let Self { name, columns, chunk, .. } = self;
        let (start, mut given) = (chunk.len(), 0);
        // More than 12 don't fit a tuple.
        chunk.extend_from_slice(&(columns.len() as i16).to_be_bytes());
        let mut written = row.each(|value| {
            if let Some(ty) = columns.get(given) {
                binary::append(name, given, value, ty, chunk)?;
            }
            given += 1;
            Ok(())
        });
        if written.is_ok() && given != columns.len() {
            let wrong = format!("a row has {given} values, and the copy {} columns", columns.len());
            written = Err(Error::unsent(name, wrong));
        }
        if written.is_err() {
            chunk.truncate(start);
        }
        written
    }

    /// What waits here may be dropped: nothing leaves the buffer before there is room for it.
    async fn send(&mut self) -> Result<(), Error> {
        let client = self.lent.connection.client();
        let room = client.answer(self.name, poll_fn(|context| self.sink.as_mut().poll_ready(context))).await;
        if room.is_err() {
            self.lent.ended(&room);
        }
        room?;
        let sent = self.sink.as_mut().start_send(self.chunk.split().freeze());
        sent.map_err(|error| Error::statement(self.name, &error))
    }
}

impl<P> std::fmt::Debug for Copying<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Copying({})", self.name)
    }
}

impl Tx {
    /// Fills a table, in the server's binary format. See [`CopyIn`].
    ///
    /// # Errors
    /// Those of the server: the table is not there, the role may not, or row-level security is on (SQLSTATE 0A000). After the last
    /// two the connection is closed.
    pub async fn copy_in<P: Declared>(&mut self, copy: &CopyIn<P>) -> Result<Copying<'_, P>, Error> {
        let (name, text) = (copy.name, format!("copy {} from stdin (format binary)", copy.into));
        let mut lent = self.lend(&Text { name, sql: &text, takes_tenant: false })?;
        let columns = describe(&mut lent, name, &copy.described()).await?;
        // After a refusal the driver takes each answer for that to the question before: a connection on which this has failed
        // stays in doubt, and is closed.
        let client = lent.connection.client();
        let sink = client.answer(name, client.copy_in(&text)).await;
        if sink.is_err() {
            lent.ended(&sink);
        }
        let sink = sink?;
        let mut chunk = BytesMut::with_capacity(ROOM);
        chunk.put_slice(HEAD);
        let columns = columns.into_iter().map(|(_, ty)| ty).collect();
        Ok(Copying { lent, name, sink: Box::pin(sink), columns, chunk, types: PhantomData })
    }
}

use std::error::Error;

use bytes::{BufMut, BytesMut};
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value of pgvector's type `vector`, for statements, batches and COPY.
///
/// All of its numbers are written at once, so that a batch of embeddings costs little more than a copy of its bytes. pgvector takes
/// 1 to 16,000 of them, all finite; the server refuses any other.
/// ```
/// # use shared_core::Id;
/// use shared_db::vector::Embedding;
/// use shared_db::{Error, Many, TenantTx, statements};
/// # struct Note;
///
/// statements! {
///     const KEEP: Statement<Many<(Id<Note>, Embedding)>, ()> = "
///         insert into notes.meaning (tenant_id, note, embedding)
///         select $tenant, note, embedding from unnest($1::uuid[], $2::public.vector[]) as new (note, embedding)";
/// }
/// async fn keep(tx: &mut TenantTx, meanings: Vec<(Id<Note>, Vec<f32>)>) -> Result<u64, Error> {
///     tx.execute_many(&KEEP, meanings.into_iter().map(|(note, numbers)| (note, Embedding::from(numbers)))).await
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Its numbers, in their order.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }
}

impl From<Vec<f32>> for Embedding {
    fn from(numbers: Vec<f32>) -> Self {
        Self(numbers)
    }
}

impl From<Embedding> for Vec<f32> {
    fn from(embedding: Embedding) -> Self {
        embedding.0
    }
}

// The format of both: how many numbers, two bytes of zero, and the numbers as big-endian 32-bit floats.

impl ToSql for Embedding {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let dimensions = u16::try_from(self.0.len())?;
        out.put_u16(dimensions);
        out.put_u16(0);
        let start = out.len();
        // Made long enough first: a loop that may have to grow a buffer is not one that the compiler turns into vector instructions.
        out.resize(start + size_of_val(self.as_slice()), 0);
        let (places, _) = out[start..].as_chunks_mut();
        for (place, number) in places.iter_mut().zip(&self.0) {
            *place = number.to_be_bytes();
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        ty.name() == "vector"
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Embedding {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let Some(([a, b, 0, 0], numbers)) = raw.split_first_chunk() else {
            return Err("a vector begins with its dimensions and two bytes of zero".into());
        };
        match numbers.as_chunks() {
            (numbers, []) if numbers.len() == usize::from(u16::from_be_bytes([*a, *b])) => {
                Ok(Self(numbers.iter().map(|number| f32::from_be_bytes(*number)).collect()))
            }
            _ => Err("a vector has as many numbers as it says".into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        ty.name() == "vector"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &[u8]) -> Option<Vec<f32>> {
        Embedding::from_sql(&Type::BYTEA, raw).ok().map(Vec::from)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for dimensions in [0, 1, 3, 4, 7, 384, 16_000] {
            let numbers: Vec<f32> = (0..dimensions).map(|at| (at as f32).sin() * 1e10).collect();
            let mut raw = BytesMut::from(&b"before"[..]);
            Embedding::from(numbers.clone()).to_sql(&Type::BYTEA, &mut raw).expect("few enough");
            let (before, raw) = raw.split_at(6);
            assert_eq!((before, read(raw)), (&b"before"[..], Some(numbers)));
        }
    }

    #[test]
    fn the_format_is_pgvectors() {
        let mut raw = BytesMut::new();
        Embedding::from(vec![1.0, -2.5]).to_sql(&Type::BYTEA, &mut raw).expect("few enough");
        assert_eq!(raw[..], [0, 2, 0, 0, 0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0]);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for raw in [
            &[][..],
            &[0],
            &[0, 1, 0],
            &[0, 1, 0, 0],
            &[0, 1, 0, 0, 1, 2, 3],
            &[0, 0, 0, 1],
            &[0, 1, 0, 0, 1, 2, 3, 4, 5],
        ] {
            assert_eq!(read(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn more_numbers_than_the_format_counts_are_refused() {
        let embedding = Embedding::from(vec![0.0; 1 << 16]);
        assert!(embedding.to_sql(&Type::BYTEA, &mut BytesMut::new()).is_err());
    }
}

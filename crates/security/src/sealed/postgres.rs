//! Sealed values travel to and from Postgres as `bytea`.

use std::error::Error;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use super::Sealed;

type BoxError = Box<dyn Error + Sync + Send>;

impl<T> ToSql for Sealed<T> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.as_bytes().to_sql(ty, out)
    }
    accepts!(BYTEA);
    to_sql_checked!();
}

impl<'a, T> FromSql<'a> for Sealed<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Vec::from_sql(ty, raw).map(Self::from_bytes)
    }
    accepts!(BYTEA);
}

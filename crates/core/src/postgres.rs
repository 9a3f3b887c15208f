//! `TenantId` and `Id<T>` travel to and from Postgres as `uuid`.

use std::error::Error;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use uuid::Uuid;

use crate::{Id, TenantId};

type BoxError = Box<dyn Error + Sync + Send>;

impl ToSql for TenantId {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.as_uuid().to_sql(ty, out)
    }
    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for TenantId {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Uuid::from_sql(ty, raw).map(Self::from_uuid)
    }
    accepts!(UUID);
}

impl<T> ToSql for Id<T> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.as_uuid().to_sql(ty, out)
    }
    accepts!(UUID);
    to_sql_checked!();
}

impl<'a, T> FromSql<'a> for Id<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Uuid::from_sql(ty, raw).map(Self::from_uuid)
    }
    accepts!(UUID);
}

//! How a row of the server becomes a value.

use postgres_types::{FromSql, Type, WasNull, WrongType};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::Error;
use crate::copy::CopiedRow;

/// A value that can be read from a row: a derived struct by its columns' names, a tuple by position, a single
/// column as itself, and `()` where nothing is returned.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read from a row",
    note = "put `#[derive(Row)]` on it; its fields are read by the names of the columns"
)]
pub trait Row: Sized + Send {
    /// The columns, for the test that compares them with the server.
    const COLUMNS: &'static [Column];

    /// Reads the value.
    ///
    /// # Errors
    /// [`Error::Column`] if a column is missing, of another type, or null where the type knows no null.
    fn from_row(row: &Columns<'_>) -> Result<Self, Error>;
}

/// A column that a [`Row`] reads.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name; `None` where it is read by position.
    pub name: Option<&'static str>,
    /// Whether the Rust type can be read from the server's type.
    pub accepts: fn(&Type) -> bool,
    /// Whether the Rust type knows null.
    pub takes_null: fn(&Type) -> bool,
}

impl Column {
    /// A column that is read as a `T`.
    pub const fn of<T: for<'a> FromSql<'a>>(name: Option<&'static str>) -> Self {
        Self { name, accepts: <T as FromSql<'_>>::accepts, takes_null: |ty| T::from_sql_null(ty).is_ok() }
    }
}

/// The columns of one row as the server sent them.
#[derive(Debug)]
pub struct Columns<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Answer(&'a tokio_postgres::Row),
    Copied(&'a CopiedRow),
}

impl<'a> Columns<'a> {
    pub(crate) fn answered(row: &'a tokio_postgres::Row) -> Self {
        Self(Source::Answer(row))
    }

    pub(crate) fn copied(row: &'a CopiedRow) -> Self {
        Self(Source::Copied(row))
    }

    /// The column with this name.
    ///
    /// # Errors
    /// [`Error::Column`] if there is none, or it can't be read as a `T`.
    pub fn named<T: FromSql<'a>>(&self, name: &str) -> Result<T, Error> {
        let value = match self.0 {
            Source::Answer(row) => row.try_get(name).map_err(Unreadable::from),
            Source::Copied(row) => row.position(name).ok_or(Unreadable::Missing).and_then(|at| row.at(at)),
        };
        value.map_err(|unreadable| unreadable.of(name.to_owned()))
    }

    /// The column at this position, from 0.
    ///
    /// # Errors
    /// [`Error::Column`] if there is none, or it can't be read as a `T`.
    pub fn at<T: FromSql<'a>>(&self, position: usize) -> Result<T, Error> {
        let value = match self.0 {
            Source::Answer(row) => row.try_get(position).map_err(Unreadable::from),
            Source::Copied(row) => row.at(position),
        };
        value.map_err(|unreadable| unreadable.of(format!("#{position}")))
    }
}

/// Why there is no value.
pub(crate) enum Unreadable {
    /// There is no such column.
    Missing,
    /// It is not of the type.
    Value(Box<dyn std::error::Error + Sync + Send>),
}

impl From<tokio_postgres::Error> for Unreadable {
    fn from(error: tokio_postgres::Error) -> Self {
        error.into_source().map_or(Self::Missing, Self::Value)
    }
}

impl Unreadable {
    fn of(self, column: String) -> Error {
        let reason = match self {
            // These two name types; a cause of another kind, such as that of a JSON document, may quote the value.
            Self::Value(cause) if cause.is::<WrongType>() || cause.is::<WasNull>() => cause.to_string(),
            Self::Value(_) => "its value is not as the type wants it".to_owned(),
            Self::Missing => "there is no such column".to_owned(),
        };
        Error::Column { column, reason }
    }
}

impl Row for () {
    const COLUMNS: &'static [Column] = &[];
    fn from_row(_: &Columns<'_>) -> Result<Self, Error> {
        Ok(())
    }
}

/// One column as itself. A list, since a blanket implementation would exclude tuples.
macro_rules! single_columns {
    ($($t:ty)*) => {$(
        single_columns!(@one $t);
        single_columns!(@one Option<$t>);
        single_columns!(@one Vec<$t>);
    )*};
    (@one $t:ty) => {
        impl Row for $t {
            const COLUMNS: &'static [Column] = &[Column::of::<$t>(None)];
            fn from_row(row: &Columns<'_>) -> Result<Self, Error> {
                row.at(0)
            }
        }
    };
}
single_columns!(bool i16 i32 i64 f32 f64 String Uuid OffsetDateTime Date Vec<u8> shared_core::TenantId crate::Lsn);

impl<T> Row for shared_core::Id<T> {
    const COLUMNS: &'static [Column] = &[Column::of::<Self>(None)];
    fn from_row(row: &Columns<'_>) -> Result<Self, Error> {
        row.at(0)
    }
}

macro_rules! tuples {
    ($($t:ident $at:tt),+) => {
        impl<$($t: for<'a> FromSql<'a> + Send,)+> Row for ($($t,)+) {
            const COLUMNS: &'static [Column] = &[$(Column::of::<$t>(None),)+];
            fn from_row(row: &Columns<'_>) -> Result<Self, Error> {
                Ok(($(row.at($at)?,)+))
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

//! How a row of the server becomes a value.

use postgres_types::{FromSql, Type, WasNull, WrongType};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::Error;

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
}

/// The columns of one row as the server sent them.
#[derive(Debug)]
pub struct Columns<'a>(pub(crate) &'a tokio_postgres::Row);

impl<'a> Columns<'a> {
    /// The column with this name.
    ///
    /// # Errors
    /// [`Error::Column`] if there is none, or it can't be read as a `T`.
    pub fn named<T: FromSql<'a>>(&self, name: &str) -> Result<T, Error> {
        self.0.try_get(name).map_err(|error| unreadable(name.to_owned(), &error))
    }

    /// The column at this position, from 0.
    ///
    /// # Errors
    /// [`Error::Column`] if there is none, or it can't be read as a `T`.
    pub fn at<T: FromSql<'a>>(&self, position: usize) -> Result<T, Error> {
        self.0.try_get(position).map_err(|error| unreadable(format!("#{position}"), &error))
    }
}

fn unreadable(column: String, error: &tokio_postgres::Error) -> Error {
    use std::error::Error as _;
    let reason = match error.source() {
        // These two name types; a cause of another kind, such as that of a JSON document, may quote the value.
        Some(cause) if cause.is::<WrongType>() || cause.is::<WasNull>() => cause.to_string(),
        Some(_) => "its value is not as the type wants it".to_owned(),
        None => "there is no such column".to_owned(),
    };
    Error::Column { column, reason }
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
            const COLUMNS: &'static [Column] = &[Column { name: None, accepts: <$t as FromSql<'_>>::accepts }];
            fn from_row(row: &Columns<'_>) -> Result<Self, Error> {
                row.at(0)
            }
        }
    };
}
single_columns!(bool i16 i32 i64 f32 f64 String Uuid OffsetDateTime Date Vec<u8> shared_core::TenantId);

impl<T> Row for shared_core::Id<T> {
    const COLUMNS: &'static [Column] =
        &[Column { name: None, accepts: <shared_core::Id<T> as FromSql<'_>>::accepts }];
    fn from_row(row: &Columns<'_>) -> Result<Self, Error> {
        row.at(0)
    }
}

macro_rules! tuples {
    ($($t:ident $at:tt),+) => {
        impl<$($t: for<'a> FromSql<'a> + Send,)+> Row for ($($t,)+) {
            const COLUMNS: &'static [Column] = &[$(Column { name: None, accepts: <$t as FromSql<'_>>::accepts },)+];
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

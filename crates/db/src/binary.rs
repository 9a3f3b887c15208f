//! Values in the server's binary format, as arrays and COPY hold them: a length, then the bytes.

use bytes::BytesMut;
use postgres_types::{IsNull, ToSql, Type, WrongType};

use crate::error::Error;

/// Appends a value, or -1 for null. One that can't be sent leaves nothing behind.
pub(crate) fn append(
    statement: &'static str,
    position: usize,
    value: &(dyn ToSql + Sync),
    ty: &Type,
    out: &mut BytesMut,
) -> Result<IsNull, Error> {
    let start = out.len();
    // `extend_from_slice` is inlined, and `put_i32` is not, which shows on small values.
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    let written = value.to_sql_checked(ty, out);
    let length = i32::try_from(out.len() - start - 4);
    let reason = match (written, length) {
        (Ok(IsNull::Yes), _) => return Ok(IsNull::Yes),
        (Ok(IsNull::No), Ok(length)) => {
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            return Ok(IsNull::No);
        }
        (Ok(IsNull::No), Err(_)) => "it is longer than 2 GiB".to_owned(),
        // Types, never the value.
        (Err(error), _) if error.is::<WrongType>() => error.to_string(),
        (Err(_), _) => "the server has no such value".to_owned(),
    };
    out.truncate(start);
    Err(Error::unsent(statement, format!("value {} of a row can't be sent: {reason}", position + 1)))
}

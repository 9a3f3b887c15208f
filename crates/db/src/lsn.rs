//! A position in the server's write-ahead log.

use std::fmt;
use std::str::FromStr;

use postgres_types::{FromSql, PgLsn, Type};

/// A position in the write-ahead log, written as the server does: `16/B374D848`.
///
/// Of two positions of one server the larger is the later. It may travel: a caller that hands in where its last write
/// was committed reads at least that, on whatever replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    pub(crate) fn from_u64(position: u64) -> Self {
        Self(position)
    }

    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

/// The text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no position in a write-ahead log; expected two hexadecimal numbers such as 16/B374D848")]
pub struct ParseLsnError;

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |digits: &str| match digits.len() {
            1..=8 if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).map_err(|_| ParseLsnError)
            }
            _ => Err(ParseLsnError),
        };
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

impl<'a> FromSql<'a> for Lsn {
    fn from_sql(server: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        PgLsn::from_sql(server, raw).map(|position| Self(position.into()))
    }

    fn accepts(server: &Type) -> bool {
        <PgLsn as FromSql<'_>>::accepts(server)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_can_be_read(position: u64) {
            prop_assert_eq!(Lsn(position).to_string().parse(), Ok(Lsn(position)));
        }

        #[test]
        fn whatever_is_read_does_not_panic(text: String) {
            let _ = text.parse::<Lsn>();
        }
    }

    #[test]
    fn it_is_written_as_the_server_does() {
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        for odd in ["", "/", "1", "1/", "/1", "+1/1", "1/123456789", "g/0", "1/1/1"] {
            assert_eq!(odd.parse::<Lsn>(), Err(ParseLsnError), "{odd}");
        }
    }
}

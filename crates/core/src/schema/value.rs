//! Values: settings that are one text.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Field, Kind, Reader, Schema, Setting, duration};
use crate::Secret;

/// A setting that is one text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read as a setting",
    label = "not a setting",
    note = "a group of settings or an enum: `#[derive(Config)]` on `{Self}`",
    note = "a type of yours that is `FromStr`: `setting!({Self}, \"a port from 1 to 65535\");`",
    note = "another crate's type that is `FromStr`: `#[config(parse = \"what is expected\")]` on the field"
)]
pub trait Value: Sized + 'static {
    /// What the text stands for.
    const KIND: Kind;

    /// Reads the text. The reader says what was expected, so there is no error to return.
    fn parse(text: &str) -> Option<Self>;

    /// How the value compares with a bound of the schema; `None` for kinds without an order.
    fn compare(&self, bound: &str) -> Option<Ordering> {
        let _ = bound;
        None
    }
}

impl<V: Value> Setting for V {
    const SCHEMA: &'static Schema = &Schema::Value(V::KIND);

    fn read(reader: &mut Reader<'_>, field: &'static Field) -> Option<Self> {
        reader.value(field)
    }
}

/// Lets a type of yours that is `FromStr` be a setting; the words say what is expected.
///
/// ```
/// # use std::str::FromStr;
/// # struct Region; impl FromStr for Region { type Err = (); fn from_str(_: &str) -> Result<Self, ()> { Ok(Region) } }
/// shared_core::setting!(Region, "a region such as eu-central-1");
/// ```
#[macro_export]
macro_rules! setting {
    ($type:ty, $words:literal) => {
        impl $crate::schema::Value for $type {
            const KIND: $crate::schema::Kind = $crate::schema::Kind::Words($words);

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    };
}

/// A foreign type that is `FromStr`: what `#[config(parse = "..")]` reads.
#[derive(Debug)]
pub struct Parsed<T>(pub T);

impl<T: FromStr + 'static> Value for Parsed<T> {
    const KIND: Kind = Kind::Words("a value");

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

macro_rules! ordered {
    ($($type:ty: $kind:expr, $parse:expr;)*) => { $(
        impl Value for $type {
            const KIND: Kind = $kind;

            fn parse(text: &str) -> Option<Self> {
                $parse(text)
            }

            fn compare(&self, bound: &str) -> Option<Ordering> {
                self.partial_cmp(&Self::parse(bound)?)
            }
        }
    )* };
}

const fn integer(min: Option<&'static str>, max: Option<&'static str>) -> Kind {
    Kind::Integer { min, max }
}

fn from_str<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Infinity and "not a number" bound nothing and compare with nothing: they are no settings.
fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

ordered! {
    u8: integer(Some("0"), Some("255")), from_str;
    u16: integer(Some("0"), Some("65535")), from_str;
    u32: integer(Some("0"), Some("4294967295")), from_str;
    u64: integer(Some("0"), None), from_str;
    usize: integer(Some("0"), None), from_str;
    i8: integer(Some("-128"), Some("127")), from_str;
    i16: integer(Some("-32768"), Some("32767")), from_str;
    i32: integer(Some("-2147483648"), Some("2147483647")), from_str;
    i64: integer(None, None), from_str;
    isize: integer(None, None), from_str;
    f64: Kind::Number, finite;
    f32: Kind::Number, |text| finite(text).map(|number| number as f32).filter(|number| number.is_finite());
    Duration: Kind::Duration, duration::parse;
}

setting!(char, "one character");
setting!(IpAddr, "an IP address");
setting!(uuid::Uuid, "a UUID");

impl Value for bool {
    const KIND: Kind = Kind::Bool;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for Secret {
    const KIND: Kind = Kind::Secret;

    fn parse(text: &str) -> Option<Self> {
        Some(Secret::from(text.to_owned()))
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Words("a path");

    fn parse(text: &str) -> Option<Self> {
        Some(Self::from(text))
    }
}

/// A port alone listens on every IPv4 interface: platforms that set `PORT` expect that.
impl Value for SocketAddr {
    const KIND: Kind = Kind::Words("an address such as 127.0.0.1:8080, or a port");

    fn parse(text: &str) -> Option<Self> {
        match text.parse::<u16>() {
            Ok(port) => Some(Self::from((Ipv4Addr::UNSPECIFIED, port))),
            Err(_) => text.parse().ok(),
        }
    }
}

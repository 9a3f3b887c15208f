//! The entry points: each takes any bytes, and panics if what they promise is not so. A module for each parser.

pub mod fields;
pub mod forwarded;
pub mod header;
pub mod jwks;
pub mod token;

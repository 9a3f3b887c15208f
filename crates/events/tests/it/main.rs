//! The events crate against a real Postgres.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod catalogue;
mod consume;
#[cfg(feature = "axum")]
mod extract;
mod isolation;
mod kill;
mod log;
mod order;
mod parking;
mod publish;
mod random;
mod relay;
mod support;
mod trace;

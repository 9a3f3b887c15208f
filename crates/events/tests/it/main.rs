//! The events crate against a real Postgres.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod consume;
#[cfg(feature = "axum")]
mod extract;
mod log;
mod order;
mod parking;
mod proxy;
mod publish;
mod random;
mod relay;
mod support;
mod trace;

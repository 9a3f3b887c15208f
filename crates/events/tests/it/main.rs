//! The events crate against a real Postgres.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod bus;
mod catalogue;
#[cfg(all(feature = "redis", feature = "nats"))]
mod chaos;
mod consume;
mod days;
mod delayed;
#[cfg(feature = "axum")]
mod extract;
mod golden;
mod guarantees;
mod isolation;
mod kill;
mod log;
mod operate;
mod order;
mod parking;
mod publish;
mod random;
mod registry;
mod relay;
mod replay;
mod seal;
mod share;
mod sink;
#[cfg(feature = "redis")]
mod sinks;
mod support;
mod trace;
mod versions;

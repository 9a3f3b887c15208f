//! The events crate against a real Postgres.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod bus;
mod catalogue;
#[cfg(all(feature = "redis", feature = "nats"))]
mod chain;
#[cfg(all(feature = "redis", feature = "nats"))]
mod chaos;
mod consume;
mod crash;
mod days;
mod delayed;
mod dump;
#[cfg(feature = "axum")]
mod extract;
mod failover;
mod fair;
mod golden;
mod guarantees;
mod handover;
mod isolation;
#[cfg(feature = "kafka")]
mod kafka;
mod kill;
mod log;
mod memory;
mod notify;
mod operate;
mod order;
mod parking;
mod publish;
mod random;
mod readers;
mod redrive;
mod registry;
mod relay;
mod replay;
mod restore;
#[cfg(feature = "redis")]
mod rights;
mod seal;
mod share;
mod sink;
#[cfg(feature = "redis")]
mod sinks;
#[cfg(feature = "redis")]
mod strangers;
mod support;
mod trace;
mod traps;
#[cfg(all(feature = "redis", feature = "nats"))]
mod truncated;
mod versions;

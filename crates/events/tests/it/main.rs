//! The events crate against a real Postgres.

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

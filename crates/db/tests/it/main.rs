//! What shared-db promises, against a real server.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod bootstrap;
mod cancel;
mod errors;
mod failures;
mod isolation;
mod outage;
mod pool;
mod proxy;
mod roles;
mod smoke;
mod statements;
mod support;
mod trips;
mod vector;

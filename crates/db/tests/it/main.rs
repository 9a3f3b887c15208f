//! What shared-db promises, against a real server.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod batch;
mod bootstrap;
mod cancel;
mod catalogues;
mod copy;
mod doctor;
mod errors;
mod failures;
mod faults;
mod filter;
mod injection;
mod isolation;
mod items;
mod listen;
mod migrations;
mod migrations_killed;
mod outage;
mod pool;
mod probe;
#[cfg(feature = "redis")]
mod redis;
mod replicas;
mod roles;
mod silence;
mod smoke;
mod statements;
mod stream;
mod support;
mod tenant_table;
mod tls;
mod transactions;
mod trips;
mod vector;

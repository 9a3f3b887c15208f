//! What shared-db promises, against a real server.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod batch;
mod bootstrap;
mod cancel;
mod catalogues;
mod copy;
mod cut;
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
mod pgvector;
mod pool;
mod probe;
#[cfg(feature = "redis")]
mod redis;
mod replicas;
mod roles;
mod server;
mod silence;
mod smoke;
mod statements;
mod storm;
mod storm_postgres;
#[cfg(feature = "redis")]
mod storm_redis;
mod stream;
mod support;
mod tenant_table;
mod tls;
mod transactions;
mod trips;
mod vector;

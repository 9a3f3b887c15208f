//! What shared-queues promises, against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cancel;
mod catalogue;
#[cfg(feature = "redis")]
mod chaos;
mod complete;
mod crash;
mod effect;
mod enqueue;
mod fence;
mod forgotten;
#[cfg(feature = "redis")]
mod frozen;
mod isolation;
mod kill;
mod layers;
mod locked;
mod neighbours;
mod operate;
mod outage;
mod outcome;
mod plan;
mod retry;
mod schedule;
mod stop;
mod support;
mod tables;
mod tenancy;
mod trace;
mod worker;

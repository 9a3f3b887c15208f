//! What shared-queues promises, against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod catalogue;
mod complete;
mod crash;
mod dead;
mod enqueue;
mod fence;
mod isolation;
mod kill;
mod outage;
mod plan;
mod retry;
mod stop;
mod support;
mod tables;
mod tenancy;
mod trace;
mod worker;

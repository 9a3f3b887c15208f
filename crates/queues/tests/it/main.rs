//! What shared-queues promises, against a real server.

mod complete;
mod crash;
mod dead;
mod enqueue;
mod fence;
mod kill;
mod plan;
mod retry;
mod stop;
mod support;
mod tables;
mod tenancy;
mod trace;
mod worker;

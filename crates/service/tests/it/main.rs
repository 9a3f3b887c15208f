//! The life of a service, on real servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod events;
mod failure;
mod guards;
mod http;
mod keys;
mod queues;
mod start;
mod stop;
mod support;

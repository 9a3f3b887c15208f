//! The life of a service, on real servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failure;
mod http;
mod start;
mod stop;
mod support;

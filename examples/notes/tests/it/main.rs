//! The service as its users see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod environment;
mod http;
mod readme;
mod schemas;
mod search;
mod stop;
mod token;

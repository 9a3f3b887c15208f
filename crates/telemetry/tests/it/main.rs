//! What the crate promises, over its public API.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod bridge;
mod export;
mod health;
mod http;
mod logs;
mod support;

//! The service as its users see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit_log;
mod client;
mod contract;
mod operators;
mod pages;
mod program;
mod readme;
mod refusals;
mod roles;
mod services;
mod story;

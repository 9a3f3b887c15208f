//! What the crate promises, against tokens that were made to break it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod config;
mod forgery;
mod headers;
mod http;
mod log;
mod permissions;
mod rotation;
mod secrecy;
mod support;

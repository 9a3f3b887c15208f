//! What can only be shown with programs that are not the project's own. A missing one is a failure.

mod auth;
mod chromium;
mod events;
mod flood;
mod pgbouncer;
mod postgres15;
mod process;
mod prometheus;
mod python;
mod redis;
mod redis_tls;
mod tls;

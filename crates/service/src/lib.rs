//! A service's life in ten lines: load, report, start, probe, serve, drain, flush, exit.
//!
//! ```no_run
//! use shared_service::prelude::*;
//!
//! #[derive(Config)]
//! #[config(prefix = "HELLO")]
//! struct Settings {
//!     service: shared_service::Config,
//!     db: shared_service::db::Config,
//!     telemetry: shared_service::telemetry::Config,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Exit {
//!     Service::<Settings>::new("hello").routes(Router::new().route("/", get(async || "hello"))).run().await
//! }
//! ```
//!
//! # The ideas
//! - [`Service`] lists what a program has: state, migrations, permissions, jobs, consumers, routes. [`Service::run`] is
//!   its whole life.
//! - The settings of the libraries are fields of the program's own; they are found by their type, and one report
//!   covers all of them. Those that are not embedded take their defaults; only the database's has none.
//! - What guards it beside tokens is asked for by a method each: [`Service::audited`], [`Service::tenants`],
//!   [`Service::revocations`], [`Service::limits`], [`Service::cors`]. What is not asked for costs nothing.
//! - Jobs are in the service's database; with the feature `redis` they may be in Redis ([`Service::queues_in_redis`]). Either way a
//!   transaction's jobs exist if, and only if, it commits.
//! - Consumers read the log of the service's database; with the features `redis` and `nats` its events may go through a broker
//!   ([`Service::events_through`]), where other programs find them too. The handlers are the same.
//! - The public API and the probes (`/live`, `/ready`, `/health`, `/metrics`) have a port each.
//! - [`Json`], [`Query`], [`Path`] and [`Valid`] answer with a [`Problem`](core::Problem) when they can't be read.
//! - `TestService` (feature `testing`) starts a service on real servers in one line of a test.
//!
//! # What is guaranteed
//! - A wrong environment never starts: exit code 78 and a report of everything that is wrong.
//! - On SIGTERM or SIGINT the service says that it is not ready, settles, stops accepting, finishes requests and jobs,
//!   flushes telemetry, and exits with 0. What did not finish by its deadline is cut off and makes the exit code 1.
//! - After [`Running::stop`] nothing of the service runs.
//! - A handler that panics answers 500, and the process goes on. Bodies, heads, connections and durations are bounded.
//!
//! Not yet: TLS and HTTP/2 on the listener (put a proxy in front).
//!
//! # Errors
//! What keeps a service from starting is a [`Failure`](core::Failure), logged and printed to standard error.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `testing` | `testing::TestService` |
//! | `jwks` | tokens of another issuer, by the keys that it publishes |
//! | `redis` | rate limits and revocations over Redis, [queues in Redis](Service::queues_in_redis), [events through it](Service::events_through) |
//! | `nats` | [events through NATS](Service::events_through) |

mod admin;
mod config;
mod created;
mod desk;
mod eventing;
mod exit;
mod extract;
mod guards;
mod http;
mod launch;
pub mod prelude;
mod queueing;
mod running;
mod server;
mod service;
mod settings;
mod signals;
mod start;
#[cfg(feature = "testing")]
pub mod testing;
mod validation;

pub use config::Config;
pub use created::Created;
#[cfg(any(feature = "redis", feature = "nats"))]
pub use eventing::Broker;
#[cfg(feature = "nats")]
pub use eventing::NatsConfig;
pub use exit::Exit;
pub use extract::{Json, Path, Query, Valid};
#[cfg(feature = "redis")]
pub use queueing::RedisQueues;
pub use running::{Running, Stopped};
pub use service::Service;
pub use start::{Provided, Start};

pub use shared_config as config_loader;
pub use shared_core as core;
pub use shared_db as db;
pub use shared_events as events;
pub use shared_queues as queues;
pub use shared_security as security;
pub use shared_telemetry as telemetry;

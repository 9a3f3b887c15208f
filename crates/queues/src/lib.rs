//! Jobs that commit with your data, survive kill -9, and keep to their fence.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use serde::{Deserialize, Serialize};
//! use shared_core::{AssumedTenant, Failure, TenantId};
//! use shared_db::{Db, bootstrap};
//! use shared_queues::{Config, Enqueue, Job, JobContext, Jobs, MIGRATIONS, Queues, Worker};
//! use validator::Validate;
//!
//! /// The job as data: all that a producer needs.
//! #[derive(Serialize, Deserialize, Validate, Job)]
//! #[job(name = "mail:welcome", timeout = "30s")]
//! struct Welcome {
//!     #[validate(email)]
//!     to: String,
//! }
//!
//! /// What is done about it. It runs in the tenant whose transaction enqueued it.
//! async fn welcome(job: Welcome, cx: JobContext) -> Result<(), Failure> {
//!     tracing::info!(key = cx.idempotency_key(), "sending");
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = shared_db::Config::new("postgres://localhost/shop");
//!     bootstrap(&config, &[MIGRATIONS]).await?;
//!     let db = Db::connect(&config).await?;
//!     let queues = Queues::postgres(&db);
//!     let worker = Worker::start(&queues, (), Jobs::new().handle(welcome), Config::default()).await?;
//!
//!     let tenant = AssumedTenant::new(TenantId::new(), "an example has no token");
//!     db.tenant(&tenant).tx(async |tx| tx.enqueue(Welcome { to: "a@b.example".into() }).await).await?;
//!
//!     worker.stop(Duration::from_secs(25)).await;
//!     Ok(())
//! }
//! ```
//!
//! # The ideas
//! - A [`Job`] is data with a name; [`tx.enqueue`](Enqueue) writes it with the COMMIT of a tenant's transaction.
//! - A [handler](Handler) is an async function; [`Jobs`] lists them; a [`Worker`] runs them.
//! - A handler ends with `()`, an [`Outcome`] that says more, or a [`Failure`](shared_core::Failure) that decides about the next
//!   attempt. Tower's layers stand around it, if there are any ([`Jobs::layer`]).
//! - A [`JobContext`] proves the tenant. [`JobContext::tx`] commits an effect together with the job's completion, and
//!   [`JobContext::once`] records one that happened elsewhere.
//! - [`Queues`] are in Postgres, in Redis or in memory. `tx.enqueue` writes into the Postgres of the transaction, and refuses where the
//!   program has queues in Redis or in memory alone, unless they are made by [`Queues::with_outbox`]. [`Queues::tenant`] enqueues without a transaction, and
//!   [`Queues::schedules`] by the calendar.
//! - For operators they show how they stand, find jobs, bring [`DeadLetter`]s back, and take limits and pauses while they run; also
//!   on a command line, [`cli()`].
//!
//! # What is guaranteed
//! - A job exists if, and only if, the transaction that enqueued it committed; in Redis so by an outbox alone.
//! - It is attempted **at least once**: a worker that dies in the middle leaves it to another. What a handler does through
//!   [`JobContext::tx`] takes effect **exactly once**; for the world outside there is
//!   [`idempotency_key`](JobContext::idempotency_key).
//! - A worker that was silent for longer than its lease has lost its jobs: whatever it says of them is refused and counted.
//!   It breaks them off itself before that, by its own clock.
//! - A killed worker's jobs are ready again after a lease and a beat at most, 20 s by default; each further worker that dies before
//!   it begins them costs as much again. Long jobs need no renewal of their own.
//! - A failed attempt, a panic and a time-out are followed by other attempts with back-off, then by a dead letter. A payload
//!   that can't be read is one at once. Neither stops a worker.
//! - [`Worker::stop`] leaves no task behind, and costs no job an attempt.
//! - Tenants take turns, jobs of one ordering key run one after the other, and limits hold over all workers.
//!
//! Not guaranteed: an order between jobs without an ordering key (about that of their commits). A job that blocks its thread
//! without an await can't be timed out.
//!
//! # Failures and crashes
//! Failed attempts are counted against [`Options::max_attempts`]. The death of a worker is no failure of its jobs; but
//! three of them while they hold the same job ([`Config::crash_budget`]) make it a dead letter, since it may be the cause.
//!
//! # Errors
//! One [`Error`]. Handlers fail with [`shared_core::Failure`]. No payload is in an error or a log line; the text of a
//! handler's own error is in both, and in the dead letter.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `axum` | `State<T>` of axum as an argument of a handler, for any part of the service's state |
//! | `admin` | [`admin`]: the queues seen and steered over HTTP |
//! | `redis` | queues in Redis or Valkey: [`Queues::redis`] |
//!
//! Metrics, spans, tables and how they work together: `docs/queues.md`.

#[cfg(feature = "admin")]
pub mod admin;
mod backend;
mod call;
mod cli;
mod config;
#[cfg(test)]
mod conformance;
mod context;
mod cursor;
mod dead;
mod effect;
mod enqueue;
mod error;
mod filter;
#[cfg(test)]
mod fixture;
mod handler;
mod job;
mod jobs;
mod joined;
mod key;
mod limit;
mod link;
mod memory;
mod meters;
mod name;
mod new_job;
mod operate;
mod outbox;
mod outcome;
mod payload;
mod postgres;
mod priority;
mod producer;
mod progress;
mod queues;
#[cfg(feature = "redis")]
mod redis;
mod schedule;
mod unique;
mod view;
mod worker;

pub use backend::Cancelled;
pub use call::{JobCall, JobService};
pub use cli::cli;
pub use config::Config;
pub use context::JobContext;
pub use dead::{DeadLetter, Reason};
pub use enqueue::{Enqueue, MAX_JOBS_PER_TRANSACTION};
pub use error::Error;
pub use filter::{DeadFilter, JobFilter};
pub use handler::{FromJob, Handler, IntoOutcome};
#[doc(hidden)]
pub use job::assert_job_name;
pub use job::{AnyJob, Job, JobId, Options, Retry};
pub use jobs::Jobs;
pub use limit::{Limit, LimitKey, LimitStatus, Rate};
pub use link::Cancellation;
pub use new_job::{MAX_DELAY, MAX_KEY, MAX_LIMITS, NewJob};
pub use operate::{MAX_LISTED, Queue, Redrive};
pub use outbox::OutboxJob;
pub use outcome::Outcome;
pub use payload::MAX_PAYLOAD;
pub use postgres::MIGRATIONS;
#[doc(hidden)]
pub use postgres::statements;
pub use priority::Priority;
pub use producer::Producer;
pub use progress::Progress;
pub use queues::{Backlog, Queues};
pub use schedule::{MissedRuns, Schedule, ScheduleEdit, ScheduleView, ScheduledJob, Schedules};
pub use shared_core_derive::Job;
pub use unique::{Enqueued, Unique};
pub use view::{JobView, QueueStatus, State};
pub use worker::{StopReport, Worker};

/// What `#[derive(Job)]` writes into a program.
#[doc(hidden)]
pub mod derive {
    pub use serde_json::Value;
    pub use shared_core::Failure;

    pub use crate::key::key;
}

/// What a program imports for its verbs to work.
pub mod prelude {
    pub use crate::Enqueue as _;
}

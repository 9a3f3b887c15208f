//! Jobs that commit with your data, survive kill -9, and keep to their fence.

mod config;
mod context;
mod dead;
mod enqueue;
mod error;
mod handler;
mod job;
mod jobs;
mod meters;
mod payload;
mod postgres;
mod queues;
mod worker;

pub use config::Config;
pub use context::JobContext;
pub use dead::{DeadLetter, Reason};
pub use enqueue::{Enqueue, MAX_JOBS_PER_TRANSACTION};
pub use error::Error;
pub use handler::{FromJob, Handler, IntoOutcome};
#[doc(hidden)]
pub use job::assert_job_name;
pub use job::{AnyJob, Job, JobId, Options, Retry};
pub use jobs::Jobs;
pub use payload::MAX_PAYLOAD;
pub use postgres::MIGRATIONS;
#[doc(hidden)]
pub use postgres::statements;
pub use queues::{Backlog, Queues};
pub use shared_core_derive::Job;
pub use worker::{StopReport, Worker};

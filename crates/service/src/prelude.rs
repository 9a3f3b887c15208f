//! What almost every program of the family names.

pub use std::net::SocketAddr;
pub use std::time::Duration;

pub use axum::Router;
pub use axum::extract::{FromRef, State};
pub use axum::routing::{delete, get, patch, post, put};
pub use serde::{Deserialize, Serialize};
pub use time::{Date, OffsetDateTime};
pub use validator::Validate;

pub use crate::{Created, Exit, Json, Path, Query, Service, Start, Valid};
pub use shared_core::{Context, Failure, Id, InTenant, Problem, Secret, TenantId};
pub use shared_core_derive::{
    ServiceConfig as Config, ServiceEvent as Event, ServiceJob as Job, ServiceRow as Row,
};
pub use shared_db::vector::{Collection, Definition, Hits, Recall, Recall::AtLeast};
pub use shared_db::{Db, MigrationSet, Step, TenantTx, statements};
pub use shared_events::{Publish as _, Received};
pub use shared_queues::{Enqueue as _, JobContext, Queues};
pub use shared_security::prelude::*;
pub use shared_security::{AuditEvent, May, Principal, permissions};

/// So many milliseconds.
pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

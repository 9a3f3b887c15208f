//! The words that every crate of the family uses, and that travel from a request to its last effect.
//!
//! ```
//! use shared_core::{Actor, Context, Id, TenantId};
//!
//! struct Note;
//!
//! let context = Context::new(TenantId::new(), Actor::new("user:7"));
//! let note: Id<Note> = Id::new();
//! println!("{} writes {note:?}", context.actor());
//! ```
//!
//! # The ideas
//! - A tenant is a value, [`TenantId`]; acting in it takes a proof, [`InTenant`].
//! - An [`Id<T>`](Id) knows what it identifies.
//! - A [`Context`] says who acts, for whom, and in which conversation and trace.
//! - A [`Failure`] is how work ends that did not succeed; a [`Problem`] is how an HTTP API says so.
//! - A [`Secret`] is never shown; a [`Backoff`] has jitter; a [`Clock`] can be moved by a test.
//! - Operators type a [`command_line`], whose answers are tables.
//! - A [`fault::point`] is where a test may kill the process. [`panics`] says where a caught panic came from.
//!
//! # Guarantees and limits
//! There is no input or output here, no runtime, no thread and, but for the hook of [`fault`] in tests and that of
//! [`panics`] where a program asks for it, no global. No
//! function panics on any input. The JSON forms of [`Context`], [`TenantId`], [`Id`] and [`TraceParent`] are contracts: they
//! are stored beside jobs and events.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `schema` | the configuration-schema trait [`Setting`](schema::Setting) and its derive, and [`broken_rules`] in words |
//! | `postgres` | [`TenantId`] and [`Id`] as parameters and columns |
//! | `axum` | [`Problem`] as a response |
//! | `json` | `json`: bodies of callers, read strictly |
//! | `admin` | `admin`: what the routers of operators read from a request |
//! | `faults` | a hook at the points of [`fault`]; for tests alone |
//! | `trace` | the bridge to the running OpenTelemetry trace, [`trace`] |

#[cfg(feature = "admin")]
pub mod admin;
mod backoff;
mod clock;
pub mod command_line;
mod context;
mod failure;
pub mod fault;
mod id;
#[cfg(feature = "json")]
pub mod json;
pub mod panics;
#[cfg(feature = "postgres")]
mod postgres;
mod problem;
#[cfg(feature = "schema")]
mod rules;
#[cfg(feature = "schema")]
pub mod schema;
mod secret;
mod tenant;
#[cfg(feature = "trace")]
pub mod trace;
mod traceparent;

pub use backoff::Backoff;
pub use clock::Clock;
pub use context::{Actor, Context, CorrelationId, InvalidCorrelationId, MAX_TEXT, Site};
pub use failure::{Failure, NextStep};
pub use id::Id;
pub use problem::{FieldError, Problem};
#[cfg(feature = "schema")]
pub use rules::broken_rules;
pub use secret::Secret;
#[cfg(feature = "schema")]
pub use shared_core_derive::Config;
pub use tenant::{AssumedTenant, InTenant, TenantId};
pub use traceparent::{InvalidTraceParent, TraceParent};

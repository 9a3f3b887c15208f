//! An event is published if, and only if, its transaction committed, in order per key, and takes effect once.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use shared_core::{AssumedTenant, Failure, Id, TenantId};
//! use shared_db::{Db, TenantTx, bootstrap, statements};
//! use shared_events::prelude::*;
//! use shared_events::{Config, Event, Events, MIGRATIONS, Received, Relay};
//!
//! struct Note;
//!
//! #[derive(Serialize, Deserialize, Event)]
//! #[event(name = "note.created", version = 1, key = "note")]
//! struct NoteCreated {
//!     note: Id<Note>,
//! }
//!
//! statements! {
//!     const COUNT_ONE: Statement<(time::Date,), ()> = "
//!         update notes.day set created = created + 1 where tenant_id = $tenant and day = $1";
//! }
//!
//! // The effect and the mark that it happened commit together: it happens once, however often the event is delivered.
//! async fn digest(tx: &mut TenantTx, created: Received<NoteCreated>) -> Result<(), Failure> {
//!     tx.execute(&COUNT_ONE, (created.at.date(),)).await?;
//!     Ok(())
//! }
//!
//! # async fn run() -> Result<(), Failure> {
//! let config = shared_db::Config::new("postgres://localhost/notes");
//! bootstrap(&config, &[MIGRATIONS]).await?;
//! let db = Db::connect(&config).await?;
//! let relay = Relay::start(db.clone(), (), Events::new().handle("digest", digest), Config::default()).await?;
//!
//! let tenant = AssumedTenant::new(TenantId::new(), "an example has no token");
//! db.tenant(&tenant)
//!     .tx(async |tx| {
//!         // .. the note itself, and with it:
//!         tx.publish(NoteCreated { note: Id::new() }).await
//!     })
//!     .await?;
//! relay.stop().await;
//! # Ok(()) }
//! ```
//!
//! # The ideas
//! - An [`Event`] has a name, a version, and a key whose events stay in order. [`Publish`] adds `tx.publish(event)`, which sends
//!   it with the COMMIT.
//! - The log is a table to which rows are only added. A [`Relay`] reads it for a subscription: it cuts it by ticks, and delivers
//!   what one tick's snapshot sees and the one before did not.
//! - A consumer is an async function, registered in [`Events`] by a name. It gets the event as [`Received`], which is a proof of
//!   its tenant, and a transaction in that tenant: its position is locked there, and moves with the COMMIT.
//! - Fields change with the version, and a function takes older events a step further; [`golden`] holds the schemas of all versions
//!   against the types, in a test. Newer events than a program knows are parked.
//! - An event can wait: [`publish_at`](Publish::publish_at), [`publish_in`](Publish::publish_in), [`unpublish`](Publish::unpublish),
//!   [`delayed`].
//! - Elsewhere an event is a CloudEvent: [`cloudevents`]. Within the process there is a [`bus`] without a database, and the [`registry`]
//!   knows who publishes and consumes.
//! - What a consumer can't do is parked, with its key's later events behind it, and tried again with growing waits.
//!   [`Subscriptions`] shows and explains what is late, pauses, redrives and throws away; [`Replay`] and [`Projection`] read once more.
//! - [`Relay::to`] brings events to a [`sink`]: Redis Streams, NATS JetStream, Kafka or another database. An [`intake`] reads them
//!   there for the same consumers.
//!
//! How it works, its tables, metrics and spans: `docs/events.md`.
//!
//! # What is guaranteed
//! - Published means committed: no event of a transaction or a savepoint that was rolled back, and every event of the others,
//!   however late they commit. Nobody waits for somebody else's open transaction.
//! - Events of one tenant and key reach each consumer in the order in which their transactions held the lock, or won the version,
//!   that they publish under. Writers of a key that share neither have no order, here as in the database.
//! - A consumer's effect through its transaction happens once, if relays crash, compete or are paused, and however often an event
//!   is delivered. What it does elsewhere (a mail, a request) happens at least once.
//! - A failing key holds up its own consumer's later events, and no other key.
//! - Relays share a subscription's sixteen lanes, and take over those of one that is gone within two leases.
//! - A day of the log is dropped when it is old enough and every subscription has passed it. Relays see to it; where there is no
//!   subscription, an [`Upkeep`].
//! - The log can't be updated, deleted from or truncated: the rights are missing, and a trigger refuses it to everybody else.
//! - Nothing of a relay runs after [`Relay::stop`] returned, or for long after it was dropped.
//!
//! Each of them with its limits and its test: `docs/guarantees.md`. A subscription that no program reads any more keeps the log:
//! [`Subscription::retire`] it.
//!
//! # Errors
//! One [`Error`]. Publishing fails before anything is sent, or with the COMMIT. A consumer returns a
//! [`Failure`](shared_core::Failure): retried with growing waits, or parked at once when it is dead. A relay that can't reach its
//! database logs a warning and tries again; starting one fails where events could be lost.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `axum` | `State<T>` of the program's state as an argument of a consumer |
//! | `admin` | `admin::router`: the subscriptions seen and steered over HTTP |
//! | `redis` | Redis Streams: `sink::RedisStreams` and `intake::RedisGroup` |
//! | `nats` | NATS JetStream: `sink::JetStream` and `intake::JetStreamGroup` |
//! | `kafka` | Kafka: `sink::KafkaTopic` and `intake::KafkaGroup`; builds librdkafka, with a C compiler and make |

// The derive names the crate as its users do.
#[cfg(test)]
extern crate self as shared_events;

#[cfg(feature = "admin")]
pub mod admin;
mod backlog;
pub mod bus;
mod cli;
pub mod cloudevents;
mod config;
mod consumer;
mod context;
mod cursor;
mod days;
mod delayed;
mod envelope;
mod error;
mod event;
mod events;
mod executor;
mod explain;
#[cfg(test)]
mod fixture;
mod gauges;
pub mod golden;
pub mod handover;
pub mod intake;
mod log;
mod metrics;
mod notify;
mod operate;
mod payload;
mod place;
mod projection;
mod publish;
mod received;
pub mod registry;
mod relay;
mod replay;
mod schema;
pub mod seal;
pub mod sink;
mod spans;
mod timeline;
mod window;

/// What the derive's code calls.
#[doc(hidden)]
pub mod derive {
    pub use serde_json::Value;
    pub use shared_core::Failure;
    pub use validator::{Validate, ValidationErrors};
}

/// What a program that publishes imports: `tx.publish(..)`.
pub mod prelude {
    pub use crate::Publish as _;
}

pub use backlog::{Backlog, backlog, parked};
pub use cli::cli;
pub use config::Config;
pub use consumer::{Consumer, FromDelivery};
pub use delayed::{Delayed, MAX_DELAY, cancel_delayed, delayed};
pub use envelope::Envelope;
pub use error::Error;
pub use event::Event;
#[doc(hidden)]
pub use event::assert_name;
pub use events::Events;
pub use explain::{Cause, Explanation};
pub use intake::Intake;
pub use notify::Notifier;
pub use operate::{
    Health, Holder, KeptDays, Kind, LaneStatus, MAX_LISTED, Parked, ParkedFilter, ParkedState, Redrive,
    Stalled, Subscription, SubscriptionStatus, Subscriptions,
};
pub use place::{LANES, Lane, NoPlace, Place};
pub use projection::{Projection, ProjectionStatus, generation};
pub use publish::{MAX_EVENT, MAX_KEY, MAX_TRANSACTION, Publish};
pub use received::Received;
pub use relay::{Relay, Upkeep};
pub use replay::Replay;
pub use schema::MIGRATIONS;
pub use shared_core_derive::Event;

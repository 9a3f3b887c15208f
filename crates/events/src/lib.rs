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
//!   its tenant, and a transaction in that tenant, in which its mark already lies.
//! - What it can't do is parked, with its key's later events behind it; [`Relay::redrive`] runs them again, in order.
//!   [`backlog`] and [`parked`] show what is left.
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
//! - A failing key holds up its own consumer's later events, and no other key beyond the retries of one page.
//! - The log can't be updated, deleted from or truncated: the rights are missing, and a trigger refuses it to everybody else.
//! - Nothing of a relay runs after [`Relay::stop`] returned, or for long after it was dropped.
//!
//! Not yet: sinks outside of the process (Redis, NATS, Kafka), several relays at work on one subscription, versions other than the
//! consumer's (they are parked), retention: log and inbox grow. A subscription that no program reads any more keeps the ticks; delete its row.
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

mod backlog;
mod config;
mod consumer;
mod error;
mod event;
mod events;
mod metrics;
mod publish;
mod received;
mod relay;
mod schema;

/// What a program that publishes imports: `tx.publish(..)`.
pub mod prelude {
    pub use crate::Publish as _;
}

pub use backlog::{Backlog, Parked, backlog, parked};
pub use config::Config;
pub use consumer::{Consumer, FromDelivery};
pub use error::Error;
pub use event::Event;
#[doc(hidden)]
pub use event::assert_name;
pub use events::Events;
pub use publish::{MAX_EVENT, MAX_KEY, MAX_TRANSACTION, Publish};
pub use received::Received;
pub use relay::{Redriven, Relay};
pub use schema::MIGRATIONS;
pub use shared_core_derive::Event;

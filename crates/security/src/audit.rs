//! The audit log: who did what to which, when, why, from where, and how it ended; and whether that still stands there as it was
//! written.
//!
//! ```no_run
//! use shared_core::{AssumedTenant, TenantId};
//! use shared_db::Db;
//! use shared_security::AuditEvent;
//! use shared_security::audit::{Config, Sealer, Verify, Writer};
//! use shared_security::prelude::*;
//!
//! # async fn run(db: Db) -> Result<(), shared_core::Failure> {
//! let config = Config::default();
//! let writer = Writer::start(db.clone(), &config);
//! let sealer = Sealer::start(db.clone(), &config).await?;
//! let audit = writer.audit();
//! db.on_crossing(audit.crossings())?;
//!
//! // With the effect that it tells of, in the same transaction:
//! let tenant = AssumedTenant::new(TenantId::new(), "an example has no token");
//! db.tenant(&tenant).tx(async |tx| -> Result<(), shared_core::Problem> {
//!     // .. the role itself, and with it:
//!     tx.audit(AuditEvent::new("role.granted").target("user", "user:9"))?;
//!     Ok(())
//! }).await.map_err(|problem| shared_core::Failure::new(problem.to_string()))?;
//! // What has no transaction, and must not wait:
//! audit.record(AuditEvent::new("session.open").within(&tenant).denied().because("wrong password"));
//! // What must not happen unrecorded:
//! audit.durable().record(AuditEvent::new("key.exported").within(&tenant)).await?;
//!
//! println!("{}", Verify::default().run(&db).await?);
//! sealer.stop().await;
//! writer.stop().await;
//! # Ok(()) }
//! ```
//!
//! # The ideas
//! - An [`AuditEvent`] says what happened, within bounds, so that it can always be written. [`AuditTx`] adds `tx.audit(event)`: the
//!   entry commits with the effect. [`Audit`] takes events from anywhere, and never waits; [`Durable`] waits for the commit.
//! - Writers add entries without a lock and without a chain, so they don't wait for each other. The [`Sealer`] reads what was
//!   committed, by [cuts](shared_db::cut), and makes a batch of each tenant's entries: its *root* is a SHA-256 over the root before
//!   and the entries' own hashes. An open transaction holds nothing up; its entries are sealed when it has committed.
//! - [`Verify`] compares the entries with their batches, and [`roots`] exports the ends of the chains to be kept elsewhere.
//! - [`Export`] writes entries as JSON lines, [`prune`] deletes whole batches and leaves their roots. [`cli`] has all of it as commands.
//!
//! # What is guaranteed
//! - An entry of a transaction is there if, and only if, the transaction committed. An event that [`Durable`] has returned for
//!   survives a crash. An event that was lost was counted (`audit.lost`) and logged, unless the process was killed: what was in
//!   [`Audit`]'s buffer then is gone.
//! - A tenant reads its own entries and no others, and nobody updates, deletes or truncates: the rights are missing, and triggers
//!   refuse it to the owner (ASVS 16.4.2). Entries go only by [`prune`], in whole batches, and that is written down.
//! - Of a log that a sealer keeps up with, what was committed since its last look is unsealed: half a second's worth at most, and at
//!   a rate that lasts no more than 1,000 entries, since the next look comes when 500 are due. More than that can be unsealed by a
//!   burst out of silence, until the next look, and where entries come faster than they are sealed; it does not pause then. A batch
//!   has 1,000 entries at most. A dead sealer is replaced within two leases.
//! - Once sealed, an entry that is altered, removed, moved or added later is found, also if the owner of the tables did it, and so is a
//!   changed or missing seal.
//! - Secrets are masked by their type, details are small and no documents (ASVS 16.2.5).
//!
//! What nobody can see in the database alone:
//! - That an entry was changed or removed *before it was sealed*.
//! - That somebody with the rights of the database's owner has *made a whole chain anew*, or cut off its end and everything that tells of
//!   it. Anchored roots show it: what was exported can't be rewritten any more. Export often; [`Upkeep`](crate::Upkeep) does every hour.
//! - That an entry is *false*: who can write as the app can write what the app could. One that is given an earlier time shows as
//!   [`Finding::Misdated`] if it is off by more than ten minutes.
//!
//! # Metrics
//! `audit.written`, `audit.buffered`, `audit.lost`, `audit.sealed`, `audit.sealer.fenced`, `audit.unsealed.age`. A lost event and an age
//! that grows are worth an alarm.

mod chain;
mod cli;
mod config;
mod crossing;
mod entry;
mod export;
mod handle;
mod metrics;
mod prune;
mod read;
mod sealer;
mod transaction;
mod verify;
mod writer;

pub use crate::audit_event::{AuditEvent, Detail, Outcome};
pub use chain::{Digest, InvalidDigest};
pub use cli::cli;
pub use config::Config;
pub(crate) use export::each_root;
pub use export::{Export, Root, roots};
pub use handle::{Audit, Durable};
pub(crate) use metrics::count_written;
pub use prune::{Pruned, prune};
pub use read::{Recorded, recent};
pub use sealer::Sealer;
pub use transaction::AuditTx;
pub(crate) use transaction::{append, append_by_system};
pub use verify::{Finding, Report, Verify};
pub use writer::{Flushed, Writer};

/// Whose chain those entries are in that belong to no tenant: the UUID of zeros.
pub const NO_TENANT: shared_core::TenantId = entry::NO_TENANT;

#[cfg(test)]
pub(crate) const STATEMENTS: [&[(&str, &dyn shared_db::Check)]; 4] =
    [entry::STATEMENTS, export::STATEMENTS, prune::STATEMENTS, read::STATEMENTS];
#[cfg(test)]
pub(crate) use {sealer::STATEMENTS as SEALER_STATEMENTS, verify::STATEMENTS as VERIFY_STATEMENTS};

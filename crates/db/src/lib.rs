//! Postgres that cannot leak a tenant or a cancelled query.
//!
//! ```no_run
//! use shared_core::{AssumedTenant, Id, TenantId};
//! use shared_db::{Config, Db, MigrationSet, Row, Step, bootstrap, statements};
//!
//! #[derive(Row)]
//! struct Note {
//!     id: Id<Note>,
//!     body: String,
//! }
//!
//! const MIGRATIONS: MigrationSet = MigrationSet::new("notes", &[Step::sql(1, "note", "
//!     create table notes.note (
//!         tenant_id uuid not null, id uuid not null, body text not null, primary key (tenant_id, id));
//!     select shared_db.tenant_table('notes.note');")])
//!     .requires(&["shared_db"]);
//!
//! statements! {
//!     const INSERT: Statement<(Id<Note>, String), Note> = "
//!         insert into notes.note (tenant_id, id, body) values ($tenant, $1, $2) returning id, body";
//! }
//!
//! # async fn run() -> Result<(), shared_db::Error> {
//! let config = Config::new("postgres://localhost/notes");
//! bootstrap(&config, &[MIGRATIONS]).await?;
//! let db = Db::connect(&config).await?;
//! let tenant = AssumedTenant::new(TenantId::new(), "an example has no token");
//!
//! // One statement, one round trip:
//! let note: Note = db.tenant(&tenant).one(&INSERT, (Id::new(), "first")).await?;
//! // Several that belong together:
//! db.tenant(&tenant).tx(async |tx| tx.one(&INSERT, (Id::new(), "second")).await).await?;
//! # Ok(()) }
//! ```
//!
//! # The ideas
//! - [`Db`] runs nothing by itself; its doors do. [`Db::tenant`] takes a proof, so the tenant comes from there and from
//!   nowhere else; [`Db::untenanted`] shows no tenant's row; [`Db::system`] sees the family's own tables alone.
//!   [`Db::across_tenants`] sees the business rows of all tenants, and reports every use with its reason.
//! - A [`Statement`] is a constant that says what goes in and what comes out; `$tenant` is bound by the door.
//!   [`testing::mismatches`] compares all of them with the schema. What a caller chooses at run time is a [`filter`].
//! - A [`TenantTx`] commits by value and rolls back by drop. What it collects [`AtCommit`] goes out with the COMMIT.
//!   [`Tenant::retrying`] runs one again that has lost to others; nothing else repeats a transaction.
//! - [`Many`] rows go into one statement as arrays, [`CopyIn`] and [`CopyOut`] are the server's binary format, and
//!   [`Streamed`] rows come one by one.
//! - A [`MigrationSet`] travels with its crate; [`bootstrap`] applies them all, under one lock.
//!   [`migration`] plans them, checks a database against them, and finds what was changed by hand.
//! - Rows that are only ever added are read by [`cut`]: each exactly once, however late it was committed.
//! - A read may be answered by a replica that is far enough for it: [`Tenant::consistency`]. [`Db::listen`] hears
//!   notifications, on a connection that is opened again whenever it is lost.
//! - [`doctor`] looks at a live database, and [`testing::probe_isolation`] tries to get past the tenants of yours.
//! - A [`Collection`](vector::Collection) finds texts by meaning, per tenant, with deduplicated embeddings.
//!
//! # What is guaranteed
//! - Row-level security is on and forced for every table made with `shared_db.tenant_table`, and the roles in use obey it:
//!   [`Db::connect`] refuses otherwise. Without a tenant set, no row shows.
//! - A future that is dropped, panics or times out at any await never hands on a connection with an open transaction, a
//!   tenant, a lock, a temporary table or a running query: the query is cancelled and the connection closed.
//! - It is the connection that is safe, not the effect: a dropped write may have been committed. When the connection breaks
//!   at COMMIT, the error says that the outcome is unknown.
//! - A transaction in which a statement failed is never committed, even if its error was swallowed.
//! - Nobody waits for ever: not for a connection, not for a statement, not for a server that hangs. [`Db::close`] waits, cancels,
//!   ends, and reports what it had to cut.
//! - Another machine is spoken to encrypted, its certificate and name verified; profile `production` accepts nothing less.
//! - Behind a pooler in transaction mode ([`Config::pooler`]) all of this holds but COPY, and migrations and LISTEN go past it.
//! - A statement is trusted code: it does not compile where it begins with SET or BEGIN, takes a lock of the session or makes a temporary
//!   table, but what a function does that it calls nobody looks at.
//!
//! # Errors
//! One [`Error`]; ask it [`is_retryable`](Error::is_retryable) or [`is_unique_violation`](Error::is_unique_violation). It
//! shows no parameter, no row and no password, and neither the server's DETAIL nor its HINT.
//!
//! # Features
//! `redis`, off by default: the module `redis`, one connection that everybody shares and a pool of others, to a server, a
//! cluster, or the master that sentinels watch.

mod address;
mod at_commit;
mod audit;
mod batch;
mod binary;
mod bootstrap;
mod config;
mod copy;
pub mod cut;
mod db;
mod describe;
mod direct;
mod doctor;
mod door;
mod error;
pub mod filter;
mod lent;
mod listen;
mod lsn;
mod metrics;
pub mod migration;
mod operation;
mod params;
mod pool;
mod reaper;
#[cfg(feature = "redis")]
pub mod redis;
mod replicas;
mod row;
mod run;
mod safety;
mod spans;
#[doc(hidden)]
pub mod statement;
mod stream;
mod tenant;
mod tenant_tx;
pub mod testing;
mod transaction;
pub mod vector;

pub use at_commit::AtCommit;
pub use audit::Crossing;
pub use batch::Many;
pub use bootstrap::{Applied, AppliedStep, MIGRATIONS, bootstrap};
pub use config::{Config, Roles};
pub use copy::{Copied, CopyIn, CopyOut, Copying};
pub use db::{Closed, Db, Status};
pub use doctor::{Finding, Report, Severity, doctor};
pub use door::{Door, Tx};
pub use error::{Cause, Error};
pub use listen::{Listener, Notice};
pub use lsn::{Lsn, ParseLsnError};
pub use migration::{MigrationSet, Step, fingerprint};
pub use params::{BindsTo, Declared, Params};
#[doc(hidden)]
pub use postgres_types::FromSql;
pub use replicas::Consistency;
pub use row::{Column, Columns, Row};
pub use shared_core_derive::Row;
pub use statement::{Bound, Check, Statement};
pub use stream::Streamed;
pub use tenant::Tenant;
pub use tenant_tx::TenantTx;
pub use transaction::{Isolation, Retrying};

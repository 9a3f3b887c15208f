//! Search by meaning, per tenant: texts with their embeddings, deduplicated by content.
//!
//! ```no_run
//! use shared_core::{Id, InTenant};
//! use shared_db::vector::{Collection, Definition};
//! use shared_db::{Db, Error, MigrationSet, Step};
//!
//! struct Note;
//!
//! const NOTES: Definition<Note> = Definition::new("notes.note_vector", 384);
//! const MIGRATIONS: MigrationSet =
//!     MigrationSet::new("notes", &[Step::collection(1, "note_vector", &NOTES)]).requires(&["shared_db"]);
//!
//! async fn example(db: &Db, proof: &impl InTenant, note: Id<Note>) -> Result<(), Error> {
//!     let notes = Collection::open(db, &NOTES).await?;
//!     notes.tenant(proof).upsert([(note, "rotate the signing keys")]).await?;
//!     let hits = notes.tenant(proof).search("key rotation").k(5).await?;
//!     println!("{} hits in {:?}", hits.items.len(), hits.took);
//!     Ok(())
//! }
//! ```
//!
//! # How a search is answered
//! Under row-level security an HNSW index finds the nearest of *everybody's* vectors and then drops those of others, so
//! a small tenant may be left with nothing. Tenants of up to 10,000 vectors are therefore scanned exactly, which takes
//! milliseconds and misses nothing; larger ones go through the index, with an iterative scan, and a result that is
//! shorter than what the tenant has is asked again exactly. [`Hits`] say which way it went.
//!
//! # Storage
//! Two tables per collection: `<name>` holds one embedding per tenant and content, `<name>_item` the texts that refer
//! to it. A text that is already there is neither embedded nor written again.

mod collection;
mod definition;
mod embedder;
mod embedding;
mod hashing;
mod search;
mod upsert;

pub use collection::{Collection, TenantCollection};
pub use definition::Definition;
pub use embedder::Embedder;
pub use embedding::Embedding;
pub use hashing::Hashing;
pub use search::{Hit, Hits, Recall, Route, Search};
pub use upsert::Upserted;

pub(crate) use definition::Tables;

//! Multi-tenant semantic search over documents, end to end in one process.
//!
//! ```sh
//! cargo run -p quickstart                      # the crates of this machine's cargo registry, a tenant each
//! cargo run -p quickstart -- --once DIR        # the folders of a directory, and no search page afterwards
//! cargo run -p quickstart -- --queues redis    # jobs in Redis in place of the database
//! cargo run -p quickstart -- --events nats     # events through NATS, or a Redis, in place of straight from the log
//! ```
//!
//! # The ideas
//! - [`service()`] is a service as anybody would write one: `PUT /documents/{id}` commits the row, the event and the job
//!   together; the job cuts the document into chunks and embeds them; a consumer of the event keeps each tenant's digest;
//!   `GET /search` finds what the tenant of the token has.
//! - [`run`] starts a private PostgreSQL and that service, and is then its client over HTTP, as any other program would be.
//! - Ids follow from names: a tenant's from its name, a document's from its tenant and path. So a run that was killed is
//!   simply started again, and does what is left to do.
//!
//! # What a run shows
//! How long everything took; three searches; that no tenant finds what is another's; one document's way as a trace; and,
//! unless it is to end, a search page.
//!
//! # Guarantees and limits
//! No document is lost, no chunk is doubled, and every event takes effect once, whenever the program is killed. It signs its
//! tenants' tokens itself, with the development key, and the page hands them out: it is for the developer's own machine.

mod arguments;
mod chunk;
mod client;
mod corpus;
mod embedder;
mod launch;
mod plan;
mod report;
mod run;
mod searches;
mod service;
mod settle;
mod summary;
mod upload;
mod way;

pub use arguments::{Arguments, EmbedderName, EventsName, QueuesName, USAGE};
pub use run::{End, run};
pub use service::{
    App, Digest, Document, Found, FoundPart, MATRIX, Outcome, ReadDocuments, Settings, Status, Stored,
    Upload, WriteDocuments, document_id, parts, service, tenant_id,
};

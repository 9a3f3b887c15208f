//! Notes: one table, one job, one event, one search. Everything is tenant-safe, traced, and exactly once in effect.
//!
//! ```sh
//! cargo run -p shared-devkit -- up      # prints DATABASE_URL=..; export it
//! cargo run -p notes
//! ```

mod digest;
mod index;
mod note;
mod search;

use shared_service::prelude::*;

pub use digest::NoteCreated;
pub use index::IndexNote;
pub use note::{NewNote, Note};

/// Settings of this service. Every crate's own settings nest here, so one report and one `.env.example` cover all.
#[derive(Config)]
#[config(prefix = "NOTES")]
pub struct Settings {
    /// Ports, budgets, profile.
    pub service: shared_service::Config,
    /// `DATABASE_URL`.
    pub db: shared_service::db::Config,
    /// The worker.
    pub queues: shared_service::queues::Config,
    /// The relay.
    pub events: shared_service::events::Config,
    /// Whose tokens are believed.
    pub security: shared_service::security::Config,
    /// What is logged, and where traces go.
    pub telemetry: shared_service::telemetry::Config,
}

permissions! {
    /// What a token may allow here.
    pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" }
}

const NOTES: Definition<Note> = Definition::new("notes.note_vector", 384);

/// The tables of this service.
pub const MIGRATIONS: MigrationSet = MigrationSet::new(
    "notes",
    &[
        Step::sql(1, "note", include_str!("../migrations/0001_note.sql")),
        Step::collection(2, "note_vector", &NOTES),
    ],
)
.requires(&["shared_db"]);

/// What handlers may ask for by `State<..>`.
#[derive(Clone, FromRef)]
pub struct App {
    db: Db,
    notes: Collection<Note>,
}

impl App {
    async fn open(start: Start<Settings>) -> Result<App, Failure> {
        Ok(App { notes: Collection::open(&start.db, &NOTES).await?, db: start.db })
    }
}

/// The whole service: `main` runs it, tests start it.
pub fn service() -> Service<Settings, App> {
    Service::open("notes", App::open)
        .version(env!("CARGO_PKG_VERSION"))
        .migrations(MIGRATIONS)
        .permissions(&MATRIX)
        .jobs(|jobs| jobs.handle(index::index_note))
        .consumers(|events| events.handle("digest", digest::digest))
        .routes(Router::new().route("/notes", post(note::create)).route("/notes/search", get(search::search)))
}

//! The service: documents come in over HTTP, are indexed by a job, counted by a consumer, and found by their meaning.

mod activity;
mod development;
mod digest;
mod directory;
mod documents;
mod index;
mod page;
mod search;
mod status;

use std::sync::Arc;

use shared_service::db::vector::Embedder;
use shared_service::prelude::*;
use shared_service::security::{By, Error, InProcess, Limit, Limiter, Rule};

pub(crate) use activity::{Activity, Done};
pub(crate) use directory::register;
pub use directory::tenant_id;
pub use documents::{Document, Outcome, Stored, Upload, document_id};
pub use index::parts;
pub use search::{Found, FoundPart};
pub(crate) use status::Both;
pub use status::{Digest, Status};

/// Settings of the quickstart. All have defaults but the database, which the program starts itself.
#[derive(Clone, Config)]
#[config(prefix = "QUICKSTART")]
pub struct Settings {
    /// Where it listens, and how it ends.
    pub service: shared_service::Config,
    /// The database.
    pub db: shared_service::db::Config,
    /// The jobs.
    pub queues: shared_service::queues::Config,
    /// The events.
    pub events: shared_service::events::Config,
    /// The tokens.
    pub security: shared_service::security::Config,
    /// Logs and traces.
    pub telemetry: shared_service::telemetry::Config,
}

permissions! {
    pub static MATRIX = "quickstart" { ReadDocuments = "documents:read", WriteDocuments = "documents:write" }
}

/// The chunks of all documents, by their meaning.
pub(crate) static CONTENT: Definition<Document> = Definition::new("quickstart.content", 384);

/// The tables.
pub(crate) const MIGRATIONS: MigrationSet = MigrationSet::new("quickstart", STEPS).requires(&["shared_db"]);

const STEPS: &[Step] = &[
    Step::sql(1, "document", include_str!("../migrations/0001_document.sql")),
    Step::collection(2, "content", &CONTENT),
];

/// What handlers may ask for.
#[derive(Clone, FromRef)]
pub struct App {
    db: Db,
    content: Collection<Document>,
    activity: Arc<Activity>,
    settings: Arc<Settings>,
}

impl App {
    async fn open(start: Start<Settings>, embedder: Arc<dyn Embedder>) -> Result<App, Failure> {
        let content = Collection::open_with(&start.db, &CONTENT, embedder).await?;
        Ok(App { db: start.db, content, activity: Arc::default(), settings: start.settings })
    }

    /// What jobs and consumers have done since the start.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

/// The whole service, with this embedder of 384 dimensions.
pub fn service(embedder: Arc<dyn Embedder>) -> Service<Settings, App> {
    Service::open("quickstart", move |start| App::open(start, embedder))
        .version(env!("CARGO_PKG_VERSION"))
        .migrations(MIGRATIONS)
        .permissions(&MATRIX)
        .audited()
        .limits(|_| limiter())
        .jobs(|jobs| jobs.handle(index::index))
        .consumers(|events| events.handle("digest", digest::count))
        .routes(
            Router::new()
                .route("/documents/{id}", put(documents::upload).get(documents::read))
                .route("/search", get(search::search))
                .route("/status", get(status::status)),
        )
        .routes(page::routes())
        .routes(development::routes())
}

/// So much a tenant may ask: more than this program does, and no more than leaves something for the others.
fn limiter() -> Result<Limiter<InProcess>, Error> {
    let tenant = Rule::new("tenant", &[By::Tenant], Limit::per_second(1_000).burst(2_000));
    Limiter::new(InProcess::new(10_000), [tenant])
}

#[cfg(test)]
mod tests {
    use shared_service::db::testing::mismatches;
    use shared_service::db::vector::Hashing;
    use shared_service::testing::TestService;

    use super::*;

    #[tokio::test]
    async fn the_statements_fit_the_schema() {
        let app = TestService::start(service(Arc::new(Hashing::new(384)))).await;
        for statements in [
            digest::STATEMENTS,
            directory::STATEMENTS,
            documents::STATEMENTS,
            index::STATEMENTS,
            search::STATEMENTS,
            status::STATEMENTS,
        ] {
            assert_eq!(
                mismatches(app.db(), statements).await.expect("the database answers"),
                Vec::<String>::new()
            );
        }
    }
}

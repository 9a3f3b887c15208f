//! The job: a document is cut into chunks, these are embedded, and a search finds them.

use shared_service::prelude::*;

use super::{App, Document};
use crate::chunk;

statements! {
    const TEXT: Statement<(Id<Document>,), (i64, String)> = "
        select version, text from quickstart.document where tenant_id = $tenant and id = $1";
    // Touches no row if another version has come in the meantime.
    const INDEXED: Statement<(Id<Document>, i64), ()> = "
        update quickstart.document set indexed = version
         where tenant_id = $tenant and id = $1 and version = $2";
}

/// Index this document as it is when the job runs.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "content:index", retry = "exponential", timeout = "10m")]
pub(super) struct IndexDocument {
    /// The document.
    pub document: Id<Document>,
}

/// The parts of a document's text, which are what a search finds.
pub fn parts(text: &str) -> Vec<String> {
    chunk::chunks(text).map(str::to_owned).collect()
}

/// How long a job may go on when its worker is to stop: most are done by then, and it is half of what a service takes to drain.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn index(job: IndexDocument, cx: JobContext, State(app): State<App>) -> Result<(), Failure> {
    app.activity.job_began();
    tokio::select! {
        done = index_latest(job.document, &cx, &app) => done,
        // Nothing of it was written, or all: the next worker begins again.
        () = out_of_time(&cx) => Err(Failure::retry_in(Duration::ZERO, "the worker stops before the document is embedded")),
    }
}

async fn out_of_time(cx: &JobContext) {
    cx.cancelled().await;
    tokio::time::sleep(PATIENCE).await;
}

async fn index_latest(document: Id<Document>, cx: &JobContext, app: &App) -> Result<(), Failure> {
    let (tenant, content) = (app.db.tenant(cx), app.content.tenant(cx));
    while let Some((version, text)) = tenant.opt(&TEXT, (document,)).await? {
        let parts = parts(&text);
        let mut done = Default::default();
        if parts.is_empty() {
            content.remove([document]).await?;
        } else {
            done = content.upsert(parts.into_iter().map(|part| (document, part))).await?;
        }
        // A version that came meanwhile may have been indexed before this one was written; so this one is not the last word.
        if tenant.execute(&INDEXED, (document, version)).await? == 1 {
            app.activity.indexed(done.texts, done.reused());
            break;
        }
    }
    Ok(())
}

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

pub(super) async fn index(job: IndexDocument, cx: JobContext, State(app): State<App>) -> Result<(), Failure> {
    app.activity.job_began();
    let (tenant, content) = (app.db.tenant(&cx), app.content.tenant(&cx));
    while let Some((version, text)) = tenant.opt(&TEXT, (job.document,)).await? {
        let parts = parts(&text);
        let mut done = Default::default();
        if parts.is_empty() {
            content.remove([job.document]).await?;
        } else {
            done = content.upsert(parts.into_iter().map(|part| (job.document, part))).await?;
        }
        // A version that came meanwhile may have been indexed before this one was written; so this one is not the last word.
        if tenant.execute(&INDEXED, (job.document, version)).await? == 1 {
            app.activity.indexed(done.texts, done.reused());
            break;
        }
    }
    Ok(())
}

//! Documents come in: the row, the event and the job commit together.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shared_service::prelude::*;

use super::digest::ContentUploaded;
use super::directory::derived;
use super::index::IndexDocument;
use super::{ReadDocuments, WriteDocuments};

statements! {
    // No row comes back if nothing has changed.
    const PUT: Statement<(Id<Document>, String, String, String, String, i64), (i64, i64)> = "
        insert into quickstart.document as d (tenant_id, id, path, title, media, text, bytes, grown)
        values ($tenant, $1, $2, $3, $4, $5, $6, $6)
        on conflict (tenant_id, id) do update
           set path = excluded.path, title = excluded.title, media = excluded.media, text = excluded.text,
               bytes = excluded.bytes, grown = excluded.bytes - d.bytes, version = d.version + 1
         where (d.path, d.title, d.media, d.text)
               is distinct from (excluded.path, excluded.title, excluded.media, excluded.text)
        returning version, grown";
    const GET: Statement<(Id<Document>,), Document> = "
        select id, path, title, media, text, version, indexed = version as is_indexed
          from quickstart.document where tenant_id = $tenant and id = $1";
}

/// A document of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize, Row)]
pub struct Document {
    /// Its id.
    pub id: Id<Document>,
    /// Where it lies in the tenant's folder.
    pub path: String,
    /// Its title.
    pub title: String,
    /// What kind of file it was: `text`, `markdown`, `rust` or `html`.
    pub media: String,
    /// The words.
    pub text: String,
    /// How often it was uploaded with something new in it.
    pub version: i64,
    /// Whether a search finds this version.
    pub is_indexed: bool,
}

/// The body of an upload.
#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Where it lies in the tenant's folder.
    #[validate(length(min = 1, max = 1000))]
    pub path: String,
    /// Its title.
    #[validate(length(min = 1, max = 1000))]
    pub title: String,
    /// What kind of file it was: `text`, `markdown`, `rust` or `html`.
    #[validate(length(min = 1, max = 20))]
    pub media: String,
    /// The words.
    #[validate(length(min = 1))]
    pub text: String,
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is new: status 201.
    Created,
    /// Something in it was new.
    Replaced,
    /// It was there already, and nothing happened.
    Unchanged,
}

/// The answer to an upload.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The document.
    pub id: Id<Document>,
    /// What became of it.
    pub outcome: Outcome,
}

impl IntoResponse for Stored {
    fn into_response(self) -> Response {
        let status = if self.outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
        (status, Json(self)).into_response()
    }
}

/// The document at a path of a tenant: the same in every run.
pub fn document_id(tenant: TenantId, path: &str) -> Id<Document> {
    Id::from_uuid(derived(&["quickstart document", &tenant.to_string(), path]))
}

pub(super) async fn upload(
    may: May<WriteDocuments>,
    State(db): State<Db>,
    Path(id): Path<Id<Document>>,
    Valid(Json(new)): Valid<Json<Upload>>,
) -> Result<Stored, Problem> {
    let bytes = i64::try_from(new.text.len()).unwrap_or(i64::MAX);
    db.tenant(&may)
        .tx(async |tx| {
            let stored = tx.opt(&PUT, (id, &new.path, &new.title, &new.media, &new.text, bytes)).await?;
            let Some((version, grown)) = stored else {
                return Ok(Stored { id, outcome: Outcome::Unchanged });
            };
            let is_new = version == 1;
            tx.publish(ContentUploaded { document: id, title: new.title.clone(), is_new, grown }).await?;
            tx.enqueue(IndexDocument { document: id }).await?;
            Ok(Stored { id, outcome: if is_new { Outcome::Created } else { Outcome::Replaced } })
        })
        .await
}

pub(super) async fn read(
    may: May<ReadDocuments>,
    State(db): State<Db>,
    Path(id): Path<Id<Document>>,
) -> Result<Json<Document>, Problem> {
    db.tenant(&may).opt(&GET, (id,)).await?.map(Json).ok_or_else(Problem::not_found)
}

//! What a tenant has, in the tables and by its digest. The two agree as soon as nothing is under way.

use shared_service::prelude::*;

use super::ReadDocuments;

statements! {
    const STATUS: Statement<(), Status> = "
        select count(*) as documents, coalesce(sum(version), 0)::bigint as uploads, coalesce(sum(bytes), 0)::bigint as bytes,
               count(*) filter (where indexed < version) as unindexed,
               (select count(*) from quickstart.content_item where tenant_id = $tenant) as chunks,
               (select count(*) from quickstart.content where tenant_id = $tenant) as vectors
          from quickstart.document where tenant_id = $tenant";
    const DIGEST: Statement<(), Digest> = "
        select uploads, documents, bytes, last_title, last_at from quickstart.digest where tenant_id = $tenant";
}

/// What a tenant has.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Row)]
pub struct Status {
    /// Documents.
    pub documents: i64,
    /// Uploads with something new: as many events were published, and as many jobs enqueued.
    pub uploads: i64,
    /// Bytes of text.
    pub bytes: i64,
    /// Documents of which a search does not find the last version yet.
    pub unindexed: i64,
    /// Chunks that a search finds.
    pub chunks: i64,
    /// Different contents among them, each of which was embedded once.
    pub vectors: i64,
}

/// What the consumer has counted, event by event.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Row)]
pub struct Digest {
    /// Events that took effect.
    pub uploads: i64,
    /// Documents.
    pub documents: i64,
    /// Bytes of text.
    pub bytes: i64,
    /// The title of the document that was uploaded last.
    pub last_title: String,
    /// When it was.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_at: Option<OffsetDateTime>,
}

/// The answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Both {
    #[serde(flatten)]
    pub(crate) status: Status,
    pub(crate) digest: Digest,
}

pub(super) async fn status(may: May<ReadDocuments>, State(db): State<Db>) -> Result<Json<Both>, Problem> {
    Ok(Json(of(&db, &may).await?))
}

pub(super) async fn of(db: &Db, tenant: &impl InTenant) -> Result<Both, shared_service::db::Error> {
    let tenant = db.tenant(tenant);
    let status = tenant.one(&STATUS, ()).await?;
    Ok(Both { status, digest: tenant.opt(&DIGEST, ()).await?.unwrap_or_default() })
}

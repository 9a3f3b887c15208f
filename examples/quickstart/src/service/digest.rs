//! The event, and its consumer: what each tenant has, counted exactly once.

use std::sync::Arc;

use shared_service::prelude::*;

use super::{Activity, Document};

statements! {
    const COUNT: Statement<(i64, i64, String, OffsetDateTime), ()> = "
        insert into quickstart.digest as d (tenant_id, uploads, documents, bytes, last_title, last_at)
        values ($tenant, 1, $1, $2, $3, $4)
        on conflict (tenant_id) do update
           set uploads = d.uploads + 1, documents = d.documents + excluded.documents, bytes = d.bytes + excluded.bytes,
               last_title = case when excluded.last_at >= d.last_at then excluded.last_title else d.last_title end,
               last_at = greatest(d.last_at, excluded.last_at)";
}

/// A document was uploaded that is new, or has something new in it.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(name = "content.uploaded", version = 1, key = "document")]
pub(super) struct ContentUploaded {
    /// The document.
    pub document: Id<Document>,
    /// Its title.
    pub title: String,
    /// It was not there before.
    pub is_new: bool,
    /// How many bytes of text it has more than before.
    pub grown: i64,
}

pub(super) async fn count(
    tx: &mut TenantTx,
    uploaded: Received<ContentUploaded>,
    State(activity): State<Arc<Activity>>,
) -> Result<(), Failure> {
    let documents = i64::from(uploaded.is_new);
    tx.execute(&COUNT, (documents, uploaded.grown, &uploaded.title, uploaded.at)).await?;
    tx.after_commit(move || activity.took_effect());
    Ok(())
}

#[cfg(test)]
mod tests {
    use shared_service::events::golden;

    use super::*;

    #[test]
    fn the_event_is_as_its_schema_says() {
        let title = "The Book".to_owned();
        let uploaded = ContentUploaded { document: Id::new(), title, is_new: true, grown: 1200 };
        golden::check("schemas", &[uploaded]).unwrap();
    }
}

//! Uploads the corpus, several documents at a time.

use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shared_service::core::Failure;
use shared_service::db::Db;
use tokio::sync::mpsc;

use crate::client::{Client, TenantClient};
use crate::corpus::{Document, Media};
use crate::plan::Source;
use crate::service::{Outcome, Upload, register};

/// Documents under way at once: enough to keep the server busy while each waits for its commit, and fewer than the
/// database has connections.
const AT_ONCE: usize = 12;

/// Documents that were read and wait to be uploaded.
const WAITING: usize = 64;

/// What has become of the documents so far.
#[derive(Debug, Default)]
pub(crate) struct Uploaded(Mutex<Counts>);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) replaced: u64,
    pub(crate) unchanged: u64,
}

impl Counts {
    pub(crate) fn all(&self) -> u64 {
        self.changed() + self.unchanged
    }

    /// As many events were published, and as many jobs enqueued.
    pub(crate) fn changed(&self) -> u64 {
        self.created + self.replaced
    }
}

impl Uploaded {
    pub(crate) fn counts(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Created => counts.created += 1,
            Outcome::Replaced => counts.replaced += 1,
            Outcome::Unchanged => counts.unchanged += 1,
        }
    }
}

/// Uploads every document, each with its tenant's token. Dropping the future ends the reading as well.
///
/// # Errors
/// The first document that is refused ends it.
pub(crate) async fn upload(
    source: &Source,
    client: &Client,
    db: &Db,
    uploaded: &Uploaded,
) -> Result<(), Failure> {
    let (documents, mut received) = mpsc::channel(WAITING);
    let source = source.clone();
    let reading = tokio::task::spawn_blocking(move || -> Result<(), Failure> {
        for document in source.read()?.flatten() {
            // Nobody receives any more: the upload has ended.
            if documents.blocking_send(document).is_err() {
                break;
            }
        }
        Ok(())
    });
    let mut tenant: Option<(String, TenantClient)> = None;
    let mut under_way = FuturesUnordered::new();
    while let Some(document) = received.recv().await {
        let known = tenant.take().filter(|(name, client)| *name == document.tenant && client.is_fresh());
        let (name, client) = match known {
            Some(known) => known,
            None => {
                register(db, &document.tenant).await?;
                (document.tenant.clone(), client.tenant(&document.tenant)?)
            }
        };
        if under_way.len() == AT_ONCE {
            under_way.next().await.transpose()?;
        }
        under_way.push(one(client.clone(), document, uploaded));
        tenant = Some((name, client));
    }
    while under_way.next().await.transpose()?.is_some() {}
    reading.await?
}

async fn one(client: TenantClient, document: Document, uploaded: &Uploaded) -> Result<(), Failure> {
    let Document { tenant, path, title, text, media } = document;
    let stored = client
        .upload(&Upload { path: path.clone(), title: head(title), media: media_name(media).to_owned(), text })
        .await;
    let stored =
        stored.map_err(|failure| failure.attempting(format_args!("uploading {path} of {tenant}")))?;
    uploaded.count(stored.outcome);
    Ok(())
}

/// A title as long as the service accepts; a first heading may be of any length.
fn head(mut title: String) -> String {
    title.truncate(title.floor_char_boundary(1000));
    title
}

fn media_name(media: Media) -> &'static str {
    match media {
        Media::Text => "text",
        Media::Markdown => "markdown",
        Media::Rust => "rust",
        Media::Html => "html",
    }
}

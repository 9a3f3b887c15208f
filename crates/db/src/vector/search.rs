use std::fmt;
use std::future::IntoFuture;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Serialize;
use shared_core::Id;

use super::collection::TenantCollection;
use super::embedder::embed;
use super::embedding::Embedding;
use crate::{Error, Row};

/// Up to here a tenant is scanned exactly: on two shared cores that took 6.5 ms for 10,000 vectors of 384 numbers, with
/// a recall of 1, where the index lost up to all hits of a small tenant.
const EXACT_UP_TO: i64 = 10_000;

/// Hits at most: what fits a page of an API, and the index's own bound on its list of candidates.
const MOST: u16 = 1000;

/// How many of the truly nearest a search must find, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Recall {
    /// This share of them, from 0 to 1. Above 0.99 every search is exact.
    AtLeast(f32),
    /// All of them: the tenant's vectors are scanned, however many there are.
    Exact,
}

/// Which way a search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Route {
    /// Every vector of the tenant was compared.
    Exact,
    /// The HNSW index was asked.
    Approximate,
    /// The index was asked, had too few, and every vector was compared after all.
    ExactAfterApproximate,
}

/// What a search found, the nearest first.
#[derive(Serialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct Hits<T> {
    /// At most `k` texts. Fewer only if the tenant has no more.
    pub items: Vec<Hit<T>>,
    /// Which way the search went.
    pub route: Route,
    /// The exact nearest: nothing of the tenant was left out.
    pub complete: bool,
    /// From the call to the answer, embedding the question included.
    #[serde(serialize_with = "milliseconds", rename = "took_ms")]
    pub took: Duration,
}

/// One text that was found.
#[derive(Serialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct Hit<T> {
    /// What the text is about.
    pub id: Id<T>,
    /// Which of its parts, from 0.
    pub part: i32,
    /// The cosine similarity to the question, from -1 to 1.
    pub score: f64,
    /// The text.
    pub text: String,
}

// By hand, since a derive would ask the same of `T`.
impl<T> Clone for Hits<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), ..*self }
    }
}

impl<T> fmt::Debug for Hits<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, route, complete, took } = self;
        f.debug_struct("Hits")
            .field("items", items)
            .field("route", route)
            .field("complete", complete)
            .field("took", took)
            .finish()
    }
}

impl<T> Clone for Hit<T> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), ..*self }
    }
}

/// Without the text, which may be anybody's.
impl<T> fmt::Debug for Hit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, part, score, .. } = self;
        f.debug_struct("Hit")
            .field("id", id)
            .field("part", part)
            .field("score", score)
            .finish_non_exhaustive()
    }
}

fn milliseconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64() * 1000.0)
}

impl<T> Row for Hit<T> {
    const COLUMNS: &'static [crate::Column] = &[];

    fn from_row(row: &crate::Columns<'_>) -> Result<Self, Error> {
        let distance: f64 = row.named("distance")?;
        Ok(Self {
            id: row.named("id")?,
            part: row.named("part")?,
            score: 1.0 - distance,
            text: row.named("text")?,
        })
    }
}

impl<T> TenantCollection<T> {
    /// Looks for the texts nearest to this one in meaning. Await it, or say more first.
    pub fn search(&self, text: impl Into<String>) -> Search<'_, T> {
        Search { within: self, text: text.into(), k: 10, recall: Recall::AtLeast(0.95), deadline: None }
    }
}

/// A search being put together. See [`TenantCollection::search`].
#[must_use = "a search does nothing until it is awaited"]
pub struct Search<'a, T> {
    within: &'a TenantCollection<T>,
    text: String,
    k: u16,
    recall: Recall,
    deadline: Option<Duration>,
}

impl<'a, T: 'static> Search<'a, T> {
    /// How many hits, from 1 to 1000; 10 by default.
    pub fn k(mut self, k: u16) -> Self {
        self.k = k.clamp(1, MOST);
        self
    }

    /// How many of the truly nearest must be among the hits; 0.95 of them by default.
    pub fn recall(mut self, recall: Recall) -> Self {
        self.recall = recall;
        self
    }

    /// Gives up after this time, with an error that [`is_timeout`](Error::is_timeout). The server's statement is cancelled.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    async fn run(self) -> Result<Hits<T>, Error> {
        let Some(deadline) = self.deadline else { return self.answer().await };
        // The dropped future cancels what runs on the server.
        let late = Error::Deadline { waited: deadline };
        tokio::time::timeout(deadline, self.answer()).await.unwrap_or(Err(late))
    }

    async fn answer(mut self) -> Result<Hits<T>, Error> {
        let start = Instant::now();
        let embedder = &self.within.collection.inner.embedder;
        let question = vec![std::mem::take(&mut self.text)];
        let question = Embedding::from(embed(embedder, question).await?.swap_remove(0));
        let size = self.within.size(EXACT_UP_TO).await?;
        let (route, items) = match candidates(self.recall) {
            Some(candidates) if size > EXACT_UP_TO => {
                let found = self.approximate(&question, candidates.max(self.k)).await?;
                // The tenant has more than 10,000: a short answer is a wrong one.
                if found.len() < usize::from(self.k) {
                    (Route::ExactAfterApproximate, self.exact(&question).await?)
                } else {
                    (Route::Approximate, found)
                }
            }
            _ => (Route::Exact, self.exact(&question).await?),
        };
        Ok(Hits { items, route, complete: route != Route::Approximate, took: start.elapsed() })
    }

    async fn exact(&self, question: &Embedding) -> Result<Vec<Hit<T>>, Error> {
        const SETTINGS: &[(&str, &str)] =
            &[("plan_cache_mode", "force_custom_plan"), ("enable_seqscan", "off")];
        let sql = &self.within.collection.inner.sql;
        self.rows(SETTINGS, "SEARCH_EXACT", &sql.exact, question).await
    }

    async fn approximate(&self, question: &Embedding, candidates: u16) -> Result<Vec<Hit<T>>, Error> {
        let candidates = candidates.to_string();
        let settings = &[
            ("plan_cache_mode", "force_custom_plan"),
            ("enable_sort", "off"),
            ("hnsw.ef_search", candidates.as_str()),
            ("hnsw.iterative_scan", "relaxed_order"),
            // The iterative scan stops at this memory; the default of 4 MB loses hits.
            ("work_mem", "'64MB'"),
        ];
        let sql = &self.within.collection.inner.sql;
        self.rows(settings, "SEARCH_APPROXIMATE", &sql.approximate, question).await
    }

    async fn rows(
        &self,
        settings: &[(&'static str, &str)],
        name: &'static str,
        sql: &str,
        question: &Embedding,
    ) -> Result<Vec<Hit<T>>, Error> {
        let text = self.within.collection.inner.sql.text(name, sql);
        let tenant = self.within.tenant.clone().with_settings(settings);
        tenant.rows(&text, &(question.clone(), i64::from(self.k))).await?.all()
    }
}

impl<'a, T: 'static> IntoFuture for Search<'a, T> {
    type Output = Result<Hits<T>, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Without the text, which may be anybody's.
impl<T> fmt::Debug for Search<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("k", &self.k).field("recall", &self.recall).finish_non_exhaustive()
    }
}

/// How many candidates the index keeps for this recall, by measurement at tenant shares of 6 to 62 percent; `None` where
/// only the exact way will do.
fn candidates(recall: Recall) -> Option<u16> {
    match recall {
        Recall::AtLeast(share) if share <= 0.95 => Some(200),
        Recall::AtLeast(share) if share <= 0.99 => Some(400),
        _ => None,
    }
}

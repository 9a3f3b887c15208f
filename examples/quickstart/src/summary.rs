//! What a run has done, in words and figures: all of them measured by this run.

use std::time::Duration;

use shared_service::core::Failure;
use shared_service::telemetry::RecordedSpan;

use crate::client::Client;
use crate::launch::Times;
use crate::plan::Plan;
use crate::report::table::Table;
use crate::report::{tree, words};
use crate::searches::{Answer, Proof, percentile};
use crate::service::{Done, Status};
use crate::settle::Left;
use crate::upload::Counts;

/// Characters of a line of a hit.
const WIDTH: usize = 100;

/// Hits that are shown of each answer.
const HITS: usize = 3;

/// Everything that the table shows.
pub(crate) struct Summary<'a> {
    pub(crate) embedder: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) counts: Counts,
    pub(crate) done: Done,
    pub(crate) left: Left,
    pub(crate) totals: Totals,
    pub(crate) searches: &'a [Duration],
    pub(crate) times: Times,
}

/// What the tenants of this corpus have in the database, counted over HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    documents: u64,
    chunks: u64,
    vectors: u64,
    uploads: u64,
    effects: u64,
}

impl Totals {
    /// Asks each tenant.
    pub(crate) async fn of(client: &Client, plan: &Plan) -> Result<Self, Failure> {
        let mut totals = Self::default();
        for share in &plan.tenants {
            let both = client.tenant(&share.name)?.status().await?;
            let Status { documents, chunks, vectors, uploads, .. } = both.status;
            totals.documents += documents.unsigned_abs();
            totals.chunks += chunks.unsigned_abs();
            totals.vectors += vectors.unsigned_abs();
            totals.uploads += uploads.unsigned_abs();
            totals.effects += both.digest.uploads.unsigned_abs();
        }
        Ok(totals)
    }

    /// Every event took effect, and none twice.
    pub(crate) fn is_exactly_once(&self) -> bool {
        self.uploads == self.effects
    }
}

impl Summary<'_> {
    /// The table.
    pub(crate) fn table(&self) -> String {
        let Self { counts, done, left, totals, times, .. } = self;
        let tenants = words::counted(self.plan.tenants.len() as u64, "tenant");
        let mut table = Table::new(format!("This run, with {}", self.embedder));
        let new =
            format!("{} new, {} changed, {} as they were", counts.created, counts.replaced, counts.unchanged);
        table.row("documents", words::count(counts.all()), format!("of {tenants}: {new}"));
        let all = format!("of {} that a search finds now", words::count(totals.chunks));
        table.row("chunks indexed", words::count(done.chunks), all);
        let shared = totals.chunks.saturating_sub(totals.vectors);
        let doubled =
            format!("not embedded again; in all {} share the vector of another", words::count(shared));
        table.row("duplicates skipped", words::count(done.duplicates), doubled);
        let (jobs, remark) = self.jobs();
        table.row("jobs per second", jobs, remark);
        table.row(
            "events published",
            words::count(counts.changed()),
            format!("{} in all", words::count(totals.uploads)),
        );
        let once = if totals.is_exactly_once() { "each event once" } else { "NOT one for each event" };
        let effects = format!("{} in all: {once}", words::count(totals.effects));
        table.row("effects", words::count(done.effects), effects);
        if left.dead + left.parked > 0 {
            let failed = format!(
                "{} and {} are put aside",
                words::counted(left.dead, "job"),
                words::counted(left.parked, "event")
            );
            table.row("failed for good", words::count(left.dead + left.parked), failed);
        }
        let count = self.searches.len();
        table.row(
            "search p50",
            words::time(percentile(self.searches, 0.50)),
            format!("over HTTP, {count} one after the other"),
        );
        table.row(
            "search p95",
            words::time(percentile(self.searches, 0.95)),
            "embedding the question included",
        );
        let parts = [("embedder", times.embedder), ("database", times.database), ("service", times.service)];
        let parts = parts.map(|(part, time)| format!("{part} {}", words::time(time)));
        table.row("start-up", words::time(times.all()), parts.join(", "));
        table.render()
    }

    fn jobs(&self) -> (String, String) {
        match words::rate(self.done.jobs, self.done.working) {
            Some(rate) => {
                let chunks = words::rate(self.done.chunks, self.done.working).unwrap_or_default();
                (
                    rate,
                    format!(
                        "{} in {}, {chunks} chunks/s",
                        words::counted(self.done.jobs, "job"),
                        words::time(self.done.working)
                    ),
                )
            }
            None => ("–".to_owned(), "nothing to do: everything was indexed already".to_owned()),
        }
    }
}

/// Some answers with their first hits.
pub(crate) fn answers(answers: &[&Answer]) -> String {
    answers.iter().map(|answer| shown(answer)).collect::<Vec<_>>().join("\n")
}

fn shown(Answer { tenant, question, found, .. }: &Answer) -> String {
    let took = words::time(Duration::from_secs_f64(found.took_ms.max(0.0) / 1e3));
    let mut text =
        format!("“{}” as {tenant}  ({} search, {took})\n", words::line(question, WIDTH), found.route);
    for hit in found.items.iter().take(HITS) {
        let title = if hit.title == hit.path { String::new() } else { format!("{} · ", hit.title) };
        let title = words::line(&format!("{title}{}, part {}", hit.path, hit.part + 1), WIDTH);
        text += &format!("  {:.3}  {title}\n         {}\n", hit.score, words::line(&hit.text, WIDTH));
    }
    text
}

/// What was proved, a line each.
pub(crate) fn proofs(proofs: &[Proof]) -> String {
    proofs.iter().map(|proof| format!("  {} {}\n", if proof.holds { "✓" } else { "✗" }, proof.what)).collect()
}

/// The trace.
pub(crate) fn way(spans: &[RecordedSpan]) -> String {
    if spans.is_empty() {
        return "  The settings record no traces.\n".to_owned();
    }
    tree::draw(spans).lines().map(|line| format!("  {line}\n")).collect()
}

/// What the corpus is, and what can't be used of it.
pub(crate) fn plan(plan: &Plan) -> String {
    let (documents, tenants) =
        (words::counted(plan.documents, "document"), words::counted(plan.tenants.len() as u64, "tenant"));
    let mut text = format!("corpus: {documents} of {tenants}, {}", words::counted(plan.chunks, "chunk"));
    if plan.without_text > 0 {
        text += &format!("; nothing to read in {}", words::counted(plan.without_text, "file"));
    }
    for skipped in plan.unusable.iter().take(SHOWN) {
        text += &format!(
            "\n  skipped: {} {}",
            words::line(&skipped.path.display().to_string(), 200),
            skipped.reason
        );
    }
    if plan.unusable.len() > SHOWN {
        text += &format!("\n  skipped: {} more", plan.unusable.len() - SHOWN);
    }
    text
}

/// Skipped files that are named.
const SHOWN: usize = 50;

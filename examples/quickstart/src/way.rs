//! One document's way, from the request to its last effect, as a trace.

use std::time::Duration;

use shared_service::Running;
use shared_service::core::{Failure, trace};
use shared_service::telemetry::{RecordedSpan, Recorder};
use time::OffsetDateTime;
use tracing::{Instrument, info_span};

use crate::client::Client;
use crate::report::words;
use crate::service::{App, Upload, register};
use crate::settle;
use crate::upload::Counts;

/// The tenant of the program itself.
const TENANT: &str = "this program";

/// The spans of its effects. Where jobs are not in the database, there is a third one: of the relay that brings them there.
const EFFECTS: [&str; 2] = ["process content:index", "process content.uploaded"];

/// Spans are recorded when they end, which is a moment after the commit that they are about.
const PATIENCE: Duration = Duration::from_secs(5);

/// Uploads a note about this run, when nothing else is under way, and returns the spans of its trace: the last is that of the
/// later one of its two effects. Empty if the settings do not record traces.
pub(crate) async fn of_a_note(
    running: &Running<App>,
    client: &Client,
    recorder: &Recorder,
    counts: Counts,
) -> Result<Vec<RecordedSpan>, Failure> {
    register(running.db(), TENANT).await?;
    let note = note(counts);
    let span = info_span!("a note about this run");
    let position = span.in_scope(trace::current);
    client.tenant(TENANT)?.upload(&note).instrument(span).await?;
    settle::settled(running).await?;
    let Some(position) = position.filter(|position| position.is_sampled()) else { return Ok(Vec::new()) };
    let complete = async {
        loop {
            let spans = recorder.trace(position.trace_id());
            if EFFECTS.iter().all(|effect| spans.iter().any(|span| span.name == *effect)) {
                return spans;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let spans = tokio::time::timeout(PATIENCE, complete).await;
    Ok(spans.unwrap_or_else(|_| recorder.trace(position.trace_id())))
}

fn note(counts: Counts) -> Upload {
    let Counts { created, replaced, unchanged } = counts;
    let text = format!(
        "At {} a run of the quickstart found {}: {created} new, {replaced} changed, {unchanged} as they were.",
        OffsetDateTime::now_utc(),
        words::counted(counts.all(), "document"),
    );
    Upload {
        path: "last-run.txt".to_owned(),
        title: "The last run".to_owned(),
        media: "text".to_owned(),
        text,
    }
}

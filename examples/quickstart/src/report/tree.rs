//! One trace, drawn as a tree with a time line: what caused what, when it began, and how long it took.

use std::time::{Duration, SystemTime};

use shared_service::telemetry::RecordedSpan;

use super::words;

/// Characters of the time line.
const LINE: usize = 32;

/// The lines of the tree. A span whose parent is not among the spans is a root.
pub(crate) fn draw(spans: &[RecordedSpan]) -> String {
    let Some(begin) = spans.iter().map(|span| span.start).min() else { return String::new() };
    let whole = spans.iter().map(|span| since(begin, span.start) + span.duration).max().unwrap_or_default();
    let is_root = |span: &&RecordedSpan| {
        span.parent.is_none_or(|parent| !spans.iter().any(|one| one.span_id == parent))
    };
    let mut rows = Vec::new();
    for root in in_order(spans.iter().filter(is_root)) {
        add(spans, root, "", "", &mut rows);
    }
    let widest = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    rows.iter().map(|row| row.render(begin, whole, widest)).collect()
}

struct Row<'a> {
    label: String,
    span: &'a RecordedSpan,
}

fn add<'a>(
    spans: &'a [RecordedSpan],
    span: &'a RecordedSpan,
    branch: &str,
    below: &str,
    rows: &mut Vec<Row<'a>>,
) {
    let failed = if span.is_error { " ✗" } else { "" };
    rows.push(Row { label: format!("{branch}{}{failed}", words::line(&span.name, 60)), span });
    let children = in_order(spans.iter().filter(|one| one.parent == Some(span.span_id)));
    for (at, child) in children.iter().enumerate() {
        let (branch, indent) =
            if at + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        add(spans, child, &format!("{below}{branch}"), &format!("{below}{indent}"), rows);
    }
}

fn in_order<'a>(spans: impl Iterator<Item = &'a RecordedSpan>) -> Vec<&'a RecordedSpan> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_by_key(|span| span.start);
    spans
}

fn since(begin: SystemTime, at: SystemTime) -> Duration {
    at.duration_since(begin).unwrap_or_default()
}

impl Row<'_> {
    fn render(&self, begin: SystemTime, whole: Duration, widest: usize) -> String {
        let start = since(begin, self.span.start);
        let place =
            |time: Duration| (time.as_secs_f64() / whole.as_secs_f64().max(1e-9) * LINE as f64) as usize;
        let from = place(start).min(LINE - 1);
        let to = place(start + self.span.duration).clamp(from + 1, LINE);
        let line = format!("{}{}{}", "·".repeat(from), "━".repeat(to - from), "·".repeat(LINE - to));
        let (start, took) = (words::time(start), words::time(self.span.duration));
        format!("{:<widest$}  {line}  {:>9}  {took:>8}\n", self.label, format!("+{start}"))
    }
}

#[cfg(test)]
mod tests {
    use shared_service::telemetry::{Config, Recorder, ServiceInfo, Telemetry};
    use tracing::info_span;

    use super::*;

    #[test]
    fn causes_stand_above_their_effects() {
        let recorder = Recorder::new(10);
        let telemetry = Telemetry::builder(ServiceInfo::new("tree", "1")).recorder(&recorder);
        let telemetry = telemetry.build(&Config::default()).unwrap();
        tracing::dispatcher::with_default(&telemetry.dispatch(), || {
            let request = info_span!("request").entered();
            info_span!("transaction").in_scope(|| info_span!("statement").in_scope(|| {}));
            info_span!("effect", otel.status_code = "ERROR").in_scope(|| {});
            drop(request);
        });
        let drawn = draw(&recorder.spans());
        let labels: Vec<&str> =
            drawn.lines().map(|line| line.split("  ━").next().unwrap().trim_end()).collect();
        let labels: Vec<&str> =
            labels.iter().map(|label| label.split("  ·").next().unwrap().trim_end()).collect();
        assert_eq!(labels, ["request", "├─ transaction", "│  └─ statement", "└─ effect ✗"]);
        let widths: Vec<usize> = drawn.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{drawn}");
    }

    #[test]
    fn no_span_draws_nothing() {
        assert_eq!(draw(&[]), "");
    }
}

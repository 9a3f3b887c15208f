//! The bridge of `shared_core::trace` to the spans of this crate.

use shared_core::{TraceParent, trace};
use shared_telemetry::Config;
use tracing::{Instrument, info_span};

use crate::support::Watched;

const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_stored_position_becomes_the_parent() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let remote: TraceParent = REMOTE.parse().unwrap();
    // Even while another span runs, as it does in a worker's loop.
    let worker = info_span!("worker");
    let job = worker.in_scope(|| trace::continuing(Some(remote), || info_span!("job")));
    job.in_scope(|| info_span!("inner").in_scope(|| ()));
    drop((job, worker));

    let spans = watched.recorder.trace(remote.trace_id());
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["job", "inner"]);
    assert_eq!(spans[0].parent, Some(remote.span_id()));
    assert_eq!(spans[1].parent, Some(spans[0].span_id));
}

#[test]
fn without_a_position_a_trace_begins() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    info_span!("worker").in_scope(|| drop(trace::continuing(None, || info_span!("job"))));
    let spans = watched.recorder.spans();
    assert_eq!((spans[0].name.as_str(), spans[0].parent), ("job", None));
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
}

#[tokio::test]
async fn the_current_position_is_that_of_the_running_span() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    assert_eq!(trace::current(), None);
    let entered = info_span!("entered").in_scope(trace::current).unwrap();
    let instrumented = async {
        tokio::task::yield_now().await;
        trace::current()
    }
    .instrument(info_span!("instrumented"))
    .await
    .unwrap();
    assert_eq!(trace::current(), None);
    let spans = watched.recorder.spans();
    for (span, position) in spans.iter().zip([entered, instrumented]) {
        assert_eq!((span.trace_id, span.span_id), (position.trace_id(), position.span_id()));
        assert!(position.is_sampled());
    }
}

#[test]
fn a_retry_links_what_it_continues() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let remote: TraceParent = REMOTE.parse().unwrap();
    info_span!("retry").in_scope(|| trace::link(remote));
    assert_eq!(watched.recorder.spans()[0].links, [remote]);
}

#[test]
fn what_the_caller_does_not_record_is_not_recorded_but_has_its_ids() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let unsampled: TraceParent = REMOTE.replace("-01", "-00").parse().unwrap();
    trace::continuing(Some(unsampled), || info_span!("job")).in_scope(|| {
        tracing::info!("line");
        assert_eq!(trace::current().unwrap().trace_id(), unsampled.trace_id());
        assert!(!trace::current().unwrap().is_sampled());
    });
    assert_eq!(watched.recorder.spans(), []);
    assert_eq!(watched.lines.json()[0]["trace_id"], format!("{:032x}", unsampled.trace_id()));
}

#[test]
fn a_span_is_an_error_if_it_says_so_and_not_because_of_a_line() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    info_span!("fine").in_scope(|| tracing::error!(error = "a warning in disguise", "line"));
    let failed = info_span!("failed", otel.status_code = tracing::field::Empty);
    failed.record("otel.status_code", "ERROR");
    drop(failed);
    let errors: Vec<_> = watched.recorder.spans().iter().map(|span| span.is_error).collect();
    assert_eq!(errors, [false, true]);
}

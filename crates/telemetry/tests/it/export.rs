//! Export to a collector, and what becomes of it when the collector does not behave.

use std::process::Command;
use std::time::{Duration, Instant};

use shared_devkit::Collector;
use shared_devkit::otlp::{Fault, MetricData, SpanKind, Status, Temporality};
use shared_telemetry::{Config, ServiceInfo, ShutdownReport, Telemetry};
use tracing::{field, info_span};

fn start(config: &Config) -> Telemetry {
    Telemetry::builder(ServiceInfo::new("notes", "1.2.3")).log_writer(std::io::sink()).build(config).unwrap()
}

fn make_spans(telemetry: &Telemetry, count: usize) {
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        for _ in 0..count {
            info_span!("work").in_scope(|| ());
        }
    });
}

/// The collector runs on the runtime of the test, which has one thread: a flush that blocked it would never end.
fn to(collector: &Collector) -> Config {
    Config { otlp_endpoint: Some(collector.endpoint().to_owned()), ..Config::default() }
}

async fn shutdown(telemetry: Telemetry, deadline: Duration) -> (ShutdownReport, Duration) {
    let began = Instant::now();
    let report = telemetry.shutdown(deadline).await;
    (report, began.elapsed())
}

#[tokio::test]
async fn what_fits_the_queue_arrives_before_the_end() {
    let collector = Collector::start().await.unwrap();
    let telemetry = start(&Config { span_queue: 10_000, ..to(&collector) });
    make_spans(&telemetry, 10_000);
    let (report, _) = shutdown(telemetry, Duration::from_secs(30)).await;
    assert!(report.is_complete() && report.in_time, "{report}");
    assert_eq!(report.spans_exported, 10_000);

    let spans = collector.spans();
    assert_eq!(spans.len(), 10_000);
    assert!(spans.iter().all(|span| span.name == "work" && span.resource["service.name"] == "notes"));
    let exported = collector.metric(|metric| metric.name == "otel.sdk.exporter.span.exported").await;
    assert_eq!(exported.value(), Some(10_000.0));
    assert_eq!(exported.resource["service.name"], "notes");
    let requests = collector.requests();
    assert!(requests.iter().all(|request| request.headers["content-type"] == "application/x-protobuf"));
    assert!(requests.iter().all(|request| !request.headers.contains_key("x-from-environment")));
}

#[tokio::test]
async fn a_span_arrives_as_it_was_made() {
    let collector = Collector::start().await.unwrap();
    let telemetry = start(&to(&collector));
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let outer = info_span!("outer", otel.kind = "server", rows = 3, otel.status_code = field::Empty);
        outer.in_scope(|| info_span!("inner", cached = true).in_scope(|| ()));
        outer.record("otel.status_code", "ERROR");
    });
    // It does not take the end of the program.
    let inner = collector.span(|span| span.name == "inner").await;
    let outer = collector.span(|span| span.name == "outer").await;
    assert_eq!((&inner.trace_id, inner.parent.as_ref()), (&outer.trace_id, Some(&outer.span_id)));
    assert_eq!((outer.parent, outer.kind), (None, SpanKind::Server));
    assert_eq!((&outer.attributes["rows"], &inner.attributes["cached"]), (&3.into(), &true.into()));
    assert_eq!(outer.status, Status::Error(String::new()));
    assert!(outer.start <= inner.start && inner.end <= outer.end);
    assert_eq!(
        (&outer.resource["service.name"], &outer.resource["service.version"]),
        (&"notes".into(), &"1.2.3".into())
    );
    shutdown(telemetry, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn metrics_are_pushed_while_the_program_runs() {
    let collector = Collector::start().await.unwrap();
    let telemetry = start(&Config { metrics_interval: Duration::from_millis(10), ..to(&collector) });
    let capacity = collector.metric(|metric| metric.name == "otel.sdk.processor.span.queue.capacity").await;
    assert_eq!((capacity.value(), capacity.unit.as_str()), (Some(8192.0), "{span}"));
    // What is counted is counted from the start of the program.
    make_spans(&telemetry, 7);
    let name = "otel.sdk.exporter.span.exported";
    let exported = collector.metric(|metric| metric.name == name && metric.value() == Some(7.0)).await;
    let expected = MetricData::Sum { value: 7.0, monotonic: true, temporality: Temporality::Cumulative };
    assert_eq!(exported.data, expected);
    shutdown(telemetry, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn what_does_not_fit_is_counted() {
    let collector = Collector::start().await.unwrap();
    let telemetry = start(&Config { span_queue: 100, span_batch: 50, ..to(&collector) });
    make_spans(&telemetry, 10_000);
    let text = telemetry.metrics().render().unwrap().text;
    assert!(text.contains("otel_sdk_processor_span_processed_total{error_type=\"queue_full\"}"), "{text}");
    let (report, _) = shutdown(telemetry, Duration::from_secs(30)).await;
    assert!(report.spans_dropped > 0 && report.spans_failed == 0 && report.spans_pending == 0, "{report}");
    assert_eq!(report.spans_exported + report.spans_dropped, 10_000);
    assert_eq!(collector.spans().len() as u64, report.spans_exported);
}

#[tokio::test]
async fn a_collector_that_is_away_delays_the_end_to_the_deadline_at_most() {
    let (silent, rude, gone) =
        tokio::try_join!(Collector::start(), Collector::start(), Collector::start()).unwrap();
    silent.fail(Fault::Hang);
    rude.fail(Fault::Close);
    let configs = [&silent, &rude, &gone].map(to);
    gone.stop().await;
    let deadline = Duration::from_secs(2);
    for config in configs {
        let telemetry = start(&config);
        make_spans(&telemetry, 2_000);
        let (report, took) = shutdown(telemetry, deadline).await;
        assert!(took < deadline * 2, "without it an export takes ten seconds: {took:?}");
        assert_eq!((report.spans_exported, report.spans_lost()), (0, 2_000), "{report}");
        assert!(!report.metrics_delivered && !report.is_complete());
    }
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_program() {
    let collector = Collector::start().await.unwrap();
    collector.fail(Fault::Hang);
    let patience = Duration::from_secs(60);
    let config = Config { span_queue: 100, span_batch: 50, export_timeout: patience, ..to(&collector) };
    let telemetry = start(&config);
    make_spans(&telemetry, 50);
    collector.until(|received| received.counts.requests == 1).await;

    let began = Instant::now();
    make_spans(&telemetry, 10_000);
    let text = telemetry.metrics().render().unwrap().text;
    assert!(began.elapsed() < patience / 4, "{:?}", began.elapsed());
    let dropped = "otel_sdk_processor_span_processed_total{error_type=\"queue_full\"} 9950";
    assert!(text.contains(dropped) && text.contains("otel_sdk_processor_span_queue_size 100"), "{text}");

    let (report, _) = shutdown(telemetry, Duration::from_millis(200)).await;
    assert_eq!((report.spans_exported, report.spans_dropped), (0, 9_950), "{report}");
    assert_eq!(report.spans_failed + report.spans_pending, 100, "{report}");
}

#[tokio::test]
async fn a_collector_that_refuses_is_counted() {
    let collector = Collector::start().await.unwrap();
    collector.fail(Fault::Status(403));
    let telemetry = start(&to(&collector));
    make_spans(&telemetry, 10);
    let (report, _) = shutdown(telemetry, Duration::from_secs(10)).await;
    assert_eq!((report.spans_failed, report.spans_lost(), report.in_time), (10, 10, true), "{report}");
    assert!(!report.metrics_delivered);
    // Nobody tries again what is refused for good: one request with spans, one with metrics.
    assert_eq!(collector.counts().failed, 2);
}

#[tokio::test]
async fn a_collector_that_is_busy_is_tried_again_when_it_says_so() {
    let collector = Collector::start().await.unwrap();
    let retry_after = Duration::from_secs(1);
    collector.fail_next(1, Fault::Unavailable { retry_after });
    let telemetry = start(&to(&collector));
    make_spans(&telemetry, 10);
    let (report, took) = shutdown(telemetry, Duration::from_secs(30)).await;
    assert!(report.is_complete() && report.in_time && took >= retry_after, "{report}, {took:?}");
    assert_eq!((report.spans_exported, collector.spans().len()), (10, 10));
    let statuses: Vec<_> = collector.requests().iter().filter_map(|request| request.status).collect();
    assert_eq!(statuses, [503, 200, 200]);
}

#[tokio::test]
async fn a_part_that_is_rejected_is_not_sent_again() {
    let collector = Collector::start().await.unwrap();
    collector.fail_next(1, Fault::PartialSuccess { rejected: 4, message: "too old".to_owned() });
    let telemetry = start(&to(&collector));
    make_spans(&telemetry, 10);
    let (report, _) = shutdown(telemetry, Duration::from_secs(10)).await;
    assert_eq!((report.spans_exported, report.spans_failed, report.in_time), (10, 0, true), "{report}");
    assert_eq!((collector.spans().len(), collector.counts().rejected), (6, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_guard_flushes_too() {
    let collector = Collector::start().await.unwrap();
    let telemetry = start(&to(&collector));
    make_spans(&telemetry, 10);
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();
    assert_eq!(collector.spans().len(), 10);
}

#[tokio::test]
async fn a_ratio_of_zero_records_nothing() {
    let collector = Collector::start().await.unwrap();
    let telemetry = start(&Config { sample_ratio: 0.0, ..to(&collector) });
    make_spans(&telemetry, 100);
    let (report, _) = shutdown(telemetry, Duration::from_secs(10)).await;
    assert_eq!((report.spans_exported, report.spans_lost()), (0, 0));
    assert_eq!(collector.spans(), []);
}

#[tokio::test]
async fn without_a_collector_there_is_nothing_to_wait_for() {
    let telemetry = start(&Config::default());
    make_spans(&telemetry, 100);
    let (report, _) = shutdown(telemetry, Duration::from_secs(10)).await;
    assert!(report.is_complete() && report.in_time, "{report}");
}

/// The same test again in a process whose environment asks for everything to be different.
#[test]
fn the_environment_changes_nothing() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "export::what_fits_the_queue_arrives_before_the_end"])
        .envs([
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("OTEL_SERVICE_NAME", "somebody-else"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=somebody-else"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "1"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "0"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-from-environment=1"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("ALL_PROXY", "http://127.0.0.1:9"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

//! Export to a collector that the test plays itself.

use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use shared_telemetry::{Config, ServiceInfo, ShutdownReport, Telemetry};
use tokio::task::JoinHandle;
use tracing::info_span;

/// What the collector got.
#[derive(Default)]
struct Received {
    spans: Vec<String>,
    services: Vec<String>,
    metrics: Vec<String>,
    headers: Vec<HeaderMap>,
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Received>>);

impl Collector {
    /// It runs on the runtime of the test, which has one thread: a flush that blocked it would never end.
    async fn start(&self) -> (String, JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(self.clone());
        (endpoint, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
    }
}

async fn traces(State(Collector(received)): State<Collector>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut received = received.lock().unwrap();
    received.headers.push(headers);
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let service = attributes.into_iter().find(|attribute| attribute.key == "service.name").unwrap();
        received.services.push(format!("{:?}", service.value));
        received
            .spans
            .extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| span.name));
    }
}

async fn metrics(State(Collector(received)): State<Collector>, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    received.lock().unwrap().metrics.extend(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
}

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

fn to(endpoint: String) -> Config {
    Config { otlp_endpoint: Some(endpoint), ..Config::default() }
}

async fn shutdown(telemetry: Telemetry, deadline: Duration) -> (ShutdownReport, Duration) {
    let began = Instant::now();
    let report = telemetry.shutdown(deadline).await;
    (report, began.elapsed())
}

#[tokio::test]
async fn what_fits_the_queue_arrives_before_the_end() {
    let collector = Collector::default();
    let (endpoint, server) = collector.start().await;
    let telemetry = start(&Config { span_queue: 10_000, ..to(endpoint) });
    make_spans(&telemetry, 10_000);
    let (report, _) = shutdown(telemetry, Duration::from_secs(30)).await;
    assert!(report.is_complete() && report.in_time, "{report}");
    assert_eq!(report.spans_exported, 10_000);

    let received = collector.0.lock().unwrap();
    assert_eq!((received.spans.len(), received.spans[0].as_str()), (10_000, "work"));
    assert!(received.services.iter().all(|name| name.contains("\"notes\"")), "{:?}", received.services);
    assert!(
        received.metrics.contains(&"otel.sdk.exporter.span.exported".to_owned()),
        "{:?}",
        received.metrics
    );
    assert!(received.headers.iter().all(|headers| headers["content-type"] == "application/x-protobuf"));
    assert!(received.headers.iter().all(|headers| !headers.contains_key("x-from-environment")));
    server.abort();
}

#[tokio::test]
async fn what_does_not_fit_is_counted() {
    let collector = Collector::default();
    let (endpoint, server) = collector.start().await;
    let telemetry = start(&Config { span_queue: 100, span_batch: 50, ..to(endpoint) });
    make_spans(&telemetry, 10_000);
    let text = telemetry.metrics().render().unwrap().text;
    assert!(text.contains("otel_sdk_processor_span_processed_total{error_type=\"queue_full\"}"), "{text}");
    let (report, _) = shutdown(telemetry, Duration::from_secs(30)).await;
    assert!(report.spans_dropped > 0 && report.spans_failed == 0 && report.spans_pending == 0, "{report}");
    assert_eq!(report.spans_exported + report.spans_dropped, 10_000);
    assert_eq!(collector.0.lock().unwrap().spans.len() as u64, report.spans_exported);
    server.abort();
}

#[tokio::test]
async fn a_collector_that_is_away_delays_the_end_to_the_deadline_at_most() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = [&closed, &silent].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    drop(closed);
    let deadline = Duration::from_secs(2);
    for endpoint in endpoints {
        let telemetry = start(&to(endpoint));
        make_spans(&telemetry, 2_000);
        let (report, took) = shutdown(telemetry, deadline).await;
        assert!(took <= deadline + deadline / 10, "{took:?}");
        assert_eq!((report.spans_exported, report.spans_lost()), (0, 2_000), "{report}");
        assert!(!report.metrics_delivered && !report.is_complete());
    }
    drop(silent);
}

#[tokio::test]
async fn a_collector_that_refuses_is_counted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async || StatusCode::FORBIDDEN);
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let telemetry = start(&to(endpoint));
    make_spans(&telemetry, 10);
    let (report, _) = shutdown(telemetry, Duration::from_secs(10)).await;
    assert_eq!((report.spans_failed, report.spans_lost(), report.in_time), (10, 10, true), "{report}");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_guard_flushes_too() {
    let collector = Collector::default();
    let (endpoint, server) = collector.start().await;
    let telemetry = start(&to(endpoint));
    make_spans(&telemetry, 10);
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();
    assert_eq!(collector.0.lock().unwrap().spans.len(), 10);
    server.abort();
}

#[tokio::test]
async fn a_ratio_of_zero_records_nothing() {
    let collector = Collector::default();
    let (endpoint, server) = collector.start().await;
    let telemetry = start(&Config { sample_ratio: 0.0, ..to(endpoint) });
    make_spans(&telemetry, 100);
    let (report, _) = shutdown(telemetry, Duration::from_secs(10)).await;
    assert_eq!((report.spans_exported, report.spans_lost()), (0, 0));
    server.abort();
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

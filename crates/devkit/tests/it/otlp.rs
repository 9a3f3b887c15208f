//! The collector, spoken to by an HTTP client, in protobuf and in JSON.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shared_devkit::Collector;
use shared_devkit::otlp::{Fault, MetricData, SpanKind, Status, Temporality};

/// A request with this body, not sent yet.
fn post(collector: &Collector, path: &str, content_type: &str, body: Vec<u8>) -> RequestBuilder {
    let url = format!("{}{path}", collector.endpoint());
    Client::new().post(url).header("content-type", content_type).body(body)
}

fn json_to(collector: &Collector, path: &str, body: &Value) -> RequestBuilder {
    post(collector, path, "application/json", body.to_string().into_bytes())
}

/// A protobuf request with spans of these names.
fn export(collector: &Collector, names: &[&str]) -> RequestBuilder {
    post(collector, "/v1/traces", "application/x-protobuf", spans(names).encode_to_vec())
}

fn spans(names: &[&str]) -> ExportTraceServiceRequest {
    let spans = names.iter().map(|name| Span { name: (*name).to_owned(), ..Span::default() }).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body).expect("memory");
    packer.finish().expect("memory")
}

fn of_service(scopes: &str, scope: Value) -> Value {
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "notes" } }] });
    json!({ "resource": resource, scopes: [scope] })
}

fn scope() -> Value {
    json!({ "name": "sqlx", "version": "9.8" })
}

fn names(collector: &Collector) -> Vec<String> {
    collector.spans().into_iter().map(|span| span.name).collect()
}

#[tokio::test]
async fn a_span_is_plain_values() {
    let collector = Collector::start().await.unwrap();
    let span = json!({
        "name": "insert", "kind": 3, "traceState": "a=1",
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "parentSpanId": "EEE19B7EC3C1B173",
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000250000000",
        "attributes": [
            { "key": "text", "value": { "stringValue": "x" } },
            { "key": "whole", "value": { "intValue": "7" } },
            { "key": "real", "value": { "doubleValue": 0.5 } },
            { "key": "truth", "value": { "boolValue": true } },
            { "key": "bytes", "value": { "bytesValue": "AP8=" } },
            { "key": "list", "value": { "arrayValue": { "values": [{ "intValue": "1" }, { "stringValue": "b" }] } } },
            { "key": "map", "value": { "kvlistValue": { "values": [{ "key": "k", "value": { "intValue": 2 } }] } } },
        ],
        "events": [{ "timeUnixNano": "1700000000100000000", "name": "retry", "attributes": [] }],
        "links": [{ "traceId": "5B8EFFF798038103D269B633813FC60D", "spanId": "EEE19B7EC3C1B172", "attributes": [] }],
        "status": { "code": 2, "message": "deadlock" },
    });
    let body =
        json!({ "resourceSpans": [of_service("scopeSpans", json!({ "scope": scope(), "spans": [span] }))] });
    assert!(json_to(&collector, "/v1/traces", &body).send().await.unwrap().status().is_success());

    let span = collector.span(|span| span.name == "insert").await;
    assert_eq!(span.trace_id, "5b8efff798038103d269b633813fc60c");
    assert_eq!(
        (span.span_id.as_str(), span.parent.as_deref()),
        ("eee19b7ec3c1b174", Some("eee19b7ec3c1b173"))
    );
    assert_eq!((span.kind, span.trace_state.as_str()), (SpanKind::Client, "a=1"));
    assert_eq!(span.end.duration_since(span.start).unwrap(), Duration::from_millis(250));
    assert_eq!(span.attributes["text"], "x");
    assert_eq!(span.attributes["whole"], 7);
    assert_eq!(span.attributes["real"], 0.5);
    assert_eq!(span.attributes["truth"], true);
    assert_eq!(span.attributes["bytes"], "00ff");
    assert_eq!(span.attributes["list"], json!([1, "b"]));
    assert_eq!(span.attributes["map"], json!({ "k": 2 }));
    assert_eq!(span.events[0].name, "retry");
    assert_eq!(span.events[0].time.duration_since(span.start).unwrap(), Duration::from_millis(100));
    assert_eq!(span.links[0].span_id, "eee19b7ec3c1b172");
    assert_eq!(span.status, Status::Error("deadlock".to_owned()));
    assert_eq!(span.resource["service.name"], "notes");
    assert_eq!((span.scope.name.as_str(), span.scope.version.as_str()), ("sqlx", "9.8"));
}

#[tokio::test]
async fn each_point_of_a_metric_is_a_value() {
    let collector = Collector::start().await.unwrap();
    let at = |more: Value| {
        let mut point = json!({ "timeUnixNano": "2", "startTimeUnixNano": "1", "attributes": [
            { "key": "queue", "value": { "stringValue": "mail" } }] });
        point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([point])
    };
    let buckets = json!({ "count": "3", "sum": 6.0, "min": 1.0, "max": 3.0, "explicitBounds": [1.5], "bucketCounts": ["1", "2"] });
    let growing = json!({ "count": "4", "scale": 1, "zeroCount": "1", "zeroThreshold": 0.0, "flags": 0,
        "positive": { "offset": -1, "bucketCounts": ["2", "1"] } });
    let quantiles =
        json!({ "count": "5", "sum": 9.0, "quantileValues": [{ "quantile": 0.5, "value": 2.0 }] });
    let metrics = json!([
        { "name": "depth", "unit": "{job}", "description": "Jobs.", "gauge": { "dataPoints": at(json!({ "asInt": "8" })) } },
        { "name": "done", "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": at(json!({ "asDouble": 1.5 })) } },
        { "name": "took", "histogram": { "aggregationTemporality": 1, "dataPoints": at(buckets) } },
        { "name": "size", "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": at(growing) } },
        { "name": "old", "summary": { "dataPoints": at(quantiles) } },
    ]);
    let body = json!({ "resourceMetrics": [of_service("scopeMetrics", json!({ "scope": scope(), "metrics": metrics }))] });
    assert_eq!(json_to(&collector, "/v1/metrics", &body).send().await.unwrap().status(), StatusCode::OK);

    let depth =
        collector.metric(|metric| metric.name == "depth" && metric.attributes["queue"] == "mail").await;
    assert_eq!(
        (depth.value(), depth.unit.as_str(), depth.description.as_str()),
        (Some(8.0), "{job}", "Jobs.")
    );
    assert_eq!((depth.resource["service.name"].as_str(), depth.scope.name.as_str()), (Some("notes"), "sqlx"));
    let data: Vec<_> = collector.metrics().into_iter().skip(1).map(|metric| metric.data).collect();
    let expected = [
        MetricData::Sum { value: 1.5, monotonic: true, temporality: Temporality::Cumulative },
        MetricData::Histogram {
            count: 3,
            sum: Some(6.0),
            min: Some(1.0),
            max: Some(3.0),
            bounds: vec![1.5],
            buckets: vec![1, 2],
            temporality: Temporality::Delta,
        },
        MetricData::ExponentialHistogram {
            count: 4,
            sum: None,
            min: None,
            max: None,
            scale: 1,
            zeros: 1,
            positive: (-1, vec![2, 1]),
            negative: (0, vec![]),
            temporality: Temporality::Cumulative,
        },
        MetricData::Summary { count: 5, sum: 9.0, quantiles: vec![(0.5, 2.0)] },
    ];
    assert_eq!(data, expected);
}

#[tokio::test]
async fn a_log_record_is_plain_values() {
    let collector = Collector::start().await.unwrap();
    let record = json!({
        "timeUnixNano": "0", "observedTimeUnixNano": "1700000000000000000", "severityNumber": 13, "severityText": "WARN",
        "body": { "stringValue": "slow" }, "eventName": "query.slow",
        "attributes": [{ "key": "rows", "value": { "intValue": "3" } }],
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "",
    });
    let body = json!({ "resourceLogs": [of_service("scopeLogs", json!({ "scope": scope(), "logRecords": [record] }))] });
    assert_eq!(json_to(&collector, "/v1/logs", &body).send().await.unwrap().status(), StatusCode::OK);

    let log = collector.log(|log| log.body == "slow").await;
    assert_eq!((log.severity.as_str(), log.severity_number), ("WARN", 13));
    assert_eq!((log.event_name.as_str(), &log.attributes["rows"]), ("query.slow", &json!(3)));
    assert_eq!((log.trace_id.as_deref(), log.span_id), (Some("5b8efff798038103d269b633813fc60c"), None));
    assert_eq!((log.time, log.observed.is_some()), (None, true));
    assert_eq!(log.resource["service.name"], "notes");
    assert_eq!(log.scope.name, "sqlx");
}

#[tokio::test]
async fn protobuf_may_come_packed() {
    let collector = Collector::start().await.unwrap();
    let packed = gzip(&spans(&["packed"]).encode_to_vec());
    let size = packed.len();
    let request =
        post(&collector, "/v1/traces", "application/x-protobuf", packed).header("content-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-protobuf");
    assert_eq!(
        ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap().partial_success,
        None
    );
    assert_eq!(names(&collector), ["packed"]);
    let request = &collector.requests()[0];
    assert_eq!((request.path.as_str(), request.bytes, request.status), ("/v1/traces", size, Some(200)));
    assert_eq!(collector.counts().bytes, size as u64);
}

#[tokio::test]
async fn a_condition_is_waited_for() {
    let collector = Collector::start().await.unwrap();
    let (span, sent) = tokio::join!(
        collector.span(|span| span.name == "late"),
        export(&collector, &["early", "late"]).send()
    );
    assert_eq!((span.name.as_str(), sent.unwrap().status()), ("late", StatusCode::OK));
    collector.until(|received| received.counts.requests == 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_is_answered_with_what_came() {
    let collector = Collector::start().await.unwrap();
    export(&collector, &["early"]).send().await.unwrap();
    post(&collector, "/v1/traces", "text/plain", Vec::new()).send().await.unwrap();
    let waits = tokio::spawn(async move { collector.span(|span| span.name == "never").await });
    let panic = waits.await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.starts_with("no such span within 30s; received 1 spans"), "{text}");
    assert!(text.contains("span `early`") && text.contains("answered with 415"), "{text}");
}

#[tokio::test]
async fn exporters_are_told_when_to_try_again() {
    let collector = Collector::start().await.unwrap();
    let retry_after = Duration::from_millis(1500);
    for (fault, status) in [
        (Fault::Unavailable { retry_after }, StatusCode::SERVICE_UNAVAILABLE),
        (Fault::TooManyRequests { retry_after }, StatusCode::TOO_MANY_REQUESTS),
    ] {
        collector.fail_next(1, fault);
        let response = export(&collector, &["again"]).send().await.unwrap();
        assert_eq!((response.status(), response.headers()["retry-after"].to_str().unwrap()), (status, "2"));
        assert_eq!(export(&collector, &["again"]).send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(names(&collector), ["again", "again"]);
    assert_eq!((collector.counts().requests, collector.counts().failed), (4, 2));
}

#[tokio::test]
async fn a_fault_lasts_until_recovery() {
    let collector = Collector::start().await.unwrap();
    collector.fail(Fault::Status(403));
    for _ in 0..3 {
        assert_eq!(export(&collector, &["work"]).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    }
    collector.recover();
    assert_eq!(export(&collector, &["work"]).send().await.unwrap().status(), StatusCode::OK);
    let statuses: Vec<_> = collector.requests().iter().filter_map(|request| request.status).collect();
    assert_eq!((statuses, names(&collector).len()), (vec![403, 403, 403, 200], 1));
}

#[tokio::test]
async fn a_part_is_rejected() {
    let collector = Collector::start().await.unwrap();
    collector.fail(Fault::PartialSuccess { rejected: 2, message: "too old".to_owned() });
    let response = export(&collector, &["a", "b", "c"]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let partial =
        ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (2, "too old"));
    assert_eq!((names(&collector), collector.counts().rejected), (vec!["a".to_owned()], 2));
    assert_eq!(collector.counts().failed, 0);
}

#[tokio::test]
async fn a_closed_connection_and_one_that_hangs_give_no_answer() {
    let collector = Collector::start().await.unwrap();
    collector.fail(Fault::Close);
    let closed = export(&collector, &["closed"]).send().await.unwrap_err();
    assert!(closed.is_request() && !closed.is_timeout() && !closed.is_connect(), "{closed:?}");

    collector.fail(Fault::Hang);
    let before = collector.counts().requests;
    let hangs = tokio::spawn(export(&collector, &["hangs"]).send());
    collector.until(|received| received.counts.requests > before).await;
    collector.recover();
    export(&collector, &["taken"]).send().await.unwrap();
    assert!(!hangs.is_finished());
    assert_eq!(
        (names(&collector), collector.counts().failed),
        (vec!["taken".to_owned()], collector.counts().requests - 1)
    );

    // With the collector every connection ends.
    drop(collector);
    assert!(hangs.await.unwrap().is_err());
}

#[tokio::test]
async fn after_the_end_nobody_answers() {
    let collector = Collector::start().await.unwrap();
    collector.fail(Fault::Hang);
    let hangs = tokio::spawn(export(&collector, &["hangs"]).send());
    collector.until(|received| received.counts.requests > 0).await;
    let late = export(&collector, &["late"]);
    collector.stop().await;
    // Refused, or reset: a child that another test is starting may keep the port open until it has become its program.
    assert!(late.send().await.is_err());
    assert!(hangs.await.unwrap().is_err());
}

#[tokio::test]
async fn what_is_no_otlp_is_refused_with_a_reason() {
    let collector = Collector::start().await.unwrap();
    let protobuf = |path: &str, body: &[u8]| post(&collector, path, "application/x-protobuf", body.to_vec());
    let too_large = vec![0; (20 << 20) + 1];
    let refused = [
        (protobuf("/v1/profiles", b""), 404, "none of"),
        (Client::new().get(format!("{}/v1/traces", collector.endpoint())), 405, "only POST"),
        (post(&collector, "/v1/traces", "text/plain", b"hello".to_vec()), 415, "neither protobuf nor JSON"),
        (protobuf("/v1/traces", b"").header("content-encoding", "br"), 415, "neither gzip"),
        (protobuf("/v1/traces", b"\xff\xff"), 400, "varint"),
        (json_to(&collector, "/v1/traces", &json!({ "resourceSpans": 1 })), 400, "expected a sequence"),
        (protobuf("/v1/traces", b"no gzip").header("content-encoding", "gzip"), 400, "gzip"),
        (protobuf("/v1/traces", &gzip(&too_large)).header("content-encoding", "gzip"), 413, "when unpacked"),
    ];
    for (request, status, reason) in refused {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let text = String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned();
        assert!(text.contains(reason), "{text}");
    }
    let counts = collector.counts();
    assert_eq!((counts.requests, counts.failed), (8, 8));

    // While the client still writes the rest, it may or may not get to read the answer.
    let _ = protobuf("/v1/traces", &too_large).send().await;
    assert_eq!(collector.requests().last().unwrap().status, Some(413));
}

#[tokio::test]
async fn the_last_20_000_are_kept_and_the_others_counted() {
    let collector = Collector::start().await.unwrap();
    let work = vec!["work"; 20_000];
    export(&collector, &work).send().await.unwrap();
    export(&collector, &["a", "b", "c"]).send().await.unwrap();
    let spans = collector.spans();
    assert_eq!((spans.len(), spans.last().unwrap().name.as_str()), (20_000, "c"));
    assert_eq!(collector.counts().dropped, 3);
}

#[tokio::test]
async fn a_request_shows_no_values_of_headers() {
    let collector = Collector::start().await.unwrap();
    export(&collector, &[]).header("x-api-key", "hunter2").send().await.unwrap();
    let request = &collector.requests()[0];
    assert_eq!(request.headers["x-api-key"], "hunter2");
    let shown = format!("{:?}", collector.received());
    assert!(shown.contains("x-api-key") && !shown.contains("hunter2"), "{shown}");
}

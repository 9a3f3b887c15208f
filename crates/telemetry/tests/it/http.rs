use std::future::pending;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, MatchedPath};
use axum::routing::{any, get, post};
use http::{Request, Response, StatusCode};
use shared_core::CorrelationId;
use shared_telemetry::{Config, HttpLayer, RecordedSpan};
use tower::ServiceExt;
use tracing::{Span, info};

use crate::support::Watched;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn app(watched: &Watched) -> Router {
    Router::new()
        .route("/notes/{id}", get(note))
        .route("/broken", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/slow", post(pending::<()>))
        .route("/any", any(async || ()))
        .route("/panics", get(async || -> () { panic!("boom") }))
        .nest("/v1", Router::new().route("/nested/{id}", get(async || ())))
        .layer(
            HttpLayer::new(&watched.telemetry.metrics())
                .route(|parts| parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str)),
        )
}

async fn note(Extension(correlation): Extension<CorrelationId>) -> String {
    Span::current().record("tenant_id", "t-1");
    tokio::task::yield_now().await;
    info!("reading");
    correlation.to_string()
}

async fn send(watched: &Watched, request: Request<Body>) -> Response<Body> {
    app(watched).oneshot(request).await.unwrap()
}

fn get_(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn attribute<'a>(span: &'a RecordedSpan, name: &str) -> Option<&'a str> {
    span.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn header(response: &Response<Body>) -> &str {
    response.headers()["x-correlation-id"].to_str().unwrap()
}

#[tokio::test]
async fn a_request_continues_its_callers_trace_and_conversation() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let request = Request::get("/notes/7?token=secret")
        .header("host", "notes.example:8080")
        .header("user-agent", "test/1")
        .header("traceparent", TRACEPARENT)
        .header("x-correlation-id", "conversation-1");
    let response = send(&watched, request.body(Body::empty()).unwrap()).await;

    assert_eq!((response.status(), header(&response)), (StatusCode::OK, "conversation-1"));
    let span = &watched.recorder.spans()[0];
    assert_eq!(span.name, "GET /notes/{id}");
    assert_eq!(span.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
    assert_eq!((span.parent, span.is_error), (Some(0xb7ad_6b71_6920_3331), false));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/notes/{id}"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("url.path", "/notes/7"),
        ("server.address", "notes.example"),
        ("server.port", "8080"),
        ("user_agent.original", "test/1"),
        ("network.protocol.version", "1.1"),
        ("correlation_id", "conversation-1"),
        ("tenant_id", "t-1"),
    ] {
        assert_eq!(attribute(span, name), Some(value), "{name}");
    }
    assert!(!span.attributes.iter().any(|(_, value)| value.contains("secret")));
    let line = &watched.lines.json()[0];
    assert_eq!(line["trace_id"], TRACEPARENT[3..35]);
    assert_eq!((&line["tenant_id"], &line["correlation_id"]), (&"t-1".into(), &"conversation-1".into()));
}

#[tokio::test]
async fn a_request_without_a_usable_id_gets_one() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    for headers in [vec![], vec!["two words"], vec!["one", "two"]] {
        let mut request = Request::get("/notes/7");
        for value in &headers {
            request = request.header("x-correlation-id", *value).header("traceparent", TRACEPARENT);
        }
        let response = send(&watched, request.body(Body::empty()).unwrap()).await;
        assert_eq!(header(&response).len(), 36, "{headers:?}");
    }
    let spans = watched.recorder.spans();
    // No caller, one caller, and two that contradict each other.
    assert_eq!(spans.iter().map(|span| span.parent.is_some()).collect::<Vec<_>>(), [false, true, false]);
}

#[tokio::test]
async fn a_path_never_names_a_span() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let response = send(&watched, get_("/nowhere/4711")).await;
    assert_eq!((response.status(), header(&response).len()), (StatusCode::NOT_FOUND, 36));
    send(&watched, get_("/v1/nested/7")).await;
    send(&watched, Request::builder().method("BREW").uri("/any").body(Body::empty()).unwrap()).await;

    let spans = watched.recorder.spans();
    assert_eq!((spans[0].name.as_str(), attribute(&spans[0], "http.route")), ("GET", None));
    assert_eq!(attribute(&spans[0], "http.response.status_code"), Some("404"));
    assert!(!spans[0].is_error, "a client's mistake is no error of the server");
    assert_eq!(spans[1].name, "GET /v1/nested/{id}");
    assert_eq!(spans[2].name, "HTTP /any");
    assert_eq!(attribute(&spans[2], "http.request.method"), Some("_OTHER"));
    assert_eq!(attribute(&spans[2], "http.request.method_original"), Some("BREW"));
}

#[tokio::test]
async fn only_the_servers_own_failures_are_errors() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    send(&watched, get_("/broken")).await;
    let span = &watched.recorder.spans()[0];
    assert!(span.is_error);
    assert_eq!(attribute(span, "error.type"), Some("503"));
}

#[tokio::test]
async fn a_handler_that_panics_is_an_error() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let answer = tokio::spawn(app(&watched).oneshot(get_("/panics"))).await;
    assert!(answer.unwrap_err().is_panic());
    assert_eq!(attribute(&watched.recorder.spans()[0], "error.type"), Some("panic"));
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let mut waiting = Box::pin(send(&watched, Request::post("/slow").body(Body::empty()).unwrap()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let active = "http_server_active_requests{http_request_method=\"POST\",url_scheme=\"http\"}";
    assert!(metrics(&watched).contains(&format!("{active} 1")), "{}", metrics(&watched));
    drop(waiting);

    let span = &watched.recorder.spans()[0];
    assert_eq!((span.name.as_str(), span.is_error), ("POST /slow", true));
    assert_eq!(attribute(span, "error.type"), Some("cancelled"));
    let text = metrics(&watched);
    assert!(text.contains(&format!("{active} 0")), "{text}");
    let count =
        text.lines().find(|line| line.starts_with("http_server_request_duration_seconds_count")).unwrap();
    assert!(count.contains("error_type=\"cancelled\"") && count.ends_with(" 1"), "{count}");
}

#[tokio::test]
async fn durations_are_seen_at_the_metrics_endpoint() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    for _ in 0..3 {
        send(&watched, get_("/notes/7")).await;
    }
    let text = metrics(&watched);
    let labels = concat!(
        "{http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/notes/{id}\",",
        "network_protocol_version=\"1.1\",url_scheme=\"http\""
    );
    for line in [
        format!("http_server_request_duration_seconds_count{labels}}} 3"),
        format!("http_server_request_duration_seconds_bucket{labels},le=\"0.005\"}} "),
        format!("http_server_request_duration_seconds_bucket{labels},le=\"10\"}} 3"),
        "target_info{service_instance_id=".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert_eq!(text.matches("_bucket{").count(), 15, "the conventions' 14 buckets and infinity");
    assert!(!text.contains("/notes/7"), "paths are no labels");
}

fn metrics(watched: &Watched) -> String {
    let exposition = watched.telemetry.metrics().render().unwrap();
    assert!(exposition.content_type.starts_with("text/plain; version=0.0.4"));
    exposition.text
}

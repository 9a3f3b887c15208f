use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body as Sent, Bytes, HttpBody};
use axum::routing::get;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(rename = "why")]
    _why: String,
    #[serde(rename = "filter")]
    _filter: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(rename = "n")]
    _n: u32,
}

/// A body whose sender is gone.
struct HangsUp;

impl HttpBody for HangsUp {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

async fn read(body: impl Into<Sent>) -> Value {
    let request = Request::builder().header(CONTENT_TYPE, "application/json; charset=utf-8");
    let read = Body::<Order>::from_request(request.body(body.into()).unwrap(), &()).await;
    serde_json::from_slice(&read.err().unwrap().to_json()).unwrap()
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_apart() {
    for text in ["", "{", "why", r#"{"why":"so"} and more"#] {
        assert_eq!(read(text).await["status"], 400, "{text}");
    }
    assert_eq!(read("x".repeat(LARGEST_BODY + 1)).await["status"], 413);
    assert_eq!(read(Sent::new(HangsUp)).await["status"], 400);
}

#[tokio::test]
async fn a_wrong_field_is_named_by_its_place() {
    for (text, pointer) in [
        (r#"{"why":7}"#, "/why"),
        ("{}", "/why"),
        (r#"{"why":"so","filter":{"n":"x"}}"#, "/filter/n"),
        (r#"{"why":"so","filter":{}}"#, "/filter/n"),
        (r#"{"why":"so","more":1}"#, "/more"),
    ] {
        let problem = read(text).await;
        assert_eq!(
            (&problem["status"], &problem["errors"][0]["pointer"]),
            (&json!(422), &json!(pointer)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_a_body_said_can_be_recorded() {
    for (text, heard) in [
        (
            "{ \"why\":\t\"so it is\",\n\"filter\": { \"n\": 7 } }",
            Some(r#"{"filter":{"n":7},"why":"so it is"}"#),
        ),
        (r#"{"why":"so","password":"hunter2"}"#, None),
    ] {
        let said = Said::default();
        let request = Request::builder().header(CONTENT_TYPE, "application/json").extension(said.clone());
        let read = Body::<Order>::from_request(request.body(text.into()).unwrap(), &()).await;
        assert_eq!((read.is_ok(), said.body()), (heard.is_some(), heard), "{text}");
    }
}

/// Whatever a route is made of.
#[tokio::test]
async fn nothing_runs_that_was_not_allowed() {
    let refuse = |_: &Parts, (): ()| Err(Problem::forbidden());
    let router: Router = Routes::new(refuse)
        .on((), MethodFilter::GET, "/x", get(async || "read").fallback(async || "written"))
        .router();
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri("/x").body(Sent::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert!(answer.status().is_client_error(), "{method}");
        let said = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!said.starts_with(b"written"), "{method}");
    }
}

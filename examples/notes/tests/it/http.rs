//! What HTTP users expect: the right status, and a problem+json body (RFC 9457).

use std::time::Duration;

use notes::{ReadNotes, WriteNotes};
use serde_json::{Value, json};
use shared_service::testing::TestService;

/// Sends raw bytes with a raw authorisation, as curl would.
async fn post(url: String, authorization: Option<String>, body: Vec<u8>) -> (u16, String, Value) {
    let mut request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    (status, kind, response.json().await.unwrap())
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let app = TestService::start(notes::service()).await;
    let writer = app.tenant_with(WriteNotes);
    let reader = app.tenant_with(ReadNotes);
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    let note = || br#"{"body":"a note"}"#.to_vec();
    let mut broken = writer.token().to_owned();
    broken.truncate(broken.len() - 4);

    for (what, authorization, body, expected) in [
        ("no token", None, note(), 401),
        ("a broken token", bearer(&broken), note(), 401),
        ("garbage", bearer("not-a-token"), note(), 401),
        ("without the permission", bearer(reader.token()), note(), 403),
        ("no JSON", bearer(writer.token()), b"{".to_vec(), 400),
        ("another shape", bearer(writer.token()), br#"{"text":1}"#.to_vec(), 422),
        ("an empty note", bearer(writer.token()), br#"{"body":""}"#.to_vec(), 422),
        (
            "a character that no text of the database holds",
            bearer(writer.token()),
            br#"{"body":"a\u0000"}"#.to_vec(),
            422,
        ),
        ("20 MB", bearer(writer.token()), vec![b' '; 20 << 20], 413),
    ] {
        let (status, kind, problem) = post(format!("{}/notes", app.url()), authorization, body).await;
        assert_eq!((status, kind.as_str()), (expected, "application/problem+json"), "{what}: {problem}");
        assert_eq!(problem["status"], expected, "{what}");
        assert!(problem["title"].is_string(), "{what}");
    }
    app.get("/nowhere", &writer).await.status(404);
    app.get("/notes", &writer).await.status(405);
    app.post("/notes", &writer, json!({ "body": "good" })).await.created();
    app.settle().await;
}

#[tokio::test]
async fn probes_answer_on_a_port_of_their_own() {
    let app = TestService::start(notes::service()).await;
    let status =
        async |probe: &str| reqwest::get(format!("{}/{probe}", app.admin_url())).await.unwrap().status();
    assert_eq!(status("live").await, 200);
    // Ready as soon as every check has passed once.
    let ready = async {
        while status("ready").await != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ready).await.expect("the service becomes ready");
    assert_eq!(status("health").await, 200);
    let public = reqwest::get(format!("{}/metrics", app.url())).await.unwrap();
    assert_eq!(public.status(), 404);
    let metrics = reqwest::get(format!("{}/metrics", app.admin_url())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("# TYPE http_server_request_duration_seconds histogram"), "{metrics}");
}

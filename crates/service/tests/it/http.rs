//! What surrounds every route.

use crate::support::{Ask, Gate, start};

#[tokio::test]
async fn a_panic_is_an_answer_and_not_the_end() {
    let app = start(&Gate::default(), []).await;
    let tenant = app.tenant_with(Ask);
    let answer = app.get("/panic", &tenant).await.status(500);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(!answer.text().contains("as the test wants it"));
    app.get("/ok", &tenant).await.ok();
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_dropped() {
    let gate = Gate::default();
    let app = start(&gate, [("PROBE_SERVICE_REQUEST_TIMEOUT", "50ms")]).await;
    app.get("/wait", &app.tenant_with(Ask)).await.status(503);
    assert!(gate.dropped.load(std::sync::atomic::Ordering::SeqCst));
}

#[tokio::test]
async fn what_can_not_be_read_is_a_problem() {
    let app = start(&Gate::default(), []).await;
    let tenant = app.tenant_with(Ask);
    for (path, status) in [
        ("/pages/7?size=10", 200),
        ("/pages/seven?size=10", 404),
        ("/pages/7?size=ten", 400),
        ("/pages/7", 400),
        ("/pages/7?size=1000", 422),
        ("/nowhere", 404),
    ] {
        let answer = app.get(path, &tenant).await.status(status);
        if status != 200 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        }
    }
    app.post("/ok", &tenant, ()).await.status(405);
}

#[tokio::test]
async fn every_answer_carries_a_correlation_id() {
    let app = start(&Gate::default(), []).await;
    let answer = app.get("/nowhere", &app.tenant_with(Ask)).await.status(404);
    assert!(answer.header("x-correlation-id").is_some());
}

/// ASVS 16.2.5: what a caller sent wrongly may be a secret; a problem names its place and does not repeat it.
#[tokio::test]
async fn a_problem_repeats_no_value() {
    let app = start(&Gate::default(), []).await;
    let tenant = app.tenant_with(Ask);
    for (path, says) in [
        ("/pages/hunter2?size=10", ""),
        ("/pages/7?size=hunter2", "the parameter size: not as expected"),
        ("/pages/7", "the parameter size: missing"),
    ] {
        let answer = app.get(path, &tenant).await;
        assert!(!answer.text().contains("hunter2") && answer.text().contains(says), "{}", answer.text());
    }
}

/// ASVS 3.4.1, 3.4.3, 3.4.4, 3.4.6: on every answer, refusals and panics included.
#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let app = start(&Gate::default(), []).await;
    let tenant = app.tenant_with(Ask);
    for path in ["/ok", "/panic", "/nowhere", "/pages/7"] {
        let answer = app.get(path, &tenant).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(
            answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(answer.header("strict-transport-security").is_some(), "{path}");
    }
}

//! The router as an operator's tools use it, and its document held against what it answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared_devkit::openapi;
use tower::ServiceExt;

use super::*;
use crate::fixture::Fixture;

fn everybody(world: &Fixture) -> Router {
    router(world.subscriptions.clone(), |_, _| Ok(()))
}

/// Every answer is held against the document.
async fn call(router: &Router, method: &str, uri: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(uri);
    let request = match body {
        Some(body) => request.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    let response = router.clone().oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    if status.is_client_error() {
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{method} {uri}: {status}");
    }
    let answer = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    let said = if status.is_success() { status.as_str() } else { "default" };
    let mistake = openapi::mistake(&document(), (&documented(uri), &method.to_lowercase(), said), &answer);
    assert_eq!(mistake, None, "{method} {uri}: {answer}");
    (status, answer)
}

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// The path of the document that a URI is one of.
fn documented(uri: &str) -> String {
    let path: Vec<&str> = uri.split('?').next().unwrap().split('/').collect();
    let is_its = |of: &&String| {
        let of: Vec<&str> = of.split('/').collect();
        of.len() == path.len() && of.iter().zip(&path).all(|(of, part)| of == part || of.starts_with('{'))
    };
    document()["paths"].as_object().unwrap().keys().find(is_its).unwrap().clone()
}

async fn get(router: &Router, uri: &str) -> Value {
    let (status, body) = call(router, "GET", uri, None).await;
    assert_eq!(status, StatusCode::OK, "{uri}: {body}");
    body
}

async fn change(router: &Router, method: &str, uri: &str, body: Value) -> Value {
    let (status, body) = call(router, method, uri, (!body.is_null()).then_some(body)).await;
    assert!(status.is_success(), "{method} {uri}: {status} {body}");
    body
}

#[tokio::test]
async fn subscriptions_are_seen_steered_and_retired() {
    let world = Fixture::new().await;
    let router = everybody(&world);
    world.subscribe("main").await;
    world.publish("a", "0").await;
    let main = get(&router, "/subscriptions/main").await;
    assert_eq!((&main["waiting"], &main["kind"]), (&json!(1), &json!("consumers")));
    assert_eq!(get(&router, "/subscriptions/main/lanes").await["lanes"].as_array().unwrap().len(), 16);
    let explained = get(&router, "/subscriptions/main/explain").await;
    assert_eq!(explained["causes"][0]["cause"], "no_relay");
    change(&router, "POST", "/subscriptions/main/pause", Value::Null).await;
    assert_eq!(get(&router, "/subscriptions/main").await["paused"], true);
    change(&router, "POST", "/subscriptions/main/resume", Value::Null).await;
    change(&router, "DELETE", "/subscriptions/main", Value::Null).await;
    for (method, path) in [
        ("GET", "/subscriptions/main"),
        ("GET", "/subscriptions/main/lanes"),
        ("GET", "/subscriptions/main/explain"),
        ("POST", "/subscriptions/main/pause"),
        ("DELETE", "/subscriptions/main"),
        ("GET", "/projections/digest"),
        ("POST", "/projections/digest/abandon"),
    ] {
        assert_eq!(call(&router, method, path, None).await.0, StatusCode::NOT_FOUND, "{method} {path}");
    }
}

#[tokio::test]
async fn parked_events_come_back_or_go_for_ever() {
    let world = Fixture::new().await;
    let router = everybody(&world);
    world.subscribe("main").await;
    for key in ["a", "b", "c"] {
        world.park("main", key, "no such note", 1).await;
    }
    let parked = get(&router, "/parked?consumer=digest&state=dead&reason=such&most=2").await;
    assert_eq!(parked["parked"].as_array().unwrap().len(), 2);
    assert_eq!(parked["parked"][0]["reason"], "no such note");
    assert!(parked["parked"][0].get("payload").is_none(), "payloads are nobody's but the consumer's");

    let one = json!({ "filter": { "key": "a" } });
    assert_eq!(change(&router, "POST", "/parked/redrive", one).await, json!({ "keys": 1 }));
    let one = json!({ "filter": { "key": "b" }, "why": "no use" });
    assert_eq!(change(&router, "POST", "/parked/discard", one).await, json!({ "discarded": 1 }));
    let all = json!({ "all": true, "keys": true, "why": "no use" });
    assert_eq!(change(&router, "POST", "/parked/discard", all).await, json!({ "discarded": 4 }));

    // Nobody throws everything away by saying nothing.
    let empty = json!({ "filter": { "reason": "" }, "keys": true, "why": "no use" });
    assert_eq!(
        call(&router, "POST", "/parked/discard", Some(empty)).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    for vague in [json!({}), json!({ "filter": {} }), json!({ "filter": { "key": "a" }, "all": true })] {
        for path in ["/parked/discard", "/parked/redrive"] {
            let mut vague = vague.clone();
            if path.ends_with("discard") {
                vague["why"] = json!("no use");
            }
            let (status, _) = call(&router, "POST", path, Some(vague.clone())).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {vague}");
        }
    }
}

#[tokio::test]
async fn delayed_events_are_seen_and_cancelled() {
    let world = Fixture::new().await;
    let router = everybody(&world);
    world.delay(2).await;
    let delayed = get(&router, "/delayed").await;
    let event = &delayed["delayed"][0];
    assert_eq!((&event["event"], event.get("payload")), (&json!("note.expired"), None));
    let path = format!("/delayed/{}/{}", world.tenant, event["id"].as_str().unwrap());
    change(&router, "DELETE", &path, Value::Null).await;
    assert_eq!(call(&router, "DELETE", &path, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&router, "/delayed").await["delayed"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn replays_and_projections_are_begun() {
    let world = Fixture::new().await;
    let router = everybody(&world);
    let tenant = world.tenant;
    let replay = json!({ "subscription": "again", "since": "2026-01-31T12:00:00Z", "tenant": tenant, "events": ["note.created"],
                         "rate": 10, "until_now": true });
    change(&router, "POST", "/replays", replay.clone()).await;
    assert_eq!(get(&router, "/subscriptions/again").await["over"], true);
    let (status, problem) = call(&router, "POST", "/replays", Some(replay)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        problem["detail"].as_str().unwrap().contains("there is a subscription `again` already"),
        "{problem}"
    );

    let building = change(&router, "POST", "/projections/digest/rebuild", json!({ "fed_by": "main" })).await;
    assert_eq!(building, json!({ "generation": 2, "subscription": "digest.2" }));
    assert_eq!(get(&router, "/projections/digest").await["building"], 2);
    let live = change(&router, "POST", "/projections/digest/switch", Value::Null).await;
    assert_eq!(live, json!({ "generation": 2 }));
    change(&router, "POST", "/projections/digest/rebuild", json!({ "fed_by": "main" })).await;
    change(&router, "POST", "/projections/digest/abandon", Value::Null).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_its_place_and_never_quoted() {
    let world = Fixture::new().await;
    let router = everybody(&world);
    let secret = "secret-1234";
    for (method, uri, body, status) in [
        ("GET", "/parked?most=0".to_owned(), None, 422),
        ("GET", "/parked?most=1001".to_owned(), None, 422),
        ("GET", format!("/parked?most={secret}"), None, 400),
        ("GET", format!("/parked?state={secret}"), None, 422),
        ("GET", format!("/parked?after={secret}"), None, 422),
        ("GET", format!("/parked?tenant={secret}"), None, 400),
        ("GET", format!("/subscriptions?more={secret}"), None, 400),
        ("GET", "/subscriptions?after=bnVsbA".to_owned(), None, 422),
        ("POST", "/parked/redrive".to_owned(), None, 415),
        ("POST", "/parked/redrive".to_owned(), Some(json!({ "filter": { "key": "x".repeat(20_000) } })), 413),
        ("POST", "/parked/redrive".to_owned(), Some(json!({ "all": secret })), 422),
        ("POST", "/parked/discard".to_owned(), Some(json!({ "all": true })), 422),
        ("POST", "/parked/discard".to_owned(), Some(json!({ "all": true, "why": "" })), 422),
        ("POST", "/replays".to_owned(), Some(json!({ "subscription": "again", "place": secret })), 422),
        ("POST", "/replays".to_owned(), Some(json!({ "subscription": "again", "since": secret })), 422),
        ("POST", "/replays".to_owned(), Some(json!({ "subscription": "again", "rate": -1 })), 422),
        ("POST", "/replays".to_owned(), Some(json!({ "subscription": "again", "more": secret })), 422),
        ("POST", "/projections/digest/switch".to_owned(), None, 409),
    ] {
        let (answered, problem) = call(&router, method, &uri, body).await;
        assert_eq!(answered.as_u16(), status, "{method} {uri}: {problem}");
        assert!(!problem.to_string().contains(secret), "{problem}");
    }
}

/// All of a list, two things at a time.
async fn pages(router: &Router, path: &str, list: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(router, &format!("{path}?most=2{after}")).await;
        let things = page[list].as_array().unwrap();
        assert!(things.len() <= 2, "{page}");
        all.extend_from_slice(things);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn every_list_comes_in_pages() {
    let world = Fixture::new().await;
    let router = everybody(&world);
    for n in 0..5 {
        world.subscribe(&format!("s{n}")).await;
        world.park(&format!("s{n}"), "a", "no", 0).await;
    }
    world.delay(5).await;
    for (path, list) in [("/subscriptions", "subscriptions"), ("/parked", "parked"), ("/delayed", "delayed")]
    {
        let whole = get(&router, path).await;
        assert_eq!(whole["next"], Value::Null, "{path}: this page is not full");
        let paged = pages(&router, path, list).await;
        assert_eq!((paged.len(), &paged), (5, whole[list].as_array().unwrap()), "{path}");
        // The place of one list is none in another.
        let next = get(&router, &format!("{path}?most=1")).await["next"].as_str().unwrap().to_owned();
        let other = if path == "/parked" { "/subscriptions" } else { "/parked" };
        let (status, _) = call(&router, "GET", &format!("{other}?after={next}"), None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
}

/// Each operation of the document: method, path with something in its places, action, and a body where it takes one.
fn operations() -> Vec<(String, String, String, Option<Value>)> {
    let mut operations = Vec::new();
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = uuid::Uuid::now_v7().to_string();
            let path = path.replace("{subscription}", "main").replace("{projection}", "digest");
            let path = path.replace("{tenant}", &id).replace("{event}", &id);
            let body = operation.get("requestBody").map(|_| json!({}));
            let action = operation["x-action"].as_str().unwrap().to_owned();
            operations.push((method.to_uppercase(), path, action, body));
        }
    }
    operations
}

/// Method, path and action of each route, as the router's own source lists them.
fn routes() -> BTreeSet<[String; 3]> {
    let source: String = include_str!("../admin.rs").split_whitespace().collect();
    let route = |text: &str| {
        let mut words = text.splitn(4, ',');
        let [action, method, path] = [(); 3].map(|()| words.next().unwrap());
        let action = Action::ALL.into_iter().find(|known| format!("{known:?}") == action).unwrap();
        let method = method.strip_prefix("Method::").unwrap().to_lowercase();
        [method.as_str(), path.trim_matches('"'), action.as_str()].map(str::to_owned)
    };
    source.split(".on(Do::").skip(1).map(route).collect()
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let mut documented = BTreeSet::new();
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let action = operation["x-action"].as_str().unwrap();
            documented.insert([method.as_str(), path.as_str(), action].map(str::to_owned));
        }
    }
    assert_eq!(documented, routes());
}

#[tokio::test]
async fn every_operation_of_the_document_is_there_and_authorized_as_it_says() {
    let world = Fixture::new().await;
    let asked: Arc<Mutex<Vec<Action>>> = Arc::default();
    let log = asked.clone();
    let router: Router = router(world.subscriptions.clone(), move |_, action| {
        log.lock().unwrap().push(action);
        Err(Problem::forbidden())
    });
    let operations = operations();
    for (method, path, action, body) in &operations {
        let (status, _) = call(&router, method, path, body.clone()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
        assert_eq!(asked.lock().unwrap().pop().unwrap().as_str(), action, "{method} {path}");
        assert!(asked.lock().unwrap().is_empty(), "asked once");
    }
    let said = |action: &Action| operations.iter().any(|(_, _, said, _)| said == action.as_str());
    assert!(Action::ALL.iter().all(said));
}

/// Each operation, with success: [`call`] looks at the answer.
#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    let world = Fixture::new().await;
    let router = everybody(&world);
    world.subscribe("main").await;
    world.subscribe("idle").await;
    world.publish("a", "1 hour").await;
    world.park("main", "a", "no", 1).await;
    world.relay("main", "{}").await;
    world.delay(1).await;
    let delayed = get(&router, "/delayed").await["delayed"][0]["id"].as_str().unwrap().to_owned();
    let delayed = format!("/delayed/{}/{delayed}", world.tenant);
    let rebuild = json!({ "fed_by": "idle" });
    let steps = [
        ("GET", "/openapi.json", None),
        ("GET", "/subscriptions", None),
        ("GET", "/subscriptions/main", None),
        ("GET", "/subscriptions/main/lanes", None),
        ("GET", "/subscriptions/idle/lanes", None),
        ("GET", "/subscriptions/main/explain", None),
        ("POST", "/subscriptions/main/pause", None),
        ("POST", "/subscriptions/main/resume", None),
        ("GET", "/parked", None),
        ("POST", "/parked/redrive", Some(json!({ "all": true }))),
        ("POST", "/parked/discard", Some(json!({ "all": true, "why": "no use" }))),
        ("GET", "/delayed", None),
        ("DELETE", delayed.as_str(), None),
        ("POST", "/replays", Some(json!({ "subscription": "again" }))),
        ("POST", "/projections/digest/rebuild", Some(rebuild.clone())),
        ("GET", "/projections/digest", None),
        ("POST", "/projections/digest/switch", None),
        ("GET", "/projections/digest", None),
        ("POST", "/projections/digest/rebuild", Some(rebuild)),
        ("POST", "/projections/digest/abandon", None),
        ("DELETE", "/subscriptions/again", None),
    ];
    let mut left = routes();
    for (method, uri, body) in steps {
        change(&router, method, uri, body.unwrap_or_default()).await;
        left.retain(|[of, path, _]| (of.as_str(), path) != (&method.to_lowercase(), &documented(uri)));
    }
    assert!(left.is_empty(), "{left:?}");
}

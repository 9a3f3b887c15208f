//! The router as an operator's tools use it, and its document held against what it answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared_core::InTenant;
use shared_devkit::openapi;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tower::ServiceExt;

use super::*;
use crate::backend::Fate;
use crate::fixture::{Mail, everywhere, limited};
use crate::{JobId, NewJob, Progress, Schedule};

fn everybody(queues: &Queues) -> Router {
    router(queues.clone(), |_, _| Ok(()))
}

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
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
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
async fn jobs_are_found_looked_at_and_cancelled() {
    everywhere(async |mut fixture| {
        let router = everybody(&fixture.queues);
        let (first, second) = (fixture.mail(1).await, fixture.mail(2).await);
        fixture.claim("mail", 1).await;

        let ready = get(&router, "/jobs?queue=mail&state=ready").await;
        assert_eq!(ready["jobs"][0]["job_id"], second.to_string());
        let job = get(&router, &format!("/jobs/{first}")).await;
        assert_eq!((&job["state"], &job["name"]), (&json!("running"), &json!("mail:send")));
        assert_eq!(job["tenant"], fixture.tenant.context().tenant().to_string());
        assert!(job.get("payload").is_none(), "payloads are nobody's but the handler's");

        let later = NewJob::of(Mail { n: 3 }).after(Duration::from_secs(3600));
        let later = fixture.queues.tenant(&fixture.tenant).enqueue(later).await.unwrap().job_id();
        let now = json!({ "seconds": 0 });
        let at = |job: JobId| format!("/jobs/{job}/reschedule");
        change(&router, "POST", &at(later), now.clone()).await;
        let due = |job: &Value| OffsetDateTime::parse(job["due_at"].as_str().unwrap(), &Rfc3339).unwrap();
        let (soon, first_due) = (get(&router, &format!("/jobs/{later}")).await, due(&job));
        assert!(due(&soon) - first_due < Duration::from_secs(60), "{soon}");
        assert_eq!(call(&router, "POST", &at(second), Some(now)).await.0, StatusCode::NOT_FOUND, "it is due");
        let (status, _) = call(&router, "POST", &at(later), Some(json!({ "seconds": -1 }))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);

        let asked = change(&router, "POST", &format!("/jobs/{first}/cancel"), Value::Null).await;
        assert_eq!(asked, json!({ "cancelled": "asked" }));
        let removed = change(&router, "POST", &format!("/jobs/{second}/cancel"), Value::Null).await;
        assert_eq!(removed, json!({ "cancelled": "removed" }));
        assert_eq!(
            call(&router, "POST", &format!("/jobs/{second}/cancel"), None).await.0,
            StatusCode::NOT_FOUND
        );
        assert_eq!(call(&router, "GET", "/jobs/seven", None).await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn dead_letters_come_back_or_go_for_ever() {
    everywhere(async |mut fixture| {
        let router = everybody(&fixture.queues);
        let dead = fixture.dead(5).await;
        let letters = get(&router, "/dead-letters?name=mail:send&reason=failed&most=2").await;
        assert_eq!(letters["dead_letters"].as_array().unwrap().len(), 2);
        assert_eq!(letters["dead_letters"][0]["error"], "no such address");

        let one = json!({ "filter": { "job": dead[3] }, "into": "bulk" });
        assert_eq!(change(&router, "POST", "/dead-letters/redrive", one).await, json!({ "jobs": [dead[3]] }));
        assert_eq!(get(&router, "/queues/bulk").await["ready"], 1);
        let three = json!({ "all": true, "most": 3 });
        assert_eq!(change(&router, "POST", "/dead-letters/discard", three).await, json!({ "discarded": 3 }));
        assert_eq!(get(&router, "/queues/mail").await["dead"], 1);

        // Nobody throws everything away by saying nothing.
        for vague in [
            json!({}),
            json!({ "filter": {} }),
            json!({ "filter": { "queue": "mail" }, "all": true }),
            json!({ "filter": { "older_than_seconds": 0 } }),
        ] {
            for path in ["/dead-letters/discard", "/dead-letters/redrive"] {
                let (status, _) = call(&router, "POST", path, Some(vague.clone())).await;
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {vague}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn queues_and_tenants_are_paused_and_weighted() {
    everywhere(async |mut fixture| {
        let router = everybody(&fixture.queues);
        let tenant = fixture.tenant.context().tenant();
        fixture.mail(1).await;
        change(&router, "POST", "/queues/mail/pause", json!({})).await;
        assert_eq!(get(&router, "/queues/mail").await["paused"], true);
        assert_eq!(fixture.claim("mail", 1).await, []);
        change(&router, "POST", "/queues/mail/resume", json!({})).await;
        change(&router, "POST", "/queues/mail/pause", json!({ "tenant": tenant })).await;
        assert_eq!(fixture.claim("mail", 1).await, []);
        change(&router, "POST", "/queues/mail/resume", json!({ "tenant": tenant })).await;
        assert_eq!(fixture.claim("mail", 1).await.len(), 1);
        change(&router, "PUT", &format!("/queues/mail/tenants/{tenant}"), json!({ "weight": 4 })).await;
        let share = fixture.share().await;
        assert!((70..=90).contains(&share), "{share} instead of 80");
        assert_eq!(get(&router, "/queues?most=1").await["queues"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn limits_are_set_seen_held_and_removed() {
    everywhere(async |mut fixture| {
        let router = everybody(&fixture.queues);
        let limit = json!({ "at_once": 1, "rate": { "count": 10, "period_seconds": 0.5 } });
        change(&router, "PUT", "/limits/host?key=example.com", limit).await;
        fixture.mails.enqueue_all([limited(1), limited(2)]).await.unwrap();
        assert_eq!(fixture.claim("mail", 10).await.len(), 1);
        let limits = get(&router, "/limits").await;
        let set = &limits["limits"][0];
        assert_eq!(
            (&set["name"], &set["key"], &set["running"]),
            (&json!("host"), &json!("example.com"), &json!(1))
        );
        assert_eq!(
            set["limit"],
            json!({ "at_once": 1, "rate": { "count": 10, "period_seconds": 0.5, "burst": 10 } })
        );
        change(&router, "DELETE", "/limits/host?key=example.com", Value::Null).await;
        assert_eq!(fixture.claim_soon("mail", 1).await.len(), 1);
        assert_eq!(get(&router, "/limits").await["limits"][0]["limit"], Value::Null);

        for hold in ["/limits/host/hold", "/limits/host/hold?key=example.com"] {
            change(&router, "POST", hold, json!({ "seconds": 30 })).await;
            fixture.mails.enqueue(limited(3)).await.unwrap();
            assert_eq!(fixture.claim("mail", 10).await, []);
            change(&router, "POST", hold, json!({ "seconds": 0 })).await;
            assert_eq!(fixture.claim_soon("mail", 1).await.len(), 1);
        }

        change(&router, "PUT", "/queues/bulk/limit", json!({ "at_once": 1 })).await;
        let bulk = (0..2).map(|n| NewJob::of(Mail { n }).queue("bulk"));
        fixture.mails.enqueue_all(bulk).await.unwrap();
        assert_eq!(fixture.claim("bulk", 10).await.len(), 1);
        change(&router, "DELETE", "/queues/bulk/limit", Value::Null).await;
        assert_eq!(fixture.claim("bulk", 10).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn schedules_are_seen_changed_stopped_and_removed() {
    everywhere(async |fixture| {
        let router = everybody(&fixture.queues);
        let nightly = Schedule::cron("nightly", "0 3 * * *").job(&fixture.tenant, Mail { n: 1 });
        fixture.queues.schedules().put(nightly).await.unwrap();
        let found = get(&router, "/schedules?queue=mail").await;
        assert_eq!(
            (&found["schedules"][0]["name"], &found["schedules"][0]["zone"]),
            (&json!("nightly"), &json!("UTC"))
        );
        let edit = json!({ "zone": "Europe/Zurich", "missed": "skip" });
        let edited = change(&router, "PATCH", "/schedules/mail/nightly", edit).await;
        assert_eq!(
            (&edited["zone"], &edited["cron"], &edited["missed"]),
            (&json!("Europe/Zurich"), &json!("0 3 * * *"), &json!("skip"))
        );
        let (status, problem) =
            call(&router, "PATCH", "/schedules/mail/nightly", Some(json!({ "cron": "never" }))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            problem["detail"].as_str().unwrap().contains("expected `minute hour day month weekday`"),
            "{problem}"
        );
        change(&router, "POST", "/schedules/mail/nightly/pause", Value::Null).await;
        assert_eq!(get(&router, "/schedules").await["schedules"][0]["paused"], true);
        change(&router, "POST", "/schedules/mail/nightly/resume", Value::Null).await;
        assert_eq!(get(&router, "/schedules").await["schedules"][0]["paused"], false);
        change(&router, "DELETE", "/schedules/mail/nightly", Value::Null).await;
        assert_eq!(call(&router, "DELETE", "/schedules/mail/nightly", None).await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_its_place_and_never_quoted() {
    everywhere(async |fixture| {
        let router = everybody(&fixture.queues);
        let secret = "secret-1234";
        let tenant = fixture.tenant.context().tenant();
        for (method, uri, body, status) in [
            ("GET", "/jobs?most=0".to_owned(), None, 422),
            ("GET", "/jobs?most=1001".to_owned(), None, 422),
            ("GET", format!("/jobs?most={secret}"), None, 400),
            ("GET", format!("/jobs?state={secret}"), None, 422),
            ("GET", format!("/jobs?after={secret}"), None, 422),
            ("GET", "/limits?after=bnVsbA".to_owned(), None, 422),
            ("GET", format!("/jobs?more={secret}"), None, 400),
            ("GET", format!("/dead-letters?reason={secret}"), None, 422),
            ("PUT", "/limits/host".to_owned(), Some(json!({ "at_once": secret })), 422),
            ("PUT", "/limits/host".to_owned(), Some(json!({ "at_once": 1, "more": secret })), 422),
            ("PUT", "/limits/host".to_owned(), Some(json!({})), 422),
            ("PUT", "/limits/host".to_owned(), Some(json!({ "at_once": 0 })), 422),
            (
                "PUT",
                "/limits/host".to_owned(),
                Some(json!({ "rate": { "count": 1, "period_seconds": -1 } })),
                422,
            ),
            ("PUT", "/limits/two%20words".to_owned(), Some(json!({ "at_once": 1 })), 422),
            ("POST", "/limits/host/hold".to_owned(), Some(json!({ "seconds": 86_401 })), 422),
            ("PUT", format!("/queues/mail/tenants/{tenant}"), Some(json!({ "weight": 101 })), 422),
            ("POST", "/queues/mail/pause".to_owned(), None, 415),
            ("POST", "/queues/mail/pause".to_owned(), Some(json!({ "tenant": "x".repeat(20_000) })), 413),
            ("PATCH", "/schedules/mail/none".to_owned(), Some(json!({ "missed": secret })), 422),
            ("PATCH", "/schedules/mail/none".to_owned(), Some(json!({})), 404),
            ("GET", "/queues/none".to_owned(), None, 404),
        ] {
            let (answered, problem) = call(&router, method, &uri, body).await;
            assert_eq!(answered.as_u16(), status, "{method} {uri}: {problem}");
            assert!(!problem.to_string().contains(secret), "{problem}");
        }
    })
    .await;
}

/// A list without what time alone changes.
fn still(list: &Value) -> Vec<Value> {
    let mut things = list.as_array().unwrap().clone();
    for thing in &mut things {
        thing.as_object_mut().unwrap().remove("oldest_seconds");
    }
    things
}

/// All of a list, two things at a time.
async fn pages(router: &Router, path: &str, list: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(router, &format!("{path}?most=2{after}")).await;
        let things = still(&page[list]);
        assert!(things.len() <= 2, "{page}");
        all.extend(things);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn every_list_comes_in_pages() {
    everywhere(async |mut fixture| {
        let router = everybody(&fixture.queues);
        fixture.dead(5).await;
        for n in 0..5 {
            fixture.mail(n).await;
            let limit = Some(crate::Limit::concurrency(1));
            fixture.queues.set_limit("host", Some(&n.to_string()), limit).await.unwrap();
            fixture.queues.queue(format!("q{n}")).pause().await.unwrap();
            let schedule = Schedule::cron(format!("s{n}"), "0 3 * * *").job(&fixture.tenant, Mail { n });
            fixture.queues.schedules().put(schedule).await.unwrap();
        }
        for (path, list, most) in [
            ("/queues", "queues", 7),
            ("/jobs", "jobs", 10),
            ("/dead-letters", "dead_letters", 5),
            ("/limits", "limits", 5),
            ("/schedules", "schedules", 5),
        ] {
            let whole = get(&router, path).await;
            assert_eq!(whole["next"], Value::Null, "{path}: this page is not full");
            let paged = pages(&router, path, list).await;
            assert_eq!((paged.len(), paged), (most, still(&whole[list])), "{path}");
            // The place of one list is none in another.
            let next = get(&router, &format!("{path}?most=1")).await["next"].as_str().unwrap().to_owned();
            let other = if path == "/jobs" { "/queues" } else { "/jobs" };
            let (status, _) = call(&router, "GET", &format!("{other}?after={next}"), None).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_field_is_named_by_its_place() {
    let router = everybody(&Queues::memory());
    let tenant = format!("/queues/mail/tenants/{}", uuid::Uuid::now_v7());
    for (method, uri, body, pointer) in [
        ("GET", "/jobs?most=0", Value::Null, "most"),
        ("GET", "/dead-letters?reason=x", Value::Null, "reason"),
        ("POST", "/dead-letters/redrive", json!({ "all": true, "most": 0 }), "/most"),
        ("POST", "/dead-letters/discard", json!({ "filter": { "reason": "x" } }), "/filter/reason"),
        ("POST", "/dead-letters/discard", json!({}), "/filter"),
        (
            "PUT",
            "/limits/host",
            json!({ "rate": { "count": 1, "period_seconds": -1 } }),
            "/rate/period_seconds",
        ),
        ("PUT", "/limits/host", json!({ "at_once": "x" }), "/at_once"),
        ("PUT", &tenant, json!({}), "/weight"),
        ("POST", "/queues/mail/pause", json!({ "more": 1 }), "/more"),
    ] {
        let (status, problem) = call(&router, method, uri, (!body.is_null()).then_some(body)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{method} {uri}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{method} {uri}: {problem}");
    }
}

/// Each operation of the document: method, path with something in its places, action, and a body where it takes one.
fn operations() -> Vec<(String, String, String, Option<Value>)> {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = crate::JobId::new().to_string();
            let path = path.replace("{job}", &id).replace("{tenant}", &id);
            let path = path.replace("{queue}", "mail").replace("{name}", "nightly");
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
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let action = operation["x-action"].as_str().unwrap();
            documented.insert([method.as_str(), path.as_str(), action].map(str::to_owned));
        }
    }
    assert_eq!(documented, routes());
}

#[tokio::test]
async fn every_operation_of_the_document_is_there_and_authorized_as_it_says() {
    let asked: Arc<Mutex<Vec<Action>>> = Arc::default();
    let log = asked.clone();
    let router: Router = router(Queues::memory(), move |_, action| {
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

#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    everywhere(async |mut fixture| {
        let router = everybody(&fixture.queues);
        fixture.dead(2).await;
        fixture.queues.set_limit("host", None, Some(crate::Limit::concurrency(9))).await.unwrap();
        fixture.mails.enqueue(limited(1)).await.unwrap();
        let running = fixture.claim("mail", 1).await[0].job;
        fixture.progress(running, Progress::new(0.5, "half-way")).await;
        let done = fixture.mail(2).await;
        let claimed = fixture.claim("mail", 1).await;
        let keep = std::time::Duration::from_secs(60);
        fixture.settle("mail", &claimed, Fate::Completed { result: Some("[7]".to_owned()), keep }).await;
        let nightly = Schedule::cron("nightly", "0 3 * * *").job(&fixture.tenant, NewJob::of(Mail { n: 1 }));
        fixture.queues.schedules().put(nightly).await.unwrap();

        assert_eq!(get(&router, &format!("/jobs/{running}")).await["progress"]["note"], "half-way");
        assert_eq!(get(&router, &format!("/jobs/{done}")).await["result"], json!([7]));
        for (path, of) in [
            ("/queues", "/queues"),
            ("/queues/mail", "/queues/{queue}"),
            ("/jobs", "/jobs"),
            (&*format!("/jobs/{running}"), "/jobs/{job}"),
            (&*format!("/jobs/{done}"), "/jobs/{job}"),
            ("/dead-letters", "/dead-letters"),
            ("/limits", "/limits"),
            ("/schedules", "/schedules"),
            ("/openapi.json", "/openapi.json"),
        ] {
            conforms(of, "get", "200", &get(&router, path).await);
        }
        let back = change(&router, "POST", "/dead-letters/redrive", json!({ "all": true, "most": 1 })).await;
        conforms("/dead-letters/redrive", "post", "200", &back);
        let gone = change(&router, "POST", "/dead-letters/discard", json!({ "all": true })).await;
        conforms("/dead-letters/discard", "post", "200", &gone);
        let cancelled = change(&router, "POST", &format!("/jobs/{running}/cancel"), Value::Null).await;
        conforms("/jobs/{job}/cancel", "post", "200", &cancelled);
        let (_, problem) = call(&router, "GET", "/jobs?most=0", None).await;
        conforms("/jobs", "get", "default", &problem);
    })
    .await;
}

fn conforms(path: &str, method: &str, status: &str, answer: &Value) {
    let document = serde_json::from_str(OPENAPI).unwrap();
    let mistake = openapi::mistake(&document, (path, method, status), answer);
    assert_eq!(mistake, None, "{method} {path}: {answer}");
}

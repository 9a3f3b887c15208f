//! Against a server of this machine that counts what it is asked. Time stands still unless a test moves it.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Response, Uri};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::{Algorithm, SigningKey};

#[derive(Clone)]
struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

#[derive(Default)]
struct Pages {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
}

/// A server, and a guard without which a clock that stands still would jump to the next time-out while a socket is waited for.
struct Site {
    url: String,
    pages: Arc<Mutex<Pages>>,
    _server: AbortOnDropHandle<()>,
    _still: mpsc::Sender<()>,
}

impl Site {
    async fn new() -> Self {
        let (still, ends) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || ends.recv());
        let pages = Arc::new(Mutex::new(Pages::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&pages));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server =
            AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
        Self { url, pages, _server: server, _still: still }
    }

    async fn with(keys: &[&SigningKey]) -> Self {
        let site = Self::new().await;
        site.has(keys);
        site
    }

    fn answers(&self, path: &str, status: u16, body: impl ToString) {
        let answer = Answer { status, location: None, body: body.to_string() };
        self.pages.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    fn has(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| jwk(key)).collect();
        self.answers("/jwks", 200, json!({ "keys": keys }));
    }

    fn fetches(&self) -> usize {
        self.pages.lock().unwrap().asked.iter().filter(|path| *path == "/jwks").count()
    }

    fn jwks(&self) -> String {
        format!("{}/jwks", self.url)
    }

    async fn client(&self) -> JwksClient {
        JwksClient::start(&self.jwks(), JwksConfig::default()).await.unwrap()
    }

    async fn refused(&self) -> &'static str {
        match JwksClient::start(&self.jwks(), JwksConfig::default()).await {
            Err(Error::JwksFetch { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }
}

async fn answer(State(pages): State<Arc<Mutex<Pages>>>, uri: Uri) -> Response<String> {
    let mut pages = pages.lock().unwrap();
    pages.asked.push(uri.path().to_owned());
    let missing = Answer { status: 404, location: None, body: String::new() };
    let answer = pages.answers.get(uri.path()).cloned().unwrap_or(missing);
    let mut response = Response::builder().status(answer.status);
    if let Some(location) = answer.location {
        response = response.header("location", location);
    }
    response.body(answer.body).unwrap()
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).unwrap()
}

fn jwk(key: &SigningKey) -> Value {
    serde_json::from_str(&key.verifying_key().to_jwk().unwrap()).unwrap()
}

fn knows(keys: &Keys, key: &SigningKey) -> bool {
    keys.current().get(key.id()).is_some()
}

async fn advance(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

/// Lets everything else run until a condition holds, and not for ever.
async fn until(condition: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "the condition never came true");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_there_at_the_start_and_refreshed_before_anybody_asks() {
    let (old, new) = (key(), key());
    let site = Site::with(&[&old]).await;
    let client = site.client().await;
    let keys = client.keys();
    assert!(knows(&keys, &old));
    let epoch = keys.current().epoch();

    assert!(!keys.look_for("unknown").await);
    assert_eq!((site.fetches(), keys.current().epoch()), (2, epoch), "the same document changes nothing");
    site.has(&[&old, &new]);
    advance(301).await;
    until(|| knows(&keys, &new)).await;
    assert!(knows(&keys, &old));
    assert_eq!((site.fetches(), keys.current().epoch()), (3, epoch + 1));
}

/// ASVS 9.1.3: a key that its issuer has withdrawn is not believed any more.
#[tokio::test(start_paused = true)]
async fn a_removed_key_dies_with_the_next_fetch() {
    let (old, new) = (key(), key());
    let site = Site::with(&[&old]).await;
    let client = site.client().await;
    site.has(&[&new]);
    assert!(client.keys().look_for(new.id()).await, "asking for the new one is enough");
    assert!(!knows(&client.keys(), &old));
}

/// The same id with other numbers is another key.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_exchanged_under_its_id_is_the_new_one() {
    let (old, new) = (key(), key());
    let named = |key: &SigningKey| {
        let mut jwk = jwk(key);
        jwk["kid"] = json!("fixed");
        json!({ "keys": [jwk] })
    };
    let site = Site::new().await;
    site.answers("/jwks", 200, named(&old));
    let client = site.client().await;
    site.answers("/jwks", 200, named(&new));
    let believes = |key: &SigningKey| {
        let signature = key.sign(b"message").unwrap();
        client.keys().current().get("fixed").is_some_and(|fixed| fixed.verifies(b"message", &signature))
    };
    assert!(believes(&old));
    advance(301).await;
    until(|| believes(&new)).await;
    assert!(!believes(&old));
}

#[tokio::test(start_paused = true)]
async fn many_that_ask_for_an_unknown_key_share_one_fetch() {
    let (old, new) = (key(), key());
    let site = Site::with(&[&old]).await;
    let client = site.client().await;
    site.has(&[&old, &new]);
    let mut asking = JoinSet::new();
    for _ in 0..64 {
        let (keys, id) = (client.keys(), new.id().to_owned());
        asking.spawn(async move { keys.look_for(&id).await });
    }
    assert_eq!(asking.join_all().await, [true; 64]);
    assert_eq!(site.fetches(), 2);
    assert!(client.keys().look_for(old.id()).await);
    assert_eq!(site.fetches(), 2, "a key that is known is never asked for, whatever its signatures are");
}

/// ASVS 9.1.3: forgers choose the ids of keys.
#[tokio::test(start_paused = true)]
async fn a_million_random_ids_cause_one_fetch_a_cool_down_and_no_memory() {
    const COOL_DOWNS: usize = 10;
    let site = Site::with(&[&key()]).await;
    // No regular fetch meanwhile: what is counted is what the ids cause.
    let config = JwksConfig { refresh: Duration::from_secs(3600), ..JwksConfig::default() };
    let client = JwksClient::start(&site.jwks(), config).await.unwrap();
    let keys = client.keys();
    for round in 0..COOL_DOWNS {
        for number in 0..100_000 {
            assert!(!keys.look_for(&format!("{round}-{number}")).await);
        }
        assert_eq!(site.fetches(), 1 + round + 1);
        advance(30).await;
    }
    // Those that wait for the same fetch are all remembered, up to the bound.
    let mut asking = JoinSet::new();
    for number in 0..5_000 {
        let keys = keys.clone();
        asking.spawn(async move { keys.look_for(&format!("waiting-{number}")).await });
    }
    assert!(asking.join_all().await.iter().all(|found| !found));
    assert_eq!((site.fetches(), keys.remembered()), (1 + COOL_DOWNS + 1, 1024));
}

#[tokio::test(start_paused = true)]
async fn an_absent_key_is_not_asked_for_again_for_a_while() {
    let site = Site::with(&[&key()]).await;
    let config = JwksConfig { refresh: Duration::from_secs(3600), ..JwksConfig::default() };
    let client = JwksClient::start(&site.jwks(), config).await.unwrap();
    assert!(!client.keys().look_for("old").await);
    advance(31).await;
    assert!(!client.keys().look_for("old").await);
    assert_eq!(site.fetches(), 2, "the cool-down is over, and it is known to be absent");
    assert!(!client.keys().look_for("another").await);
    assert_eq!(site.fetches(), 3);
    advance(600).await;
    assert!(!client.keys().look_for("old").await);
    assert_eq!(site.fetches(), 4);
}

#[tokio::test(start_paused = true)]
async fn keys_outlive_an_outage_for_their_time_and_then_fail_closed() {
    let (old, new) = (key(), key());
    let site = Site::with(&[&old]).await;
    let client = site.client().await;
    let keys = client.keys();
    site.answers("/jwks", 500, "");
    assert!(!keys.look_for(new.id()).await);
    assert_eq!(keys.remembered(), 0, "without an answer nothing is known to be absent");
    advance(3500).await;
    until(|| site.fetches() >= 3).await;
    assert!(knows(&keys, &old), "for an hour");
    advance(101).await;
    until(|| !knows(&keys, &old)).await;

    site.has(&[&old, &new]);
    advance(61).await;
    until(|| knows(&keys, &old) && knows(&keys, &new)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_document_changes_nothing() {
    let (old, new) = (key(), key());
    let site = Site::with(&[&old]).await;
    let client = site.client().await;
    site.answers("/jwks", 200, json!({ "keys": [jwk(&new), jwk(&new)] }));
    assert!(!client.keys().look_for(new.id()).await);
    assert!(knows(&client.keys(), &old));
}

/// ASVS 15.3.2: nothing is followed, and nothing is read without end.
#[tokio::test(start_paused = true)]
async fn what_is_no_good_document_is_refused() {
    let ours = key();
    let site = Site::new().await;
    assert_eq!(site.refused().await, "an answer other than 200");
    site.answers("/moved", 200, json!({ "keys": [jwk(&ours)] }));
    let moved = Answer { status: 302, location: Some("/moved".to_owned()), body: String::new() };
    site.pages.lock().unwrap().answers.insert("/jwks".to_owned(), moved);
    assert_eq!(site.refused().await, "an answer other than 200");
    assert!(!site.pages.lock().unwrap().asked.contains(&"/moved".to_owned()));

    let no_set = "the document is no JWK Set";
    for body in ["", "[]", "{}", "{\"keys\": {}}", "<html>", "{\"keys\": [1", &"[".repeat(60_000)] {
        site.answers("/jwks", 200, body);
        assert_eq!(site.refused().await, no_set, "{body:.20}");
    }
    let padded = json!({ "keys": [jwk(&ours)], "padding": "x".repeat(64 * 1024) });
    site.answers("/jwks", 200, padded);
    assert_eq!(site.refused().await, "the document is larger than 64 KiB");
    let numbered = |number: usize| json!({ "kty": "oct", "kid": number.to_string() });
    site.answers("/jwks", 200, json!({ "keys": (0..101).map(numbered).collect::<Vec<_>>() }));
    assert_eq!(site.refused().await, "the document has more than 100 keys");
    let mut twin = numbered(1);
    twin["kid"] = json!(ours.id());
    site.answers("/jwks", 200, json!({ "keys": [twin, jwk(&ours)] }));
    assert_eq!(site.refused().await, "the document has two keys of one id");
}

/// ASVS 9.1.2: a symmetric key in public is nobody's secret, and a private one has been given away.
#[tokio::test(start_paused = true)]
async fn keys_that_are_not_for_us_are_ignored() {
    let (ours, given_away) = (key(), key());
    let mut private = jwk(&given_away);
    private["d"] = json!("AAAA");
    let odd = [
        json!({ "kty": "oct", "kid": "secret", "alg": "HS256", "k": "A".repeat(43) }),
        json!({ "kty": "new", "kid": "unknown" }),
        json!({ "kty": "RSA", "kid": 7 }),
        json!("text"),
        json!(null),
        private,
    ];
    let site = Site::new().await;
    site.answers("/jwks", 200, json!({ "keys": odd }));
    assert_eq!(
        site.refused().await,
        "the document has no key that verifies tokens with EdDSA, ES256 or RS256"
    );
    let all: Vec<Value> = odd.iter().cloned().chain([jwk(&ours)]).collect();
    site.answers("/jwks", 200, json!({ "keys": all }));
    let keys = site.client().await.keys.clone();
    let client = site.client().await;
    assert_eq!(
        client.keys().current().iter().map(|key| key.id().to_owned()).collect::<Vec<_>>(),
        [ours.id()]
    );
    until(|| keys.current().iter().next().is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn who_has_stopped_asks_no_more_and_believes_nothing() {
    let ours = key();
    let site = Site::with(&[&ours]).await;
    let client = site.client().await;
    let keys = client.keys();
    client.stop().await;
    assert!(!knows(&keys, &ours));
    advance(3600).await;
    assert!(!keys.look_for(ours.id()).await, "nobody is there to ask, and nobody waits");
    assert_eq!(site.fetches(), 1);

    let dropped = site.client().await;
    let keys = dropped.keys();
    drop(dropped);
    until(|| !knows(&keys, &ours)).await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let config = JwksConfig { timeout: Duration::from_millis(100), ..JwksConfig::default() };
    assert!(matches!(JwksClient::start(&url, config).await, Err(Error::JwksFetch { .. })));
}

/// ASVS 12.2.1: keys come encrypted, or from this machine.
#[tokio::test]
async fn keys_are_not_taken_from_unsafe_addresses() {
    for url in [
        "http://id.example/jwks",
        "http://127.0.0.1.example/jwks",
        "http://localhost.example/jwks",
        "http://10.0.0.1/jwks",
        "http://[::ffff:10.0.0.1]/jwks",
        "https://user:password@id.example/jwks",
        "https://user@id.example/jwks",
        "file:///etc/passwd",
        "ftp://id.example/jwks",
        "//id.example/jwks",
        "jwks",
        "",
    ] {
        assert!(matches!(JwksClient::start(url, JwksConfig::default()).await, Err(Error::JwksUrl)), "{url}");
    }
}

/// ASVS 10.5.3: an issuer is who it says, character by character.
#[tokio::test(start_paused = true)]
async fn discovery_believes_the_issuer_alone() {
    let ours = key();
    let site = Site::with(&[&ours]).await;
    let page = "/.well-known/openid-configuration";
    let discover = || JwksClient::discover(&site.url, JwksConfig::default());

    site.answers(page, 200, json!({ "issuer": site.url, "jwks_uri": site.jwks(), "other": 1 }));
    assert!(knows(&discover().await.unwrap().keys, &ours));
    for issuer in
        [format!("{}/", site.url), site.url.to_uppercase(), "https://evil.example".to_owned(), String::new()]
    {
        site.answers(page, 200, json!({ "issuer": issuer, "jwks_uri": site.jwks() }));
        assert!(matches!(discover().await, Err(Error::Discovery)), "{issuer}");
    }
    for body in ["", "{}", "[]"] {
        site.answers(page, 200, body);
        assert!(matches!(discover().await, Err(Error::Discovery)), "{body}");
    }
    site.answers(page, 200, json!({ "issuer": site.url, "jwks_uri": "http://id.example/jwks" }));
    assert!(matches!(discover().await, Err(Error::JwksUrl)));
    site.answers(page, 404, "");
    assert!(matches!(discover().await, Err(Error::JwksFetch { .. })));
}

//! The service under test: what happens to its requests is what its tests are about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared_service::prelude::*;
use shared_service::testing::{TestService, TestTenant};
use tokio::sync::Notify;

#[derive(Config)]
#[config(prefix = "PROBE")]
pub(crate) struct Settings {
    pub(crate) service: shared_service::Config,
    pub(crate) db: shared_service::db::Config,
}

permissions! { pub(crate) static MATRIX = "probe" { Ask = "probe:ask" } }

/// A handler that stays inside until it is let go.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    pub(crate) entered: Arc<Notify>,
    pub(crate) open: Arc<Notify>,
    pub(crate) dropped: Arc<AtomicBool>,
}

/// Notes that its owner was dropped before it was done.
struct Inside(Arc<AtomicBool>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn wait(State(gate): State<Gate>) -> &'static str {
    let inside = Inside(gate.dropped.clone());
    gate.entered.notify_one();
    gate.open.notified().await;
    std::mem::forget(inside);
    "let go"
}

async fn panics() -> &'static str {
    panic!("as the test wants it")
}

#[derive(Debug, Deserialize, Validate)]
struct Page {
    #[validate(range(min = 1, max = 100))]
    size: u32,
}

async fn page(Path(id): Path<u64>, Valid(Query(page)): Valid<Query<Page>>) -> String {
    format!("{id} {}", page.size)
}

pub(crate) fn service(gate: &Gate) -> Service<Settings, Gate> {
    let gate = gate.clone();
    Service::open("probe", async move |_| Ok(gate)).permissions(&MATRIX).routes(
        Router::new()
            .route("/wait", get(wait))
            .route("/panic", get(panics))
            .route("/pages/{id}", get(page))
            .route("/ok", get(async || "ok")),
    )
}

/// Waits for a condition of the outside world.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let there = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(30), there).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// An OpenAPI document, as a client reads it: its server is a reference from where it lies (RFC 3986), and a path is appended to that.
pub(crate) async fn addresses_lead_somewhere<S: Clone + Send + Sync + 'static>(
    app: &TestService<S>,
    path: &str,
    reader: &TestTenant,
) {
    let document: serde_json::Value = app.get(path, reader).await.ok().json();
    let at = reqwest::Url::parse(&format!("{}{path}", app.url())).unwrap();
    let server = at.join(document["servers"][0]["url"].as_str().unwrap_or("/")).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let lists = paths.filter(|(path, methods)| !path.contains('{') && methods["get"].is_object());
    for (path, _) in lists {
        let address = format!("{}{path}", server.path().trim_end_matches('/'));
        app.get(&address, reader).await.ok();
    }
}

pub(crate) async fn start(
    gate: &Gate,
    variables: impl IntoIterator<Item = (&'static str, &str)>,
) -> TestService<Gate> {
    let variables = variables.into_iter().map(|(name, text)| (name, text.to_owned()));
    TestService::start_with(service(gate), variables).await
}

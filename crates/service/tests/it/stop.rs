//! A stop finishes what was accepted, accepts no more, and cuts off at its deadline.

use std::sync::atomic::Ordering;

use crate::support::{Gate, start};

/// A request that stays inside, sent by a client of its own.
fn waiting(url: String) -> tokio::task::JoinHandle<reqwest::Result<String>> {
    tokio::spawn(async move { reqwest::get(format!("{url}/wait")).await?.text().await })
}

#[tokio::test]
async fn a_request_under_way_gets_its_answer() {
    let gate = Gate::default();
    let app = start(&gate, []).await;
    let (url, admin) = (app.url(), app.admin_url());
    let request = waiting(url.clone());
    gate.entered.notified().await;

    let stop = tokio::spawn(app.stop());
    // Callers are refused from now on, and the probe says why.
    while reqwest::get(format!("{url}/ok")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(reqwest::get(format!("{admin}/ready")).await.unwrap().status(), 503);
    assert_eq!(reqwest::get(format!("{admin}/live")).await.unwrap().status(), 200);
    gate.open.notify_one();
    assert_eq!(request.await.unwrap().unwrap(), "let go");
    assert!(stop.await.unwrap().is_clean());
    assert!(reqwest::get(format!("{admin}/live")).await.is_err());
}

#[tokio::test]
async fn what_outlasts_the_deadline_is_cut_off_and_counted() {
    let gate = Gate::default();
    let app = start(&gate, [("PROBE_SERVICE_DRAIN_TIMEOUT", "100ms")]).await;
    let request = waiting(app.url());
    gate.entered.notified().await;
    let stopped = app.stop().await;
    assert_eq!(stopped.connections, 1);
    assert!(gate.dropped.load(Ordering::SeqCst), "nothing runs after a stop");
    assert!(request.await.unwrap().is_err());
}

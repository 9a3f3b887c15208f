//! What a service shows at `/metrics`, as Prometheus sees it.

use std::process::Stdio;

use serde_json::Value;
use shared_service::testing::TestService;
use system_tests::{PROMETHEUS, PROMTOOL};
use tokio::io::AsyncWriteExt;

use crate::process::{Place, Server, free_port};

#[tokio::test]
async fn promtool_finds_nothing_to_object_to() {
    let app = TestService::start(notes::service()).await;
    let metrics = reqwest::get(format!("{}/metrics", app.admin_url())).await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let place = Place::new();
    let mut command = place.command(&PROMTOOL);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn().expect("promtool starts");
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(metrics.as_bytes()).await.expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().await.expect("promtool ends");
    assert!(output.status.success(), "{}\n{metrics}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn prometheus_scrapes_a_service() {
    let app = TestService::start(notes::service()).await;
    let (place, port) = (Place::new(), free_port());
    let target = app.admin_url().replace("http://", "");
    let settings = format!(
        "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
         scrape_configs: [{{ job_name: notes, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
    );
    let settings = place.write("prometheus.yml", settings);
    let mut command = place.command(&PROMETHEUS);
    command.arg("--config.file").arg(settings).arg("--storage.tsdb.path").arg(place.path().join("data"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut prometheus = Server::start(command, place);
    let up =
        prometheus.until("the service is up", async || value(port, "up{job=\"notes\"} == 1").await).await;
    assert_eq!(up, "1");
    let lines = "shared_log_lines_total{error_type=\"\"}";
    prometheus.until("a counter has arrived", async || value(port, lines).await).await;
}

/// The value of the one series that a query finds.
async fn value(port: u16, query: &str) -> Option<String> {
    let url = format!("http://127.0.0.1:{port}/api/v1/query");
    let answer = reqwest::Client::new().get(url).query(&[("query", query)]).send().await.ok()?;
    let answer: Value = answer.json().await.ok()?;
    answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}

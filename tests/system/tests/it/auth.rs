//! Clients of another language believe the tokens of the auth service, and its OpenAPI document is one.

use std::path::PathBuf;

use auth_service::App;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use shared_service::testing::TestService;
use system_tests::PYTHON_PIP;
use tempfile::TempDir;

use crate::process::run;

/// The packages, by their exact versions.
const PACKAGES: [&str; 3] = ["PyJWT[crypto]==2.15.1", "Authlib==1.9.9", "openapi-spec-validator==0.9.0"];

/// A Python with the packages, which are gone with it.
struct Python {
    packages: TempDir,
    program: PathBuf,
}

impl Python {
    async fn new() -> Self {
        let python = Self { packages: tempfile::tempdir().expect("a directory"), program: PYTHON_PIP.path() };
        let mut pip = python.command();
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--target",
        ]);
        pip.arg(python.packages.path()).args(PACKAGES);
        let (success, said) = run(&mut pip).await;
        assert!(success, "{said}");
        python
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        // RFC 9864 has another name for EdDSA, and says so to everybody who uses this one.
        command.env("PYTHONWARNINGS", "ignore");
        command.env("PYTHONPATH", self.packages.path()).current_dir(self.packages.path()).kill_on_drop(true);
        command
    }

    /// What a script prints.
    async fn says(&self, script: &str, arguments: &[&str]) -> String {
        let (success, said) = run(self.command().args(["-c", script]).args(arguments)).await;
        assert!(success, "{said}");
        said
    }
}

async fn post(app: &TestService<App>, path: &str, body: Value) -> Value {
    let sent = reqwest::Client::new().post(format!("{}{path}", app.url())).json(&body).send().await;
    let answer = sent.expect("an answer").error_for_status().expect("it succeeds");
    answer.json().await.expect("JSON")
}

/// The token of somebody who has just registered.
async fn token(app: &TestService<App>) -> String {
    let mut account = json!({ "email": "ada@acme.example", "password": "a staple of horses, correct" });
    account["tenant_name"] = json!("Acme");
    let registered = post(app, "/api/auth/register", account.clone()).await;
    account.as_object_mut().expect("an object").remove("tenant_name");
    account["tenant"] = registered["tenant"].clone();
    let tokens = post(app, "/api/auth/login", account).await;
    tokens["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn pyjwt_and_authlib_believe_our_tokens_and_no_others() {
    let python = Python::new().await;
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let settings = [("AUTH_KEYS_RING_ALGORITHM", algorithm.to_owned())];
        let app = TestService::start_with(auth_service::service(), settings).await;
        let token = token(&app).await;
        let url = app.url();
        let arguments = [url.as_str(), &token, algorithm];
        let said = "the token is believed, and no other\n";
        assert_eq!(python.says(include_str!("auth/pyjwt.py"), &arguments).await, said, "{algorithm}");
        assert_eq!(python.says(include_str!("auth/authlib.py"), &arguments).await, said, "{algorithm}");
    }
}

#[tokio::test]
async fn the_openapi_document_is_valid_and_its_examples_fit() {
    let python = Python::new().await;
    let app = TestService::start(auth_service::service()).await;
    let answer = reqwest::get(format!("{}/api/auth/openapi.json", app.url())).await.expect("an answer");
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let file = python.packages.path().join("openapi.json");
    std::fs::write(&file, answer.bytes().await.expect("a document")).expect("a file");
    let file = file.to_string_lossy();
    let said = python.says(include_str!("auth/openapi.py"), &[&file]).await;
    assert!(said.ends_with(" examples fit\n") && !said.starts_with('0'), "{said}");
}

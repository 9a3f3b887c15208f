//! The program as it is run: what it writes, what survives a kill, and what a wrong environment is told.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use shared_devkit::child::{self, Child, Kill, Program};

use crate::client::{PASSWORD, User, send, start, text};

fn listening(program: Program, database: &str) -> Program {
    program
        .env("DATABASE_URL", database)
        .env("AUTH_SERVICE_LISTEN", "127.0.0.1:0")
        .env("AUTH_SERVICE_ADMIN", "127.0.0.1:0")
        .env("AUTH_TELEMETRY_LOG_FILTER", "trace")
        .env("AUTH_AUDIT_UPKEEP_EVERY", "1s")
}

/// Where it listens, once it does.
async fn url(child: &mut Child) -> String {
    let line = child.line("auth is up").await.unwrap();
    let start = line.find('{').unwrap();
    let line: Value = serde_json::from_str(&line[start..]).unwrap();
    format!("http://{}", line["listen"].as_str().unwrap())
}

/// ASVS 16.2.5: no password, token, secret or key is in any line of the log, at its chattiest, nor in the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_written_anywhere() {
    // It lends its database, and reads the audit log afterwards.
    let lender = start().await;
    let program = Child::program(env!("CARGO_BIN_EXE_auth-service"));
    let mut child = listening(program, lender.database_url()).start().unwrap();
    let url = url(&mut child).await;

    let mut secrets = vec![PASSWORD.to_owned(), "ZGV2ZWxvcG1lbnQga2V5".to_owned()];
    let mut ada = User::owner(&url, "ada@acme.example").await;
    secrets.extend([ada.access.clone(), ada.refresh.clone()]);
    let next = ada.refreshes(&ada.refresh).await.is(200);
    ada.take(&next);
    secrets.extend([ada.access.clone(), ada.refresh.clone()]);
    let invitation = ada.post("/api/auth/invitations", json!({ "role": "member" })).await.is(201);
    secrets.push(text(&invitation["invitation"]));
    let join =
        json!({ "invitation": invitation["invitation"], "email": "bob@acme.example", "password": PASSWORD });
    send(&url, Method::POST, "/api/auth/register", "", Some(join)).await.is(201);
    let client = ada.post("/api/auth/clients", json!({ "name": "worker", "role": "service" })).await.is(201);
    secrets.push(text(&client["client_secret"]));
    let token = send(&url, Method::POST, "/api/auth/token", "", Some(client)).await.is(200);
    secrets.push(text(&token["access_token"]));
    ada.post("/api/auth/verify", json!({ "token": token["access_token"] })).await.is(200);
    for wrong in ["hush-hush-hunter", "a wrong, hush-hush"] {
        secrets.push(wrong.to_owned());
        ada.tries(wrong).await.is(401);
        ada.put("/api/auth/me/password", json!({ "current": wrong, "new": wrong })).await.is(422);
        ada.refreshes(wrong).await.is(401);
    }
    send(&url, Method::GET, "/api/auth/me", "a.broken.token", None).await.is(401);
    secrets.push("a.broken.token".to_owned());
    let audit = ada.get("/api/auth/audit?limit=1000").await.is(200).to_string();
    ada.post("/api/auth/logout", json!({})).await.is(204);
    // A line of the audit log of its own accord, every second here: what its upkeep tells.
    let root = child.line("the end of a chain of the audit log").await.unwrap();
    assert!(root.contains(r#""root":"{\"tenant\""#), "{root}");
    child.terminate().unwrap();
    assert!(child.ended().await.unwrap().success());

    let log = child.output();
    assert!(audit.contains("session.refreshed") && audit.contains("client.registered"), "{audit}");
    for secret in &secrets {
        assert!(!log.contains(secret), "in the log: {secret}");
        assert!(!audit.contains(secret), "in the audit log: {secret}");
    }
}

/// A kill between the commit of a refresh and its answer costs nobody the session: the client asks again, and gets the successor.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_rotation_and_reply_costs_nobody_the_session() {
    if child::enter().unwrap().is_some() {
        // This process is the child: the same test, started by the lines below.
        auth_service::service().run().await;
        return;
    }
    let app = start().await;
    let mut ada = User::owner(&app.url(), "ada@acme.example").await;
    let program = Child::test_function("program::a_kill_between_rotation_and_reply_costs_nobody_the_session")
        .kill(Kill::at("security.refresh.committed", 1));
    let mut child = listening(program, app.database_url()).start().unwrap();
    let url = url(&mut child).await;
    let shown = json!({ "refresh_token": ada.refresh });
    let lost = reqwest::Client::new().post(format!("{url}/api/auth/refresh")).json(&shown).send().await;
    assert!(lost.is_err(), "{lost:?}");
    assert!(child.killed().await.unwrap());

    let before = ada.session.clone();
    let again = ada.refreshes(&ada.refresh).await.is(200);
    ada.take(&again);
    assert_eq!(ada.session, before);
    ada.get("/api/auth/me").await.is(200);
    ada.refreshes(&ada.refresh).await.is(200);
}

#[test]
fn production_wants_an_issuer_and_a_master_key_of_its_own() {
    let run = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("AUTH_PROFILE", "production")
        .output()
        .unwrap();
    let report = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(78), "{report}");
    for line in ["auth cannot start", "DATABASE_URL", "AUTH_TOKENS_ISSUER", "AUTH_KEYS_MASTER_KEYS"] {
        assert!(report.contains(line), "{line} in:\n{report}");
    }
}

#[test]
fn the_example_of_an_environment_is_current() {
    let generated = shared_service::config_loader::env_example::<auth_service::Settings>();
    assert_eq!(include_str!("../../.env.example"), generated, ".env.example should be:\n{generated}");
}

/// Whoever looks after the platform verifies the log from outside.
#[tokio::test]
async fn the_commands_answer_and_say_by_their_code_whether_all_is_well() {
    let app = start().await;
    User::owner(&app.url(), "ada@acme.example").await;
    let run = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .args(["audit", "verify"])
        .env("DATABASE_URL", app.database_url())
        .output()
        .unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && said.contains("entries in"), "{said}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_auth-service")).arg("help").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

//! SIGTERM during load: no accepted request fails, no job is lost, exit code 0.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use notes::WriteNotes;
use serde_json::{Value, json};
use shared_service::config_loader::Loader;
use shared_service::core::{Actor, AssumedTenant, Context, TenantId};
use shared_service::db::{Db, statements};
use shared_service::security::Grant;
use shared_service::testing::TestService;

statements! {
    const NOTES: Statement<(), i64> = "select count(*) from notes.note where tenant_id = $tenant";
    const INDEXED: Statement<(), i64> = "select count(distinct id) from notes.note_vector_item where tenant_id = $tenant";
}

/// The program as its users run it, on this database; returns it with the address it listens on.
fn start(database: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_notes"))
        .env("DATABASE_URL", database)
        .env("NOTES_SERVICE_LISTEN", "127.0.0.1:0")
        .env("NOTES_SERVICE_ADMIN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| Some(serde_json::from_str::<Value>(&line).ok()?["listen"].as_str()?.to_owned()))
        .unwrap();
    // Read on, so that the program never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}

fn token(tenant: TenantId) -> String {
    let settings =
        Loader::new("notes").vars([("DATABASE_URL", "postgres://unused")]).load::<notes::Settings>().unwrap();
    let issuer = settings.settings.security.issuer().unwrap();
    issuer.issue(&Grant::new(tenant, "test").with_permissions(WriteNotes)).unwrap().expose().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing() {
    // A service of this process lends its database; its own worker and relay finish what the other leaves.
    let app = TestService::start(notes::service()).await;
    let (mut child, address) = start(app.database_url());
    let tenant = TenantId::new();
    let (url, token) = (format!("http://{address}/notes"), Arc::new(token(tenant)));
    let accepted = Arc::new(AtomicU64::new(0));

    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (url, token, accepted) = (url.clone(), token.clone(), accepted.clone());
            tokio::spawn(async move {
                let http = reqwest::Client::new();
                for n in 0.. {
                    let body = json!({ "body": format!("note {n} of caller {caller}") });
                    match http.post(&url).bearer_auth(&token).json(&body).send().await {
                        Ok(response) => assert_eq!(response.status(), 201),
                        // Not accepted any more: refused to connect, or closed before a request was taken.
                        Err(error) => {
                            assert!(error.is_connect() || error.is_request(), "{error:?}");
                            return;
                        }
                    }
                    accepted.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    while accepted.load(Ordering::SeqCst) < 200 {
        tokio::task::yield_now().await;
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(status.code(), Some(0));

    app.settle().await;
    let db: &Db = app.db();
    let proof =
        AssumedTenant::continuing(Context::new(tenant, Actor::new("test")), "counting what was accepted");
    let notes = db.tenant(&proof).one(&NOTES, ()).await.unwrap();
    let indexed = db.tenant(&proof).one(&INDEXED, ()).await.unwrap();
    assert_eq!(notes as u64, accepted.load(Ordering::SeqCst));
    assert_eq!(indexed, notes);
}

//! The token for a first call.

use serde_json::json;
use shared_service::config_loader::Loader;
use shared_service::testing::TestService;

#[expect(dead_code, reason = "its `main` is for the command line")]
#[path = "../../examples/token.rs"]
mod example;

/// With what has to be set in production.
const OWN: [(&str, &str); 3] = [
    ("NOTES_SECURITY_KEYS", "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
    ("NOTES_SECURITY_ISSUER", "https://id.example"),
    ("NOTES_SECURITY_AUDIENCE", "notes"),
];

#[tokio::test]
async fn the_first_call_is_allowed() {
    let app = TestService::start(notes::service()).await;
    let token = example::token(&Loader::new("token").load().unwrap().settings).unwrap();
    let first = reqwest::Client::new().post(format!("{}/notes", app.url())).bearer_auth(token.expose());
    assert_eq!(first.json(&json!({ "body": "first" })).send().await.unwrap().status(), 201);
}

#[test]
fn there_is_none_outside_of_development() {
    for profile in ["test", "production"] {
        let loader = Loader::new("token").vars([("NOTES_PROFILE", profile)]).vars(OWN);
        let refused = example::token(&loader.load().unwrap().settings).unwrap_err();
        assert!(refused.to_string().contains("`development`"), "{refused}");
    }
}

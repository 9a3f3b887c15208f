use notes::{ReadNotes, WriteNotes};
use serde_json::json;
use shared_service::testing::TestService;

#[tokio::test]
async fn a_note_is_found_by_its_own_tenant_only() {
    let app = TestService::start(notes::service()).await;
    let (a, b) = (app.tenant_with((ReadNotes, WriteNotes)), app.tenant_with((ReadNotes, WriteNotes)));
    app.post("/notes", &a, json!({ "body": "rotate the signing keys" })).await.created();
    app.settle().await;
    app.get("/notes/search?text=key+rotation", &a).await.ok().has_hits(1);
    app.get("/notes/search?text=key+rotation", &b).await.ok().has_hits(0);
}

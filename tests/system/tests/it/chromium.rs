//! The quickstart's search page in a browser: a tenant finds its own, and the page says what another one sees of it.

use std::sync::Arc;

use quickstart::{ReadDocuments, WriteDocuments, document_id, tenant_id};
use serde_json::json;
use shared_service::db::vector::Hashing;
use shared_service::testing::TestService;
use system_tests::CHROMIUM;

use crate::process::{Place, run};

#[tokio::test]
async fn the_search_page_shows_a_tenants_own_hits() {
    // Only in this profile does the page get tokens.
    let development = [("QUICKSTART_PROFILE", "development".to_owned())];
    let app = TestService::start_with(quickstart::service(Arc::new(Hashing::new(384))), development).await;
    register(app.database_url(), &["alpha", "beta"]).await;
    let alpha = app.member_of(tenant_id("alpha"), (ReadDocuments, WriteDocuments));
    let note = json!({ "path": "note.txt", "title": "About keys", "media": "text", "text": "rotate the signing keys" });
    let path = format!("/documents/{}", document_id(alpha.id(), "note.txt"));
    app.put(&path, &alpha, note).await.created();
    app.settle().await;

    let page = page(&format!("{}/?text=signing+keys&tenant=alpha&other=beta", app.url())).await;
    assert!(page.contains("<h3>About keys</h3>"), "{page}");
    assert!(page.contains("0 of the hits on the left are visible to beta."), "{page}");
}

/// The page as it is when its scripts have nothing more to do.
async fn page(url: &str) -> String {
    let place = Place::new();
    let mut command = place.command(&CHROMIUM);
    // It visits our page alone, and containers often allow no sandbox and little shared memory.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    command.arg(format!("--user-data-dir={}", place.path().join("profile").display()));
    // Time in the page passes at once whenever it waits for nothing: this is a bound, not a delay.
    let (success, page) = run(command.args(["--virtual-time-budget=30000", "--dump-dom", url])).await;
    assert!(success, "{page}");
    page
}

/// Makes tenants known by name, as the program does for the folders that it reads.
async fn register(url: &str, names: &[&str]) {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the database");
    tokio::spawn(connection);
    for name in names {
        let id = tenant_id(name).as_uuid();
        let sql = "insert into quickstart.tenant (id, name) values ($1, $2)";
        client.execute(sql, &[&id, name]).await.expect("a tenant");
    }
}

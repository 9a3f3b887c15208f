//! What guards the API: limits that callers are told of, headers, and a log of what was refused.

use std::sync::Arc;
use std::time::Duration;

use quickstart::ReadDocuments;
use shared_service::db::vector::Hashing;
use shared_service::testing::TestService;

#[tokio::test]
async fn callers_learn_their_limits_and_browsers_what_is_allowed() {
    let app = TestService::start(quickstart::service(Arc::new(Hashing::new(384)))).await;
    let answer = app.get("/status", &app.tenant_with(ReadDocuments)).await.ok();
    assert!(answer.header("ratelimit-policy").is_some_and(|policy| policy.contains("tenant")));
    assert!(answer.header("ratelimit").is_some_and(|left| left.contains("r=1999")));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn what_was_refused_is_in_the_audit_log() {
    let app = TestService::start(quickstart::service(Arc::new(Hashing::new(384)))).await;
    let nobody = app.tenant_with(());
    app.get("/search?text=keys", &nobody).await.status(403);
    let (client, connection) = tokio_postgres::connect(app.database_url(), tokio_postgres::NoTls)
        .await
        .expect("the database answers");
    tokio::spawn(connection);
    let recorded = async || {
        let sql = "select count(*) from shared_security.audit_log where tenant_id = $1 and action = 'permission.denied'";
        client.query_one(sql, &[&nobody.id().as_uuid()]).await.expect("a count").get::<_, i64>(0) == 1
    };
    let wait = async {
        while !recorded().await {
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the denial is recorded");
}

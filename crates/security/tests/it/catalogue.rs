//! What the migrations come to, as it is written down beside them.

use shared_db::{Config, bootstrap, migration};
use shared_devkit::Postgres;
use shared_security::MIGRATIONS;

#[tokio::test]
async fn the_schema_is_as_its_catalogue_says() {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    bootstrap(&config, &[MIGRATIONS]).await.unwrap();
    let found = migration::catalogue(&config, MIGRATIONS.schema()).await.unwrap();
    assert!(
        found == include_str!("../../migrations/catalogue.txt"),
        "migrations/catalogue.txt should be\n{found}"
    );
    let drift = migration::drift(&config, &[MIGRATIONS]).await.unwrap();
    assert!(drift.is_empty(), "{drift}");
}

//! What the migrations come to, as it is written down beside them.

use shared_db::{Config, Db, bootstrap, migration, statements};
use shared_devkit::Postgres;
use shared_events::MIGRATIONS;

statements! {
    // Texts that an index orders, by another order than that of their bytes.
    const OTHERWISE_ORDERED: Statement<(), String> = "
        select distinct a.attrelid::regclass::text || '.' || a.attname
          from pg_index as i
          join pg_class as c on c.oid = i.indrelid and c.relnamespace = 'shared_events'::regnamespace
          join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey::smallint[])
         where a.attcollation <> 0 and a.attcollation <> 'pg_catalog.\"C\"'::regcollation
         order by 1";
}

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

/// Pages are cut by the order of bytes; and an index by a language's order breaks when the system's rules for it change.
#[tokio::test]
async fn no_index_depends_on_the_databases_language() {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    bootstrap(&config, &[MIGRATIONS]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    assert_eq!(db.system().all(&OTHERWISE_ORDERED, ()).await.unwrap(), Vec::<String>::new());
}

use shared_db::{MigrationSet, Step};

/// The schema `shared_events`.
pub const MIGRATIONS: MigrationSet = MigrationSet::new(
    "shared_events",
    &[
        Step::sql(1, "log", include_str!("../migrations/0001_log.sql")),
        Step::sql(2, "consumers", include_str!("../migrations/0002_consumers.sql")),
    ],
)
.requires(&["shared_db"])
.catalogue(include_str!("../migrations/catalogue.txt"));

#[cfg(test)]
mod tests {
    use shared_db::{Config, Db, bootstrap, testing::mismatches};
    use shared_devkit::Postgres;

    use super::MIGRATIONS;
    use crate::{backlog, publish, relay};

    #[tokio::test]
    async fn every_statement_fits_the_schema() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        bootstrap(&config, &[MIGRATIONS]).await.unwrap();
        let db = Db::connect(&config).await.unwrap();
        let statements = relay::STATEMENTS.concat();
        for block in [publish::STATEMENTS, backlog::STATEMENTS, &statements] {
            assert_eq!(mismatches(&db, block).await.unwrap(), Vec::<String>::new());
        }
    }
}

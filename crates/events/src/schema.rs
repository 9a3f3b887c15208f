use shared_db::{MigrationSet, Step};

/// The schema `shared_events`.
pub const MIGRATIONS: MigrationSet = MigrationSet::new(
    "shared_events",
    &[
        Step::sql(1, "log", include_str!("../migrations/0001_log.sql")),
        Step::sql(2, "consumers", include_str!("../migrations/0002_consumers.sql")),
        Step::sql(3, "delayed", include_str!("../migrations/0003_delayed.sql")),
        Step::sql(4, "registry", include_str!("../migrations/0004_registry.sql")),
        Step::sql(5, "intake", include_str!("../migrations/0005_intake.sql")),
        Step::sql(6, "operate", include_str!("../migrations/0006_operate.sql")),
    ],
)
.requires(&["shared_db"])
.catalogue(include_str!("../migrations/catalogue.txt"));

#[cfg(test)]
mod tests {
    use shared_db::{Config, Db, bootstrap, testing::mismatches};
    use shared_devkit::Postgres;

    use super::MIGRATIONS;
    use crate::{
        backlog, days, delayed, executor, explain, handover, intake, notify, operate, projection, publish,
        registry, relay, replay, seal, sink,
    };

    #[tokio::test]
    async fn every_statement_fits_the_schema() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        bootstrap(&config, &[MIGRATIONS]).await.unwrap();
        let db = Db::connect(&config).await.unwrap();
        let intake = intake::STATEMENTS.concat();
        let (relay, executor) = (relay::ALL_STATEMENTS.concat(), executor::STATEMENTS.concat());
        let more =
            [backlog::STATEMENTS, days::STATEMENTS, delayed::STATEMENTS, registry::STATEMENTS].concat();
        let operate = operate::STATEMENTS.concat();
        let operators = [
            explain::STATEMENTS,
            projection::STATEMENTS,
            replay::STATEMENTS,
            handover::STATEMENTS,
            sink::STATEMENTS,
            seal::STATEMENTS,
            notify::STATEMENTS,
        ]
        .concat();
        for block in [publish::STATEMENTS, &relay, &executor, &more, &operate, &operators, &intake] {
            assert_eq!(mismatches(&db, block).await.unwrap(), Vec::<String>::new());
        }
    }
}

use shared_db::{MigrationSet, Step};

/// The schema `shared_security`.
pub const MIGRATIONS: MigrationSet = MigrationSet::new(
    "shared_security",
    &[
        Step::sql(1, "keys", include_str!("../migrations/0001_keys.sql")),
        Step::sql(2, "sessions", include_str!("../migrations/0002_sessions.sql")),
        Step::sql(3, "roles", include_str!("../migrations/0003_roles.sql")),
        Step::sql(4, "limits", include_str!("../migrations/0004_limits.sql")),
        Step::sql(5, "audit", include_str!("../migrations/0005_audit.sql")),
        Step::sql(6, "upkeep", include_str!("../migrations/0006_upkeep.sql")),
    ],
)
.requires(&["shared_db"])
.catalogue(include_str!("../migrations/catalogue.txt"));

#[cfg(test)]
mod tests {
    use shared_db::{Config, Db, bootstrap, testing::mismatches};
    use shared_devkit::Postgres;

    use super::MIGRATIONS;
    use crate::{audit, key_ring, login_guard, prune, revocations, sessions, tenants, upkeep};

    #[tokio::test]
    async fn every_statement_fits_the_schema() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        bootstrap(&config, &[MIGRATIONS]).await.unwrap();
        let db = Db::connect(&config).await.unwrap();
        let audit =
            [&audit::STATEMENTS[..], &audit::SEALER_STATEMENTS, &audit::VERIFY_STATEMENTS].concat().concat();
        let (tenants, keys) = (tenants::STATEMENTS.concat(), key_ring::STATEMENTS.concat());
        for block in [
            &audit,
            &keys,
            &tenants,
            sessions::STATEMENTS,
            revocations::STATEMENTS,
            login_guard::STATEMENTS,
            prune::STATEMENTS,
            upkeep::STATEMENTS,
        ] {
            assert_eq!(mismatches(&db, block).await.unwrap(), Vec::<String>::new());
        }
    }
}

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
    ],
)
.requires(&["shared_db"]);

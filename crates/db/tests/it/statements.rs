//! Statements are compared with the migrated schema.

use shared_core::{Id, TenantId};
use shared_db::testing::mismatches;
use shared_db::{Row, statements};
use uuid::Uuid;

use crate::support::{self, Note, connected};

mod wrong {
    use super::*;

    #[derive(Row)]
    pub(super) struct Other {
        #[allow(dead_code, reason = "only its column matters")]
        title: String,
    }

    statements! {
        pub(super) const PARAMETER: Statement<(i64,), String> = "select body from notes.note where id = $1";
        pub(super) const COLUMN: Statement<(Id<Note>,), i64> = "select body from notes.note where id = $1";
        pub(super) const MISSING: Statement<(), Other> = "select body from notes.note";
        pub(super) const TABLE: Statement<(), i64> = "select count(*) from notes.nought";
        pub(super) const FEW: Statement<(), String> = "select body from notes.note where id = $1";
        pub(super) const NOTHING: Statement<(), (String, Uuid)> = "select body from notes.note";
        pub(super) const TENANT: Statement<(), String> = "select body from notes.note where body = $tenant";
    }
}

mod right {
    use super::*;

    statements! {
        pub(super) const TYPES: Statement<(Id<Note>, TenantId, String, Vec<String>), (Option<String>, Uuid)> = "
            select body, id from notes.note
             where id = $1 and tenant_id = $2 and body = $3 and body = any($4) and tenant_id = $tenant";
        pub(super) const UNREAD: Statement<(), ()> = "select body from notes.note";
    }
}

#[tokio::test]
async fn what_does_not_fit_is_found() {
    let (_database, db) = connected().await;
    let found = mismatches(&db, wrong::STATEMENTS).await.unwrap();
    assert_eq!(
        found,
        [
            "PARAMETER: parameter 1 is uuid on the server",
            "COLUMN: column #0 is text on the server",
            "MISSING: column title is not returned",
            "TABLE: relation \"notes.nought\" does not exist (SQLSTATE 42P01)",
            "FEW: declares 0 parameters, the server counts 1",
            "NOTHING: column #1 is not returned",
            "TENANT: $tenant is text on the server, and has to be uuid",
        ]
    );
}

#[tokio::test]
async fn what_fits_is_left_alone() {
    let (_database, db) = connected().await;
    for statements in [support::STATEMENTS, right::STATEMENTS] {
        assert_eq!(mismatches(&db, statements).await.unwrap(), Vec::<String>::new());
    }
}

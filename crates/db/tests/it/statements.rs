//! Statements are compared with the migrated schema.

use shared_core::{Id, TenantId};
use shared_db::testing::mismatches;
use shared_db::{Many, Row, statements};
use uuid::Uuid;

use crate::items::{self, with_items};
use crate::support::{Database, Note, admin, connected};

mod wrong {
    use super::*;

    #[derive(Row)]
    pub(super) struct Other {
        #[allow(dead_code, reason = "only its column matters")]
        title: String,
    }

    statements! {
        pub(super) const PARAMETER: Statement<(i64,), String> = "select body from notes.note where tenant_id = $tenant and id = $1";
        pub(super) const COLUMN: Statement<(Id<Note>,), i64> = "select body from notes.note where tenant_id = $tenant and id = $1";
        pub(super) const MISSING: Statement<(), Other> = "select body from notes.note where tenant_id = $tenant";
        pub(super) const TABLE: Statement<(), i64> = "select count(*) from notes.nought";
        pub(super) const FEW: Statement<(), String> = "select body from notes.note where tenant_id = $tenant and id = $1";
        pub(super) const NOTHING: Statement<(), (String, Uuid)> = "select body from notes.note where tenant_id = $tenant";
        pub(super) const TENANT: Statement<(), String> = "select body from notes.note where body = $tenant";
    }
}

mod right {
    use super::*;

    statements! {
        pub(super) const TYPES: Statement<(Id<Note>, TenantId, String, Vec<String>), (Option<String>, Uuid)> = "
            select body, id from notes.note
             where id = $1 and tenant_id = $2 and body = $3 and body = any($4) and tenant_id = $tenant";
        pub(super) const UNREAD: Statement<(), ()> = "select body from notes.note where tenant_id = $tenant";
        pub(super) const EXCUSED: Statement<(), i64> = "
            select count(*) -- without tenant: the report counts those of all tenants
              from notes.note";
        pub(super) const MANY: Statement<Many<(Id<Note>, Option<String>)>, ()> = "
            insert into notes.note (tenant_id, id, body) select $tenant, * from unnest($1::uuid[], $2::text[])";
        pub(super) const LOAD: CopyIn<(String, String)> = "notes.country (code, name)";
        pub(super) const UNLOAD: CopyOut<(String, String)> = "select code, name from notes.country";
        pub(super) const GLOBAL: Statement<(String,), String> = "
            with gone as (delete from notes.country where code = $1 returning name) select name from gone";
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
    let (_database, db) = with_items().await;
    for statements in [items::STATEMENTS, right::STATEMENTS] {
        assert_eq!(mismatches(&db, statements).await.unwrap(), Vec::<String>::new());
    }
}

mod loose {
    use super::*;

    #[derive(Row)]
    #[allow(dead_code, reason = "only its columns matter")]
    pub(super) struct Known {
        stars: i64,
        language: Option<String>,
    }

    statements! {
        pub(super) const NAMED: Statement<(), Known> = "select stars, language from notes.item where tenant_id = $tenant";
        pub(super) const PLACED: Statement<(), (i64, String)> = "select id, language from notes.item where tenant_id = $tenant";
        // What the server can't tell passes: an expression, a view, the far side of an outer join.
        pub(super) const SUM: Statement<(), i64> = "select sum(stars)::int8 from notes.item where tenant_id = $tenant";
        pub(super) const VIEW: Statement<(), i64> = "select stars from notes.shown where tenant_id = $tenant";
        pub(super) const OUTER: Statement<(), i64> = "
            select i.id from notes.note n left join notes.item i on false where n.tenant_id = $tenant";
    }
}

#[tokio::test]
async fn a_column_that_can_be_null_wants_an_option() {
    let (database, db) = with_items().await;
    with_view(&database).await;
    let found = mismatches(&db, loose::STATEMENTS).await.unwrap();
    assert_eq!(
        found,
        ["NAMED: column stars can be null on the server", "PLACED: column #1 can be null on the server"]
    );
}

mod open {
    use super::*;

    statements! {
        pub(super) const READ: Statement<(Id<Note>,), String> = "select body from notes.note where id = $1";
        pub(super) const JOIN: Statement<(), i64> = "
            select count(*) from notes.country, lateral (select from notes.note limit 1) n, notes.item";
        pub(super) const WRITE: Statement<(Uuid, Vec<i64>), ()> = "
            with new as (insert into notes.item (tenant_id, id) select $1, n from unnest($2::int8[]) n returning 1)
            select from new";
        pub(super) const VIEW: Statement<(), i64> = "select id from notes.shown;";
        pub(super) const NO_REASON: Statement<(), String> = "select body from notes.note -- without tenant: ";
        pub(super) const LOAD: CopyIn<(Uuid, i64)> = "notes.item (tenant_id, id)";
        pub(super) const WRONG: CopyIn<(i64, i64)> = "notes.country (code, name)";
        pub(super) const ARRAY: Statement<Many<(i64,)>, i64> = "select $1::int8";
        // Of others' tables no tenant is asked.
        pub(super) const CATALOGUE: Statement<(), i64> = "select count(*) from pg_catalog.pg_class";
        pub(super) const WORD: Statement<(), ()> = "notify chatter";
    }
}

#[tokio::test]
async fn a_tenants_table_wants_the_tenant() {
    let (database, db) = with_items().await;
    with_view(&database).await;
    assert_eq!(
        mismatches(&db, open::STATEMENTS).await.unwrap(),
        [
            "READ: touches notes.note without $tenant",
            "JOIN: touches notes.item, notes.note without $tenant",
            "WRITE: touches notes.item without $tenant",
            "VIEW: touches notes.item without $tenant",
            "NO_REASON: touches notes.note without $tenant",
            "LOAD: the server refuses COPY into notes.item, which has row-level security",
            "WRONG: column #0 is text on the server",
            "WRONG: column #1 is text on the server",
            "ARRAY: parameter 1 is int8 on the server",
        ]
    );
}

async fn with_view(database: &Database) {
    const VIEW: &str = "
        create view notes.inner_one with (security_invoker) as select tenant_id, id, stars from notes.item;
        create view notes.shown with (security_invoker) as select * from notes.inner_one";
    admin(&database.config).await.batch_execute(VIEW).await.unwrap();
}

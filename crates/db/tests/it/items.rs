//! A table with columns of several types, for lists and batches.

use shared_db::filter::Column;
use shared_db::{Db, Many, Row, statements};

use crate::support::{Database, admin, connected};

/// An item as it is stored.
#[derive(Clone, Debug, PartialEq, Row)]
pub(crate) struct Item {
    pub id: i64,
    pub language: Option<String>,
    pub stars: Option<i64>,
}

pub(crate) const ID: Column<i64> = Column::new("id");
pub(crate) const LANGUAGE: Column<String> = Column::new("language");
pub(crate) const STARS: Column<i64> = Column::new("stars");

type Values = (i64, Option<String>, Option<i64>);

statements! {
    pub(crate) const ITEMS: Statement<(), Item> = "
        select id, language, stars from notes.item where tenant_id = $tenant; ";
    pub(crate) const ADD: Statement<(i64, Option<String>, Option<i64>), i64> = "
        insert into notes.item (tenant_id, id, language, stars) values ($tenant, $1, $2, $3) returning id";
    pub(crate) const ADD_MANY: Statement<Many<(i64, Option<String>, Option<i64>)>, i64> = "
        insert into notes.item (tenant_id, id, language, stars)
        select $tenant, * from unnest($1::int8[], $2::text[], $3::int8[]) returning id";
    pub(crate) const ADD_NEW: Statement<Many<(i64, Option<String>, Option<i64>)>, ()> = "
        insert into notes.item (tenant_id, id, language, stars)
        select $tenant, * from unnest($1::int8[], $2::text[], $3::int8[]) on conflict do nothing";
}

impl Item {
    pub(crate) fn values(&self) -> Values {
        (self.id, self.language.clone(), self.stars)
    }
}

/// A database with the empty table, and a table without tenants.
pub(crate) async fn with_items() -> (Database, Db) {
    let (database, db) = connected().await;
    // Compared by bytes, as in Rust.
    const TABLES: &str = r#"
        create table notes.item (
            tenant_id uuid not null, id int8 not null, language text collate "C", stars int8,
            primary key (tenant_id, id));
        select shared_db.tenant_table('notes.item');
        create table notes.measure (id int8 primary key, name text, value float8, bytes bytea, at timestamptz, tags text[]);
        grant select, insert on notes.measure to shared_app, shared_system;
        create sequence notes.sent; grant usage on sequence notes.sent to shared_app"#;
    admin(&database.config).await.batch_execute(TABLES).await.unwrap();
    (database, db)
}

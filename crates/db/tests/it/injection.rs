//! Hostile input: what is meant as a value or a name never runs as SQL, and what can't be sent leaves the pool as it was.

use std::panic::catch_unwind;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use postgres_types::{Format, IsNull, ToSql, Type, to_sql_checked};
use shared_core::Id;
use shared_db::vector::{Collection, Definition};
use shared_db::{Config, Db, Error, MigrationSet, Notice, Params, Step, bootstrap, statements};

use crate::support::{BODIES, COUNT, INSERT, NOTES, Note, admin, connected, connected_with, tenant};

/// Would end a text, a name, a comment and a dollar quote, and drop the table.
const ATTACK: &str = "'; \"; $$; */ drop table notes.note cascade; -- \\";

statements! {
    const ECHO: Statement<(String,), String> = "select $1::text";
    const ECHO_ALL: Statement<(Vec<String>,), i64> = "select cardinality($1::text[])::bigint";
    const LONG: Statement<(i32,), i32> = "select length(repeat('x', $1))";
    const GROWN: Statement<(i32,), i32> = "
        with grown as (insert into notes.country (code, name) values ('long', repeat('x', $1)) returning name)
        select length(repeat(name, 70)) from grown";
    const BODY_AS_NUMBER: Statement<(), i64> = "select body from notes.note";
    const COUNT_OF: Statement<(Vec<i32>,), i64> = "select count(*) from unnest($1::int[])";
    const NUMBER: Statement<(i32,), i32> = "select $1::int";
    const COUNTRIES: Statement<(), i64> = "select count(*) from notes.country";
}

/// The pool serves, and every connection is still the same one.
async fn is_fine(db: &Db) {
    serves(db).await;
    assert_eq!(db.status().discarded, 0);
}

/// The pool serves. A connection that was in doubt may have been replaced.
async fn serves(db: &Db) {
    assert_eq!(db.untenanted().one(&ECHO, ("fine",)).await.unwrap(), "fine");
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), "fine")).await.unwrap();
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), ["fine"]);
}

#[tokio::test]
async fn a_value_is_a_value_whatever_is_in_it() {
    let (_database, db) = connected_with(1).await;
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), ATTACK)).await.unwrap();
    db.tenant(&tenant).tx(async |tx| tx.one(&INSERT, (Id::new(), ATTACK)).await).await.unwrap();
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), [ATTACK, ATTACK]);
    assert_eq!(db.across_tenants(ATTACK).one(&COUNT, ()).await.unwrap(), 2);
    is_fine(&db).await;
}

#[tokio::test]
async fn names_in_the_settings_are_refused_or_kept_as_names() {
    let (mut database, db) = connected().await;
    drop(db);
    database.config.pool_name = Some(ATTACK.to_owned());
    let db = Db::connect(&database.config).await.unwrap();
    is_fine(&db).await;
    for schema in [ATTACK, "notes,pg_temp", "notes -c role=postgres", "Notes", "", "notes\0"] {
        database.config.search_schema = Some(schema.to_owned());
        assert!(matches!(Db::connect(&database.config).await, Err(Error::Config(_))), "{schema}");
    }
    database.config.search_schema = None;
    for prefix in [ATTACK, "shared_app; reset role", "shared -c role=postgres", "shared\0", "{owner}"] {
        database.config.role_prefix = prefix.to_owned();
        assert!(matches!(Db::connect(&database.config).await, Err(Error::Config(_))), "{prefix}");
        assert!(matches!(bootstrap(&database.config, &[]).await, Err(Error::Config(_))), "{prefix}");
        assert!(matches!(shared_db::doctor(&database.config).await, Err(Error::Config(_))), "{prefix}");
    }
    is_fine(&db).await;
}

#[tokio::test]
async fn the_name_of_a_schema_stays_a_name() {
    const ODD: &str = "a\"; drop table notes.note cascade; --'$$";
    let server = crate::server::shared().await;
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    let steps: &'static [Step] = Box::leak(Box::new([Step::sql(1, ODD, "select 1")]));
    bootstrap(&config, &[NOTES, MigrationSet::new(ODD, steps).requires(&["notes"])]).await.unwrap();
    let admin = admin(&config).await;
    let there =
        "select count(*) from pg_namespace where nspname = $1 and to_regclass('notes.note') is not null";
    assert_eq!(admin.query_one(there, &[&ODD]).await.unwrap().get::<_, i64>(0), 1);
    let again =
        bootstrap(&config, &[NOTES, MigrationSet::new(ODD, steps).requires(&["notes"])]).await.unwrap();
    assert!(again.steps.is_empty(), "{again:?}");
}

#[test]
fn the_name_of_a_collection_is_two_plain_words() {
    for name in
        [ATTACK, "notes.note; drop table notes.note", "notes.\"note\"", "notes.note--", "notes.note\0"]
    {
        let made = catch_unwind(|| Definition::<Note>::new(name, 3));
        assert!(made.is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_text_to_be_found_is_a_value() {
    const VECTORS: Definition<Note> = Definition::new("notes.vectors", 16);
    const MIGRATIONS: MigrationSet = MigrationSet::new(
        "notes",
        &[
            Step::sql(1, "note", "create table notes.note (body text)"),
            Step::collection(2, "vectors", &VECTORS),
        ],
    )
    .requires(&["shared_db"]);
    let server = crate::server::shared().await;
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    bootstrap(&config, &[MIGRATIONS]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    let (vectors, tenant, id) = (Collection::open(&db, &VECTORS).await.unwrap(), tenant(), Id::new());
    vectors.tenant(&tenant).upsert([(id, ATTACK)]).await.unwrap();
    let hits = vectors.tenant(&tenant).search(ATTACK).await.unwrap();
    assert_eq!(hits.items.iter().map(|hit| hit.text.as_str()).collect::<Vec<_>>(), [ATTACK]);
    let there = "select to_regclass('notes.note') is not null";
    assert!(admin(&config).await.query_one(there, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn the_name_of_a_channel_stays_a_name() {
    const CHANNEL: &str = "a\"; drop table notes.note cascade; --'$$";
    let (database, db) = connected().await;
    let mut listener = db.listen(&[CHANNEL]).await.unwrap();
    let admin = admin(&database.config).await;
    admin.execute("select pg_notify($1, 'heard')", &[&CHANNEL]).await.unwrap();
    let heard = async {
        loop {
            match listener.next().await {
                Notice::Notification { channel, payload } => break (channel, payload),
                _ => continue,
            }
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
    assert_eq!(heard, (CHANNEL.to_owned(), "heard".to_owned()));
    assert!(db.listen(&["a\0b"]).await.is_err());
    is_fine(&db).await;
}

#[tokio::test]
async fn a_zero_byte_in_a_text_is_a_clear_error() {
    let (_database, db) = connected_with(1).await;
    let refused = |error: &Error| {
        assert_eq!(error.code(), Some("22021"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    };
    refused(&db.untenanted().one(&ECHO, ("secret\0",)).await.unwrap_err());
    refused(
        &db.untenanted().one(&ECHO_ALL, (vec!["fine".to_owned(), "\0secret".to_owned()],)).await.unwrap_err(),
    );
    let tenant = tenant();
    refused(&db.tenant(&tenant).one(&INSERT, (Id::new(), "secret\0")).await.unwrap_err());
    refused(
        &db.tenant(&tenant).tx(async |tx| tx.one(&INSERT, (Id::new(), "secret\0")).await).await.unwrap_err(),
    );
    is_fine(&db).await;
}

/// An array of one text that claims to be this long, and isn't: what a value over the limit begins with.
#[derive(Debug)]
struct Claims(i32);

impl ToSql for Claims {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        // Dimensions, nulls, type of the elements; length and lower bound of the first dimension; length of the element.
        [1, 0, Type::TEXT.oid() as i32, 1, 1, self.0].into_iter().for_each(|number| out.put_i32(number));
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT_ARRAY
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}

/// Any parameters at all, in the place of those that a statement declares.
struct Any(Vec<Box<dyn ToSql + Sync + Send>>);

impl<D> Params<D> for Any {
    fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

#[tokio::test]
async fn a_value_beyond_the_limit_is_a_clear_error() {
    let (_database, db) = connected_with(1).await;
    // The server refuses before it has them.
    for error in [
        db.untenanted().one(&LONG, (1 << 30,)).await.unwrap_err(),
        db.untenanted().one(&LONG, (i32::MAX,)).await.unwrap_err(),
    ] {
        assert!(matches!(error.code(), Some("54000" | "XX000")), "{error}");
    }
    // A row is written, and what is made of it is too large: the row goes as well.
    let error = db.untenanted().one(&GROWN, (16 << 20,)).await.unwrap_err();
    assert!(matches!(error.code(), Some("54000" | "XX000")), "{error}");
    assert_eq!(db.untenanted().one(&COUNTRIES, ()).await.unwrap(), 0);
    for length in [1 << 30, i32::MAX, -2, i32::MIN] {
        let error = db.untenanted().one(&ECHO_ALL, Any(vec![Box::new(Claims(length))])).await.unwrap_err();
        assert!(matches!(error.code(), Some("22P03" | "08P01")), "{length}: {error}");
    }
    is_fine(&db).await;
}

/// A statement with as many parameters.
fn wide(parameters: usize) -> shared_db::Statement<(i32,), i64> {
    let numbers: Vec<String> = (1..=parameters).map(|number| format!("${number}::int")).collect();
    // A statement's text is a constant; a test may make one.
    let sql: &'static str = format!("select cardinality(array[{}])::bigint", numbers.join(",")).leak();
    shared_db::Statement::from_macro("WIDE", sql, false)
}

fn numbers(count: usize) -> Any {
    Any((0..count).map(|number| Box::new(number as i32) as Box<dyn ToSql + Sync + Send>).collect())
}

#[tokio::test]
async fn seventy_thousand_parameters_are_a_clear_error_and_one_array_of_them_is_none() {
    let (_database, db) = connected_with(1).await;
    // The protocol counts them in 16 bits. The server does not notice; its answer can't be read, so that connection has to go.
    let error = db.untenanted().one(&wide(70_000), numbers(70_000)).await.unwrap_err();
    assert!(matches!(&error, Error::Statement { statement: "WIDE", .. }), "{error}");
    assert!(error.to_string().contains("70000 parameters, where a statement has room for 65,535"), "{error}");
    serves(&db).await;
    assert_eq!(db.status().discarded, 0, "it was not even sent");
    // More are given than the statement takes.
    let error = db.untenanted().one(&NUMBER, numbers(70_000)).await.unwrap_err();
    assert!(error.to_string().contains("70000 parameters"), "{error}");
    let error = db.tenant(&tenant()).tx(async |tx| tx.one(&NUMBER, numbers(2)).await).await.unwrap_err();
    assert!(error.to_string().contains("expected 1 parameters but got 2"), "{error}");
    let many: Vec<i32> = (0..70_000).collect();
    assert_eq!(db.untenanted().one(&COUNT_OF, (many,)).await.unwrap(), 70_000);
    assert_eq!(db.untenanted().one(&wide(60_000), numbers(60_000)).await.unwrap(), 60_000);
    serves(&db).await;
}

#[tokio::test]
async fn wrong_types_at_run_time_are_clear_errors() {
    let (_database, db) = connected_with(1).await;
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), "no number")).await.unwrap();
    let error = db.tenant(&tenant).one(&BODY_AS_NUMBER, ()).await.unwrap_err();
    assert!(matches!(&error, Error::Column { .. }), "{error}");
    assert!(!error.to_string().contains("no number"), "{error}");
    let wrong = || Any(vec![Box::new("secret")]);
    for error in [
        db.untenanted().one(&NUMBER, wrong()).await.unwrap_err(),
        db.tenant(&tenant).one(&NUMBER, wrong()).await.unwrap_err(),
        db.tenant(&tenant).tx(async |tx| tx.one(&NUMBER, wrong()).await).await.unwrap_err(),
        db.system().tx(async |tx| tx.one(&NUMBER, wrong()).await).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Statement { statement: "NUMBER", .. }), "{error}");
        assert!(error.to_string().contains("parameter") && !error.to_string().contains("secret"), "{error}");
    }
    serves(&db).await;
}

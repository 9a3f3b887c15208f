//! No error shows a value.

use shared_core::{Id, Problem};
use shared_db::{Error, statements};

use crate::support::{INSERT, connected, tenant};

/// What stands in for somebody's data; in some places it has to look like a word.
const SECRET: &str = "hunter2";

statements! {
    const COUNTRY: Statement<(String, String), ()> = "insert into notes.country (code, name) values ($1, $2)";
    const AS_NUMBER: Statement<(String,), i32> = "select $1::text::int";
    const AS_UUID: Statement<(String,), i32> = "select 1 where $1::text::uuid is null";
    const AS_DATE: Statement<(String,), i32> = "select 1 where $1::text::date is null";
    const AS_JSON: Statement<(String,), i32> = "select 1 where $1::text::jsonb is null";
    const AS_TABLE: Statement<(String,), i32> = "select 1 where $1::text::regclass is null";
    const AS_ROLE: Statement<(String,), i32> = "select 1 where $1::text::regrole is null";
    const AS_TYPE: Statement<(String,), i32> = "select 1 where $1::text::regtype is null";
    const AS_QUERY: Statement<(String,), i32> = "select 1 where to_tsquery('simple', $1) is null";
    const AS_PATTERN: Statement<(String,), bool> = "select 'x' ~ $1";
    const AS_PATH: Statement<(String,), i32> = "select 1 where $1::text::jsonpath is null";
    const AS_LIMIT: Statement<(String,), i32> = "select 1 where set_config('work_mem', $1, true) is null";
    const AS_ENCODING: Statement<(String,), i32> = "select 1 where convert_to('x', $1) is null";
    const AS_SETTING: Statement<(String,), String> = "select current_setting($1)";
    const AS_VECTOR: Statement<(String,), i32> = "select 1 where $1::text::vector is null";
    const RAISED: Statement<(String,), ()> = "select notes.refuse($1)";
}

/// What one tries to learn from an error: its words, its fields, its causes, what a caller of the API gets.
fn shown(error: Error) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(one) = cause {
        shown.push_str(&format!("{one} {one:?}"));
        cause = one.source();
    }
    shown + &format!("{:?}", Problem::from(error))
}

#[tokio::test]
async fn no_error_shows_a_parameter_or_a_row() {
    let (database, db) = connected().await;
    let refuse = "create function notes.refuse(what text) returns void language plpgsql as
        $$ begin raise exception 'not %', what using errcode = 'MY001', detail = what, hint = what; end $$";
    crate::support::admin(&database.config).await.batch_execute(refuse).await.unwrap();
    let door = db.untenanted();

    door.execute(&COUNTRY, (SECRET, "x")).await.unwrap();
    let unique = door.execute(&COUNTRY, (SECRET, "x")).await.unwrap_err();
    assert!(unique.is_unique_violation());
    assert!(unique.to_string().contains("country_pkey"), "{unique}");

    let mut errors = vec![unique];
    let read_as = [
        &AS_NUMBER,
        &AS_UUID,
        &AS_DATE,
        &AS_JSON,
        &AS_TABLE,
        &AS_ROLE,
        &AS_TYPE,
        &AS_PATH,
        &AS_LIMIT,
        &AS_ENCODING,
        &AS_VECTOR,
    ];
    for statement in read_as {
        errors.push(door.one(statement, (SECRET,)).await.unwrap_err());
    }
    errors.push(door.one(&AS_SETTING, (SECRET,)).await.unwrap_err());
    errors.push(door.one(&AS_QUERY, ("hunter2 & & x",)).await.unwrap_err());
    errors.push(door.one(&AS_PATTERN, ("hunter2(",)).await.unwrap_err());
    errors.push(door.execute(&RAISED, (SECRET,)).await.unwrap_err());
    errors.push(door.execute(&COUNTRY, ("hunter2\0", "x")).await.unwrap_err());
    for error in errors {
        let code = error.code().map(str::to_owned);
        let shown = shown(error);
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(code.is_some_and(|code| shown.contains(&code)), "no SQLSTATE in {shown}");
    }
}

#[tokio::test]
async fn a_refused_row_is_not_shown_either() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    let note = db.tenant(&tenant).one(&INSERT, (Id::new(), SECRET)).await.unwrap();
    let unique = db.tenant(&tenant).one(&INSERT, (note.id, SECRET)).await.unwrap_err();
    let check = db.tenant(&tenant).one(&INSERT, (note.id, "")).await.unwrap_err();
    assert_eq!(
        check.to_string(),
        "statement `INSERT` failed: constraint `body_is_not_empty` (SQLSTATE 23514)"
    );
    for error in [unique, check] {
        let shown = shown(error);
        assert!(!shown.contains(SECRET) && !shown.contains(&note.id.to_string()), "{shown}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_text_of_a_statement_is_said() {
    statements! {
        const NO_COLUMN: Statement<(), i32> = "select titel from notes.note";
        const NO_SENSE: Statement<(), i32> = "selekt 1";
    }
    let (_database, db) = connected().await;
    let column = db.untenanted().one(&NO_COLUMN, ()).await.unwrap_err();
    assert_eq!(
        column.to_string(),
        "statement `NO_COLUMN` failed: column \"titel\" does not exist (SQLSTATE 42703)"
    );
    let sense = db.untenanted().one(&NO_SENSE, ()).await.unwrap_err();
    assert!(sense.to_string().contains("syntax error at or near \"selekt\""), "{sense}");
}

#[tokio::test]
async fn a_column_that_cannot_be_read_names_types_alone() {
    statements! {
        const WRONG: Statement<(), i64> = "select 'hunter2'::text";
        const NULL: Statement<(), String> = "select null::text";
        const TWO: Statement<(), i32> = "select 1 from generate_series(1, 2)";
    }
    let (_database, db) = connected().await;
    let wrong = db.untenanted().one(&WRONG, ()).await.unwrap_err();
    assert!(matches!(&wrong, Error::Column { .. }) && !wrong.to_string().contains(SECRET), "{wrong}");
    let null = db.untenanted().one(&NULL, ()).await.unwrap_err();
    assert!(matches!(null, Error::Column { .. }), "{null}");
    let two = db.untenanted().opt(&TWO, ()).await.unwrap_err();
    assert!(matches!(two, Error::RowCount { found: 2, .. }), "{two}");
}

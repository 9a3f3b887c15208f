//! The probe of isolation: what is right passes, and every kind of hole is found by table and verb.

use shared_db::testing::{Outcome, Probe, Probed, Verb, probe_isolation};
use shared_db::{Config, Error, MigrationSet, Step, bootstrap};
use shared_devkit::TestDatabase;

use crate::server::Shared;
use crate::support::{NOTES, admin, database};

async fn migrated(sql: &'static str) -> (Shared, TestDatabase, Config) {
    let server = crate::server::shared().await;
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    let steps: &'static [Step] = vec![Step::sql(1, "tables", sql)].leak();
    bootstrap(&config, &[NOTES, MigrationSet::new("t", steps).requires(&["shared_db"])]).await.unwrap();
    (server, database, config)
}

pub(crate) async fn probed(sql: &'static str) -> Probed {
    let (_server, _database, config) = migrated(sql).await;
    probe_isolation(&config).await.unwrap()
}

#[tokio::test]
async fn the_tables_of_these_tests_are_isolated_and_left_as_they_were() {
    let database = database().await;
    let probed = probe_isolation(&database.config).await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    assert_eq!(probed.tables().collect::<Vec<_>>(), ["notes.note"]);
    for verb in Verb::ALL {
        let expected = match verb {
            Verb::Insert | Verb::Upsert | Verb::Returning | Verb::Move | Verb::CopyFrom | Verb::Truncate => {
                Outcome::Refused
            }
            Verb::Reference => Outcome::Absent,
            _ => Outcome::Nothing,
        };
        assert_eq!(probed.outcome("notes.note", verb), Some(expected), "{verb}\n{probed}");
    }
    let left: i64 =
        admin(&database.config).await.query_one("select count(*) from notes.note", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn rows_are_found_for_columns_of_every_kind() {
    let probed = probed(
        "create type t.state as enum ('open', 'done');
         create type t.span as range (subtype = float8);
         create domain t.code as text check (value ~ '^[A-Z]{3}$' or value = 'n/a') not null;
         create table t.country (code t.code primary key, name text not null check (length(name) > 5));
         create table t.parent (tenant_id uuid not null, id uuid not null default gen_random_uuid(), primary key (tenant_id, id));
         select shared_db.tenant_table('t.parent');
         create table t.everything (
             tenant_id uuid not null, id bigint generated always as identity, parent uuid not null, above bigint,
             state t.state not null, code t.code, country t.code references t.country, \"Odd \"\" name\" int not null,
             kind text not null check (kind in ('red', 'green')), slug varchar(4) not null, two char(2) not null,
             amount numeric(6, 2) not null check (amount > 500), share real not null, flag bool not null check (not flag),
             at timestamptz not null, day date not null, till date not null, check (day < till), length interval not null,
             body bytea not null check (length(body) = 32), doc jsonb not null check (jsonb_typeof(doc) = 'array'), tags text[] not null,
             days int[] not null check (cardinality(days) > 0), where_from inet not null, span t.span not null, spans int4multirange not null,
             bits bit(3) not null, seen pg_lsn not null, words tsvector not null, point point not null,
             shout text generated always as (upper(kind)) stored, email text check (email like '%@%'),
             primary key (tenant_id, id), unique (tenant_id, email), foreign key (tenant_id, parent) references t.parent,
             foreign key (tenant_id, above) references t.everything);
         select shared_db.tenant_table('t.everything');
         create table t.log (tenant_id uuid not null, day date not null, n int not null, primary key (tenant_id, day, n)) partition by range (day);
         create table t.log_1 partition of t.log for values from ('1999-01-01') to ('1999-02-01');
         create table t.log_2 partition of t.log for values from ('1999-02-01') to ('1999-03-01');
         select shared_db.tenant_table('t.log');
         create table t.spread (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id)) partition by hash (tenant_id);
         create table t.spread_0 partition of t.spread for values with (modulus 2, remainder 0);
         create table t.spread_1 partition of t.spread for values with (modulus 2, remainder 1);
         select shared_db.tenant_table('t.spread');",
    )
    .await;
    assert!(probed.is_isolated(), "{probed}");
    assert_eq!(probed.outcome("t.everything", Verb::Reference), Some(Outcome::Nothing), "{probed}");
    assert_eq!(probed.outcome("t.log_1", Verb::Select), Some(Outcome::Refused), "{probed}");
    assert_eq!(probed.tables().count(), 9, "{probed}");
}

/// A table with a hole, and the verbs that must find it.
async fn is_caught(sql: &'static str, verbs: &[Verb]) {
    let probed = probed(sql).await;
    let caught = |verb: &Verb| probed.outcome("t.x", *verb).is_some_and(Outcome::is_failure);
    assert!(verbs.iter().all(caught), "{sql}: expected {verbs:?}\n{probed}");
    let others = Verb::ALL.iter().filter(|verb| !verbs.contains(verb));
    assert_eq!(
        others.filter(|verb| caught(verb)).collect::<Vec<_>>(),
        Vec::<&Verb>::new(),
        "{sql}\n{probed}"
    );
    // By table and verb.
    let failures = probed.failures();
    assert!(failures[0].starts_with(&format!("t.x: {} ", verbs[0])), "{failures:?}");
    assert!(probed.to_string().contains(&format!("FAILED {}", failures[0])), "{probed}");
}

#[tokio::test]
async fn a_table_without_row_level_security_is_caught() {
    let sql = "create table t.x (tenant_id uuid not null, id uuid not null, body text not null, primary key (tenant_id, id));
         grant select, insert, update, delete on t.x to {app};";
    let verbs =
        Verb::ALL.into_iter().filter(|verb| !matches!(verb, Verb::Truncate | Verb::Unique | Verb::Reference));
    is_caught(sql, &verbs.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn each_policy_that_says_too_much_is_caught() {
    const TABLE: &str = "create table t.x (tenant_id uuid not null, id uuid not null, body text not null, primary key (tenant_id, id));
         select shared_db.tenant_table('t.x');";
    let cases: [(&str, &[Verb]); 5] = [
        (
            "create policy wide on t.x for select to {app} using (true)",
            &[Verb::Select, Verb::Untenanted, Verb::CopyTo],
        ),
        ("create policy wide on t.x for insert to {app} with check (true)", &[Verb::Insert, Verb::Upsert]),
        (
            "create policy wide on t.x for update to {app} using (true) with check (true)",
            &[Verb::Update, Verb::Move],
        ),
        ("create policy wide on t.x for delete to {app} using (true)", &[Verb::Delete]),
        ("grant truncate on t.x to {app}", &[Verb::Truncate]),
    ];
    for (hole, verbs) in cases {
        is_caught(format!("{TABLE} {hole}").leak(), verbs).await;
    }
}

#[tokio::test]
async fn keys_that_tell_of_another_tenant_are_caught() {
    const PARENT: &str =
        "create table t.p (tenant_id uuid not null, id uuid not null unique, primary key (tenant_id, id));
         create table t.q (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));
         select shared_db.tenant_table('t.q');";
    const GUARD: &str = "alter table t.x enable row level security; alter table t.x force row level security;
         create policy tenant on t.x to {app} using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
         grant select, insert, update, delete on t.x to {app};";
    let unique = format!("create table t.x (tenant_id uuid not null, slug text unique); {GUARD}");
    is_caught(unique.leak(), &[Verb::Upsert, Verb::Unique]).await;
    // The one that holds would hide the other.
    let reference = format!(
        "{PARENT} create table t.x (tenant_id uuid not null, id uuid not null, p uuid references t.p (id), q uuid not null,
             primary key (tenant_id, id), foreign key (tenant_id, q) references t.q); {GUARD}"
    );
    is_caught(reference.leak(), &[Verb::Reference]).await;
}

#[tokio::test]
async fn a_partition_that_can_be_reached_by_itself_is_caught() {
    let sql = "create table t.whole (tenant_id uuid not null, day date not null, primary key (tenant_id, day)) partition by range (day);
         select shared_db.tenant_table('t.whole');
         create table t.x partition of t.whole for values from ('1999-01-01') to ('1999-02-01');
         grant select on t.x to {app};";
    is_caught(sql, &[Verb::Select, Verb::Untenanted, Verb::CopyTo]).await;
}

const STUBBORN: &str = "create table t.x (tenant_id uuid not null, id uuid not null, number text not null, primary key (tenant_id, id),
         constraint checksum check (md5(number) = 'b7e283a09511d95d6eac86e39e7942c0'));
     select shared_db.tenant_table('t.x');";

#[tokio::test]
async fn a_table_whose_row_cannot_be_found_says_so_and_takes_one() {
    let (_server, _database, config) = migrated(STUBBORN).await;
    let error = probe_isolation(&config).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not make a row for t.x: new row for relation \"x\" violates check constraint \"checksum\" (SQLSTATE 23514); \
         give it one: `.row(\"t.x\", r#\"{\"column\": \"value\"}\"#)`"
    );
    let probed = probe_isolation(&config).row("t.x", r#"{"number": "let me in"}"#).await;
    assert!(matches!(probed, Err(Error::NoRow { .. })), "{probed:?}");
    let probed = probe_isolation(&config).row("t.x", r#"{"number": "Hello, it's me"}"#).await;
    assert!(matches!(probed, Err(Error::NoRow { .. })), "{probed:?}");
    let probed = probe_isolation(&config).row("t.x", r#"{"number": "it's \"open\""}"#).await;
    assert!(matches!(probed, Err(Error::NoRow { .. })), "{probed:?}");
    let probed = probe_isolation(&config).row("t.x", r#"{"number": "x", "colour": "red"}"#).await;
    assert!(probed.unwrap_err().to_string().contains("it has no column colour"));
    let probed = probe_isolation(&config).row("t.x", r#"{"number": "password123!"}"#).await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    assert_eq!(probed.outcome("t.x", Verb::Unique), Some(Outcome::Nothing));
}

#[tokio::test]
async fn a_type_that_nobody_knows_is_named() {
    let (_server, _database, config) = migrated(
        "create type t.pair as (a int, b int);
         create table t.x (tenant_id uuid not null, pair t.pair not null);
         select shared_db.tenant_table('t.x');",
    )
    .await;
    let error = probe_isolation(&config).await.unwrap_err().to_string();
    assert!(error.contains("no value of type t.pair for its column pair comes to mind"), "{error}");
    let probed = probe_isolation(&config).row("t.x", r#"{"pair": {"a": 1, "b": 2}}"#).await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
}

#[tokio::test]
async fn an_exemption_is_shown_and_one_that_nothing_needs_fails() {
    let (_server, _database, config) = migrated(
        "create table t.x (tenant_id uuid not null, slug text unique);
         alter table t.x enable row level security; alter table t.x force row level security;
         create policy tenant on t.x to {app} using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
         grant select, insert on t.x to {app};",
    )
    .await;
    let known = || -> Probe {
        let probe = probe_isolation(&config).exempt("t.x", Verb::Unique, "slugs are public");
        probe.exempt("t.x", Verb::Upsert, "slugs are public")
    };
    let probed = known().await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    assert!(probed.to_string().contains("t.x: unique is exempt: slugs are public"), "{probed}");
    let probed = known().exempt("t.x", Verb::Select, "an old one").await.unwrap();
    assert_eq!(probed.failures(), ["t.x: select is exempt, and does not fail"]);
    let error = known().exempt("t.y", Verb::Select, "a typing mistake").await.unwrap_err();
    assert!(matches!(&error, Error::Config(text) if text.contains("no table t.y")), "{error}");
}

#[tokio::test]
async fn a_database_without_tenants_is_no_success() {
    let server = crate::server::shared().await;
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    bootstrap(&config, &[]).await.unwrap();
    let error = probe_isolation(&config).await.unwrap_err();
    assert!(matches!(&error, Error::Config(text) if text.contains("no table with a tenant_id")), "{error}");
}

#[tokio::test]
async fn what_could_not_be_tried_is_no_success() {
    // A trigger's bug, under a code of the server's own, is no refusal.
    let probed = probed(
        "create table t.x (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));
         select shared_db.tenant_table('t.x');
         create function t.stumble() returns trigger language plpgsql as $f$
             begin perform 1 / 0; return null; end $f$;
         create trigger stumble before delete on t.x for each statement execute function t.stumble();",
    )
    .await;
    assert_eq!(probed.outcome("t.x", Verb::Delete), Some(Outcome::Untried), "{probed}");
    assert_eq!(probed.outcome("t.x", Verb::Update), Some(Outcome::Nothing), "{probed}");
    assert!(
        !probed.is_isolated() && probed.to_string().contains("t.x: delete could not be tried: "),
        "{probed}"
    );
}

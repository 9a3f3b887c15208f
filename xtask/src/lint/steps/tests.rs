use super::*;

const IN: &str = "crates/queues/src/schema.rs";

fn messages(declaration: &str) -> Vec<String> {
    let found = check(&[Source::new(IN, declaration)]);
    found.into_iter().map(|finding| finding.message).collect()
}

fn in_step(sql: &str) -> Vec<String> {
    messages(&format!("const S: &[Step] = &[Step::sql(1, \"x\", \"{sql}\")];"))
}

/// Each of the first is found once, each of the others not at all.
fn rule(message: &str, found: &[&str], fine: &[&str]) {
    for sql in found {
        let messages = in_step(sql);
        assert!(messages.len() == 1 && messages[0].contains(message), "{sql}: {messages:?}");
    }
    for sql in fine {
        assert_eq!(in_step(sql), Vec::<String>::new(), "{sql}");
    }
}

#[test]
fn an_index_on_a_table_in_use_is_made_concurrently() {
    rule(
        "`Step::concurrent`",
        &[
            "create index by_n on a.job (n)",
            "create unique index on only a.job (n)",
            "create index concurrently if not exists by_n on a.job (n)",
            "drop index a.by_n",
        ],
        &["create table a.job (n bigint); create index by_n on a.job (n)"],
    );
    let concurrent =
        "Step::concurrent(2, \"x\", \"create index concurrently if not exists by_n on a.job (n)\")";
    assert!(messages(concurrent).is_empty());
    assert_eq!(messages("Step::concurrent(2, \"x\", \"create index by_n on a.job (n)\")").len(), 1);
}

#[test]
fn a_new_column_has_a_value_for_the_rows_that_are_there() {
    rule(
        "a new column",
        &[
            "alter table a.job add column n bigint not null",
            "alter table only a.job add m text, add n text not null",
        ],
        &[
            "alter table a.job add column n bigint",
            "alter table a.job add column n bigint not null default 0, add m text",
            "alter table a.job add column n bigint not null generated always as identity",
            "create table a.job (x text); alter table a.job add column n bigint not null",
            "alter type a.mood add value 'x'",
        ],
    );
}

#[test]
fn what_others_use_is_not_taken_away_unsaid() {
    let sql = [
        "alter table a.job drop column n",
        "drop table a.job",
        "drop view a.v",
        "alter table a.job rename n to m",
        "alter table a.job rename to work",
        "alter table a.job alter column n type text",
        "alter table a.job alter n set data type text",
    ];
    rule("`.contracts(..)`", &sql, &["drop policy p on a.job", "create type a.t as enum ('x')"]);
    for sql in sql {
        let said = format!("Step::sql(3, \"x\", \"{sql}\")\n    .contracts(2)");
        assert!(messages(&said).is_empty(), "{said}");
    }
}

#[test]
fn a_constraint_is_validated_later() {
    rule(
        "`not valid`",
        &[
            "alter table a.job add constraint c check (n > 0)",
            "alter table a.job add foreign key (tenant_id, n) references a.other (tenant_id, n)",
        ],
        &[
            "alter table a.job add constraint c check (n > 0) not valid",
            "alter table a.job validate constraint c",
            "create table a.job (n bigint); alter table a.job add check (n > 0)",
        ],
    );
}

#[test]
fn types_that_somebody_regrets_are_found() {
    rule(
        "`text`",
        &[
            "create table a.b (c varchar(3))",
            "create table a.b (c character varying)",
            "create table a.b (c char(2))",
        ],
        &[],
    );
    rule(
        "identity",
        &["create table a.b (id bigserial)"],
        &["create table a.b (id bigint generated always as identity)"],
    );
    rule(
        "`timestamptz`",
        &["create table a.b (at timestamp)", "create table a.b (at timestamp without time zone)"],
        &["create table a.b (at timestamptz, other timestamp with time zone)"],
    );
    rule(
        "an id is",
        &["create table a.b (id int primary key)", "create table a.b (owner_id integer)"],
        &["create table a.b (id bigint, attempts integer, owner_id uuid)"],
    );
}

#[test]
fn a_step_does_not_control_its_transaction() {
    rule(
        "a transaction already",
        &["begin; select 1", "select 1; commit;", "rollback", "start transaction; select 1", "savepoint s"],
        &["do $$ begin perform 1; commit_it(); end $$; select a.commit from a.b"],
    );
}

#[test]
fn what_is_made_says_where() {
    rule(
        "schema",
        &[
            "create or replace function f() returns int language sql return 1",
            "create sequence s",
            "create view v as select 1",
        ],
        &["create function a.f() returns int language sql return 1", "create role x", "create schema a"],
    );
}

#[test]
fn the_text_may_be_in_a_file_and_is_found_there() {
    let declared = |more: &str| {
        format!(
            "MigrationSet::new(\"a\", &[Step::sql(1, \"x\", include_str!(\"../migrations/0001_x.sql\")){more}])"
        )
    };
    let file = || Source::new("crates/queues/migrations/0001_x.sql", "-- It goes.\ndrop table a.job;\n");
    let found = check(&[file(), Source::new(IN, declared(""))]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].line), ("crates/queues/migrations/0001_x.sql", 2));
    assert!(check(&[file(), Source::new(IN, declared(".contracts(1)"))]).is_empty());
}

#[test]
fn tests_may_do_as_they_like() {
    let step = "Step::sql(1, \"x\", \"drop table a.job\")";
    assert!(messages(&format!("#[cfg(test)] mod tests {{ {step} }}")).is_empty());
    assert!(check(&[Source::new("crates/db/tests/it/a.rs", step)]).is_empty());
    assert!(check(&[Source::new("bench/db/src/main.rs", step)]).is_empty());
}

//! Statements that would leave something on their connection for the next one to find do not compile.

use super::rewrite::{end_of_token, is_name};

/// What a text may not begin with: it opens or ends transactions, which the doors do, or changes the session.
const SESSION: &[&str] = &[
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "set",
    "reset",
    "listen",
    "unlisten",
    "discard",
    "prepare",
    "deallocate",
    "declare",
    "load",
];

/// Locks that outlive their transaction; those of `pg_advisory_xact_lock` don't.
const LOCKS: &[&str] =
    &["pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"];

/// What stands before TEMP where a temporary table or view is made.
const MAKING: &[&str] = &["create", "replace", "local", "global"];

/// Stops the build for a text that would leave something behind.
///
/// # Panics
/// In a constant that is an error of the compiler.
pub const fn refuse_session_state(sql: &str) {
    let bytes = sql.as_bytes();
    let (mut at, mut before, mut earlier) = (0, (0, 0), (0, 0));
    while at < bytes.len() {
        let end = end_of_token(bytes, at);
        if is_name(bytes[at]) {
            if before.1 == 0 && is_one_of(bytes, at, end, SESSION) {
                panic!(
                    "statements!: the doors open and end transactions, and a session belongs to all: see `Tenant::tx`"
                );
            }
            if is_one_of(bytes, at, end, LOCKS) {
                panic!("statements!: this lock outlives its transaction; take `pg_advisory_xact_lock`");
            }
            // `insert into temp` is a table of that name; `select 1 into temp x` makes one.
            let makes = is_one_of(bytes, before.0, before.1, MAKING)
                || is_one_of(bytes, before.0, before.1, &["into"])
                    && !is_one_of(bytes, earlier.0, earlier.1, &["insert", "merge"]);
            if makes && is_one_of(bytes, at, end, &["temp", "temporary"])
                || is_one_of(bytes, at, end, &["pg_temp"])
            {
                panic!("statements!: a temporary table outlives its transaction; send arrays, or use `with`");
            }
            (earlier, before) = (before, (at, end));
        }
        at = end;
    }
}

/// Whether the token is one of these words, in small letters or large ones.
const fn is_one_of(bytes: &[u8], from: usize, to: usize, words: &[&str]) -> bool {
    let mut at = 0;
    while at < words.len() {
        if is_word(bytes, from, to, words[at].as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_word(bytes: &[u8], from: usize, to: usize, word: &[u8]) -> bool {
    if to - from != word.len() {
        return false;
    }
    let mut at = 0;
    while at < word.len() {
        if bytes[from + at].to_ascii_lowercase() != word[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn what_stays_on_a_connection_is_refused() {
        for sql in [
            "begin",
            "  COMMIT",
            "-- why\n /* and */ set work_mem = '1GB'",
            "Set role x",
            "reset all",
            "listen notes",
            "discard all",
            "prepare x as select 1",
            "deallocate all",
            "declare c cursor with hold for select 1",
            "select pg_advisory_lock($1)",
            "select pg_catalog.PG_TRY_ADVISORY_LOCK_SHARED(1)",
            "create temp table x (a int)",
            "create local temporary table x (a int)",
            "create or replace temp view x as select 1",
            "select 1 as a into temp x",
            "with b as (select 1) select a.b INTO TEMPORARY table x from a",
            "create table pg_temp.x (a int)",
            "create function pg_temp.x() returns int language sql as 'select 1'",
        ] {
            assert!(catch_unwind(|| refuse_session_state(sql)).is_err(), "{sql}");
        }
    }

    #[test]
    fn what_only_looks_like_it_passes() {
        for sql in [
            "select 1 -- begin",
            "update notes.note set body = 'begin'",
            "with x as (select 1) select * from x",
            "select pg_advisory_xact_lock($1)",
            "select pg_advisory_unlock_all()",
            "select 'pg_advisory_lock(1)', temp from notes.weather",
            "insert into temp (degrees) values ($1)",
            "merge into temp using new on true when matched then delete",
            "select pg_my_temp_schema(), 'pg_temp'",
            "select case when true then 1 end",
            "'set'",
            "lock table notes.note",
            "notify chatter",
            "",
        ] {
            refuse_session_state(sql);
        }
    }
}

//! What a test of a service shows when it fails.

use std::env;
use std::process::Command;

use shared_service::db::statements;

use crate::support::{Gate, start};

statements! {
    const REFUSED: Statement<(), i64> = "select (1 / 0)::bigint";
}

/// As a child it has to fail.
#[tokio::test]
async fn a_statement_is_refused() {
    let app = start(&Gate::default(), []).await;
    assert!(app.db().system().one(&REFUSED, ()).await.is_err());
    assert!(env::var_os("PROBE_TEST_FAILS").is_none(), "as asked for");
}

#[test]
fn a_test_that_fails_shows_what_the_database_said() {
    for fails in [true, false] {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "failure::a_statement_is_refused"]);
        if fails {
            child.env("PROBE_TEST_FAILS", "1");
        }
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let told = text.contains("PostgreSQL logged") && text.contains("division by zero");
        assert_eq!((!output.status.success(), told), (fails, fails), "{text}");
    }
}

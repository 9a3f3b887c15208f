//! A wrong environment does not start, and says everything that is wrong at once.

use std::process::Command;

#[test]
fn a_wrong_environment_is_reported_whole() {
    let run = Command::new(env!("CARGO_BIN_EXE_notes"))
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("NOTES_PROFILE", "production")
        .env("NOTES_DB_POOL_SIZE", "ten")
        .env("NOTES_DB_POOL_TIMOUT", "5s")
        .output()
        .unwrap();
    let report = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(78), "{report}");
    for line in [
        "notes cannot start",
        "DATABASE_URL",
        "NOTES_DB_POOL_SIZE",
        "did you mean NOTES_DB_POOL_TIMEOUT?",
        "NOTES_SECURITY_KEYS",
    ] {
        assert!(report.contains(line), "{line} in:\n{report}");
    }
    assert!(!report.contains("ten"), "a value is shown:\n{report}");
}

#[test]
fn the_example_is_current() {
    let generated = shared_service::config_loader::env_example::<notes::Settings>();
    assert_eq!(include_str!("../../.env.example"), generated, ".env.example should be:\n{generated}");
}

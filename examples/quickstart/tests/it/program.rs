//! The program as a child process.

use std::path::Path;
use std::time::Duration;

use shared_devkit::child::{Child, Program};

/// Far beyond what any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run of the program on a database of the test's.
pub(crate) fn program(database: &str, corpus: &Path, arguments: &[&str]) -> Program {
    Child::program(env!("CARGO_BIN_EXE_quickstart"))
        .args(arguments)
        .arg(corpus)
        .env("DATABASE_URL", database)
        .env("PORT", "127.0.0.1:0")
        .env("QUICKSTART_SERVICE_ADMIN", "127.0.0.1:0")
        .env("QUICKSTART_EVENTS_LEASE", "300ms")
        .patience(PATIENCE)
}

/// Waits until it serves, and returns the URL.
pub(crate) async fn serving(program: &mut Child) -> String {
    let line = program.line("serving on ").await.expect("it serves");
    let url = line.split(' ').nth(2).expect("a URL");
    url.to_owned()
}

/// Waits for its end, which is a good one.
pub(crate) async fn ends(mut program: Child) {
    let status = program.ended().await.expect("it ends");
    assert!(status.success(), "{status}: {}", program.output());
}

/// Asks it to stop, as a supervisor does, and waits for its good end.
pub(crate) async fn terminate(mut program: Child) {
    program.terminate().expect("it is told");
    ends(program).await;
}

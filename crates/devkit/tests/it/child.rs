//! What this test binary does when another test starts it as a child: the environment is a process's own.

use std::{borrow::Borrow, env, io::Read};

use shared_devkit::{Error, Platform, Postgres, Wheel};

use crate::database::{connect, count};

/// The file in `tests/fixtures`.
pub(crate) const SAMPLE: Wheel = Wheel {
    package: "devkit-sample",
    version: "1.0",
    files: &[(Platform::Any, "66fb6005d3720b26680379bf10cfaef185527cd0436d5b75406b77bb686fcf2e")],
};

#[tokio::test]
async fn the_shared_server_answers() {
    match env::var("DEVKIT_ROLE").as_deref() {
        Ok("wheel") => say(SAMPLE.fetch().map(|directory| directory.display().to_string())),
        Ok("wrong pin") => {
            let wrong = Wheel { files: &[(Platform::Any, "0000")], ..SAMPLE };
            say(wrong.fetch().map(|directory| directory.display().to_string()));
        }
        Ok("server") => say(Postgres::shared().await.map(|server| server.url().to_owned())),
        Ok("user until end of input") => {
            let server = Postgres::shared().await.expect("a server");
            let database = server.empty_database().await;
            say(database.as_ref().map(|database| format!("{} {}", server.url(), database.name())));
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        _ => {
            let server = Postgres::shared().await.expect("a server");
            let client = connect(server.url()).await;
            assert_eq!(count(&client, "select 1::bigint").await, 1);
        }
    }
}

#[expect(clippy::print_stdout, reason = "a child has no other way to answer")]
fn say(result: Result<String, impl Borrow<Error>>) {
    match result {
        Ok(text) => println!("child says: {text}"),
        Err(error) => println!("child says: error: {0} ({0:?})", error.borrow()),
    }
}

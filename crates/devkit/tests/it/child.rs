//! What this test binary does when another test starts it as a child: the environment is a process's own.

use std::{borrow::Borrow, env, io::Read};

use shared_devkit::{Error, Nats, Platform, Postgres, Redis, Wheel};

use crate::{
    adverse::user,
    database::{connect, count},
};

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
        Ok("user until end of input") => {
            let server = Postgres::shared().await.expect("a server");
            let database = server.empty_database().await;
            say(database.as_ref().map(|database| format!("{} {}", server.url(), database.name())));
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        Ok("redis user until end of input") => say_redis(1).await,
        Ok("redis user of many") => say_redis(472).await,
        Ok("nats user until end of input") => say_nats(Nats::shared().await).await,
        Ok(role) if role.starts_with(user::ROLE) => user::play(role.trim_start_matches(user::ROLE)).await,
        Ok("nats named") => say_nats(Nats::named("test").await).await,
        Ok("nats version") => say(Nats::shared().await.map(|server| server.version().to_owned())),
        Ok("owner until end of input") => {
            let server = Postgres::exclusive().await;
            say(server.as_ref().map(|server| server.url().to_owned()));
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        _ => {
            let server = Postgres::shared().await.expect("a server");
            let client = connect(server.url()).await;
            assert_eq!(count(&client, "select 1::bigint").await, 1);
        }
    }
}

/// Says the URLs of that many databases, and is a user until the end of its input.
async fn say_redis(count: usize) {
    let server = Redis::shared().await.expect("a server");
    let mut databases = Vec::new();
    while databases.len() < count {
        databases.push(server.database().await.expect("a database"));
    }
    let urls: Vec<_> = databases.iter().map(|database| database.url()).collect();
    say(Ok::<_, Error>(format!("{} {}", urls.join(" "), databases[0].prefix())));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Says its address and its prefix, and is a user until the end of its input.
async fn say_nats(server: Result<Nats, Error>) {
    let server = match server {
        Ok(server) => server,
        Err(error) => return say(Err(error)),
    };
    let namespace = server.namespace().await;
    say(namespace.as_ref().map(|namespace| format!("{} {}", server.url(), namespace.prefix())));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[expect(clippy::print_stdout, reason = "a child has no other way to answer")]
pub(crate) fn say(result: Result<String, impl Borrow<Error>>) {
    match result {
        Ok(text) => println!("child says: {text}"),
        Err(error) => println!("child says: error: {0} ({0:?})", error.borrow()),
    }
}

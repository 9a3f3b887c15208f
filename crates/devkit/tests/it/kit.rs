//! What a test needs, in one line; and what it is told when it fails.

use std::{env, process::Command, time::Duration};

use shared_devkit::Kit;

use crate::database::{connect, count};

async fn migrate(url: String) -> Result<(), tokio_postgres::Error> {
    let client = connect(&url).await;
    client.batch_execute("create table note (body text); insert into note values ('of the migration')").await
}

#[tokio::test]
async fn a_kit_has_everything_and_shares_nothing() {
    let (one, other) =
        tokio::try_join!(Kit::start("kit-1", migrate), Kit::start("kit-1", migrate)).expect("two kits");
    let (of_one, of_other) = (connect(one.database.url()).await, connect(other.database.url()).await);
    of_one.batch_execute("insert into note values ('of the test')").await.expect("a table of the migration");
    assert_eq!(count(&of_one, "select count(*) from note").await, 2);
    assert_eq!(count(&of_other, "select count(*) from note").await, 1);

    assert_ne!(one.redis.prefix(), other.redis.prefix());
    assert_ne!(one.collector.endpoint(), other.collector.endpoint());
    assert_ne!(one.tenant, other.tenant);
    let (before, unmoved) = (one.clock.now(), other.clock.now());
    one.clock.advance(Duration::from_secs(60));
    assert_eq!((one.clock.now() - before, other.clock.now()), (time::Duration::MINUTE, unmoved));
}

/// As a child it may have to fail, in one of the two ways in which tests do.
#[tokio::test]
async fn a_statement_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let kit = Kit::empty().await?;
    let refused = connect(kit.database.url()).await.batch_execute("select of_the_child").await;
    assert!(refused.is_err());
    match env::var("DEVKIT_ROLE").as_deref() {
        Ok("kit that panics") => panic!("as asked for"),
        Ok("kit that errs") => Err("as asked for".into()),
        _ => Ok(()),
    }
}

#[tokio::test]
async fn a_test_that_fails_shows_what_the_server_said() {
    let kit = Kit::empty().await.expect("a kit");
    let ours = connect(kit.database.url()).await;
    for (role, fails) in [("kit that panics", true), ("kit that errs", true), ("", false)] {
        assert!(ours.batch_execute("select of_the_parent").await.is_err());
        let output = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "kit::a_statement_is_refused"])
            .env("DEVKIT_ROLE", role)
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(!output.status.success(), fails, "{text}");
        let told = text.contains("PostgreSQL logged") && text.contains("\"of_the_child\" does not exist");
        assert_eq!(told, fails, "{text}");
        assert!(!text.contains("of_the_parent"), "{text}");
    }
}

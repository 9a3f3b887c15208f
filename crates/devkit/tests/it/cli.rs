//! The program `shared-devkit`, and what a named server keeps.

use std::process::{Command, Output};

use crate::{
    database::{connect, count},
    sandbox::{Sandbox, keeper, kill_id, postmaster, wait_until},
};

fn run(mut command: Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().expect("our program");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    (
        status.code().expect("a code"),
        if status.success() { text } else { text + &String::from_utf8_lossy(&stderr) },
    )
}

#[tokio::test]
async fn a_named_server_keeps_its_data_until_it_is_purged() {
    let sandbox = Sandbox::with_wheels().await;
    let up = || {
        let (code, text) = run(sandbox.cli(&["up"]));
        assert_eq!(code, 0, "{text}");
        text.strip_prefix("DATABASE_URL=").expect("an environment line").trim().to_owned()
    };
    let status = || run(sandbox.cli(&["status"])).0;
    let psql = |sql: &str| run(sandbox.cli(&["psql", "--", "-Atc", sql]));
    let directory = sandbox.cache().join("postgres/dev");

    assert_eq!(status(), 3);
    let url = up();
    assert_eq!(status(), 0);
    let make = "create extension vector; create table note (body text); insert into note values ('kept')";
    connect(&url).await.batch_execute(make).await.expect("a row");

    // Killed: the next start recovers, on the same port.
    kill_id(postmaster(&directory));
    assert_eq!(up(), url);
    assert_eq!(psql("select body from note"), (0, "kept\n".to_owned()));

    // Several at once, after its keeper was killed too.
    kill_id(keeper(&directory));
    kill_id(postmaster(&directory));
    let starting: Vec<_> = (0..4).map(|_| sandbox.cli(&["up"]).spawn().expect("our program")).collect();
    for child in starting {
        let output = child.wait_with_output().expect("our program");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("DATABASE_URL={url}"));
    }

    // Down is down; a single use starts it, and it goes again by itself.
    assert_eq!(run(sandbox.cli(&["down"])).0, 0);
    assert_eq!(status(), 3);
    assert_eq!(psql("select count(*) from note"), (0, "1\n".to_owned()));
    wait_until("the server has stopped by itself", || status() == 3);
    let client = connect(&up()).await;
    assert_eq!(count(&client, "select count(*) from note").await, 1);

    assert_eq!(run(sandbox.cli(&["purge"])).0, 0);
    assert!(!directory.exists());
}

#[test]
fn wrong_use_is_explained() {
    let sandbox = Sandbox::empty();
    for arguments in [&["fly"][..], &[], &["up", "down"], &["up", "--name"]] {
        let (code, text) = run(sandbox.cli(arguments));
        assert_eq!(code, 2);
        assert!(text.contains("usage: shared-devkit"), "{text}");
    }
    let (code, text) = run(sandbox.cli(&["up", "--name", "../etc"]));
    assert_eq!(code, 1);
    assert!(text.contains("use 1 to 40 letters"), "{text}");
}

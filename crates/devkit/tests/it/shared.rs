//! One server for everybody, as long as there is anybody.

use std::{collections::HashSet, path::Path};

use crate::{
    database::{connect, count},
    sandbox::{Sandbox, is_mentioned, keeper, kill, kill_id, postmaster, said, wait_until},
};

const USER: &str = "user until end of input";

#[test]
fn thirty_two_processes_on_an_empty_cache_share_a_server_and_killed_leave_nothing() {
    let sandbox = Sandbox::empty();
    let mut children: Vec<_> = (0..32).map(|_| sandbox.child(USER).spawn().expect("a child")).collect();
    let answers: Vec<_> = children.iter_mut().map(said).collect();
    let column = |which: usize| answers.iter().filter_map(move |answer| answer.split(' ').nth(which));
    assert_eq!(column(0).collect::<HashSet<_>>().len(), 1, "one server");
    assert_eq!(column(1).collect::<HashSet<_>>().len(), 32, "each its own database");
    let directories = sandbox.servers();
    assert_eq!(directories.len(), 1, "{directories:?}");

    children.into_iter().for_each(kill);
    wait_until("the server is gone", || sandbox.servers().is_empty());
    wait_until("its processes are gone", || !is_mentioned(&directories[0]));
}

#[tokio::test]
async fn a_server_lingers_for_the_next_user() {
    let sandbox = Sandbox::with_wheels().await;
    let mut command = sandbox.child(USER);
    let mut first = command.env("SHARED_DEVKIT_LINGER", "60").spawn().expect("a child");
    let first_answer = said(&mut first);
    kill(first);
    let mut second = sandbox.child(USER).spawn().expect("a child");
    assert_eq!(first_answer.split(' ').next(), said(&mut second).split(' ').next());
    // The first user's long linger is the keeper's; a test does not wait for it, and the next keeper has another one.
    kill_id(keeper(&sandbox.servers().pop().expect("a server")));
    let mut third = sandbox.child(USER).spawn().expect("a child");
    said(&mut third);
    [second, third].into_iter().for_each(kill);
    wait_until("the server is gone", || sandbox.servers().is_empty());
}

#[tokio::test]
async fn a_database_alone_keeps_its_server_up() {
    let server = shared_devkit::Postgres::exclusive().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let client = connect(database.url()).await;
    let data = client.query_one("show data_directory", &[]).await.expect("a setting").get::<_, String>(0);
    drop(server);
    assert_eq!(count(&client, "select 1::bigint from pg_sleep(1.5)").await, 1);
    drop(database);
    wait_until("the server is gone", || !Path::new(&data).exists());
}

#[tokio::test]
async fn the_next_user_repairs_what_was_killed() {
    let sandbox = Sandbox::with_wheels().await;
    let mut first = sandbox.child(USER).spawn().expect("a child");
    let address = said(&mut first);
    let directory = sandbox.servers().pop().expect("a server");

    // Without its keeper the server would stay for ever; the next user gives it another, and finds the same server.
    kill_id(keeper(&directory));
    let mut second = sandbox.child(USER).spawn().expect("a child");
    let answer = said(&mut second);
    assert_eq!(address.split(' ').next(), answer.split(' ').next());

    // A killed server is started again with everything in it.
    let client = connect(answer.split(' ').next().expect("a URL")).await;
    client
        .batch_execute("create table note (body text); insert into note values ('kept')")
        .await
        .expect("a row");
    kill_id(postmaster(&directory));
    let mut third = sandbox.child(USER).spawn().expect("a child");
    let client = connect(said(&mut third).split(' ').next().expect("a URL")).await;
    assert_eq!(count(&client, "select count(*) from note").await, 1);

    // Both keepers' users count: the first and the second came before the present keeper.
    [first, second, third].into_iter().for_each(kill);
    drop(client);
    wait_until("the server is gone", || sandbox.servers().is_empty());
}

#[tokio::test]
async fn leftovers_of_a_crashed_machine_are_cleaned_by_the_next_start() {
    let sandbox = Sandbox::with_wheels().await;
    let mut user = sandbox.child(USER).spawn().expect("a child");
    let before = said(&mut user);
    let directory = sandbox.servers().pop().expect("a server");
    kill_id(keeper(&directory));
    kill_id(postmaster(&directory));
    kill(user);
    let interrupted = directory.with_extension("gone-1");
    std::fs::create_dir(&interrupted).expect("a directory");

    let mut user = sandbox.child(USER).spawn().expect("a child");
    let after = said(&mut user);
    assert!(!interrupted.exists());
    let client = connect(after.split(' ').next().expect("a URL")).await;
    let old = before.split(' ').nth(1).expect("a name");
    let there = format!("select count(*) from pg_database where datname = '{old}'");
    assert_eq!(count(&client, &there).await, 0, "data that was not durable is not used again");
    drop(client);
    kill(user);
    wait_until("the server is gone", || sandbox.servers().is_empty());
}

#[tokio::test]
async fn a_server_of_ones_own_is_used_instead() {
    let own = shared_devkit::Postgres::exclusive().await.expect("a server");
    let sandbox = Sandbox::empty();
    let mut user = sandbox.child(USER);
    let mut user = user.env("DATABASE_URL", own.url()).spawn().expect("a child");
    let answer = said(&mut user);
    let (url, database) = answer.split_once(' ').expect("a URL and a name");
    assert_eq!(url, own.url());
    let there = format!("select count(*) from pg_database where datname = '{database}'");
    assert_eq!(count(&connect(own.url()).await, &there).await, 1);
    assert!(sandbox.servers().is_empty());
    kill(user);
}

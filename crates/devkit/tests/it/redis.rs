//! Redis: shared, numbered, borrowed, named, killed, cut short.

use std::{collections::HashSet, net::TcpListener, process::Command, sync::mpsc, thread, time::Duration};

use redis::{Client, Commands, Connection};
use shared_devkit::{Error, Redis, RedisOptions};

use crate::sandbox::{Sandbox, is_mentioned, keeper, kill, kill_id, process_id, said, wait_until};

const USER: &str = "redis user until end of input";

pub(crate) fn connect(url: &str) -> Connection {
    Client::open(url).expect("a URL").get_connection().expect("a server")
}

/// Of the URL of database 0.
fn port(url: &str) -> u16 {
    url.rsplit_once(':').expect("a port").1.trim_end_matches("/0").parse().expect("a number")
}

fn get(connection: &mut Connection, key: &str) -> Option<String> {
    connection.get(key).expect("an answer")
}

async fn bundled() -> Redis {
    Redis::exclusive_with(RedisOptions::bundled()).await.expect("a server")
}

#[tokio::test]
async fn what_one_test_writes_no_other_sees() {
    let server = Redis::exclusive().await.expect("a server");
    let (one, other) = (server.database().await.expect("one"), server.database().await.expect("other"));
    let () = connect(one.url()).set("note", "mine").expect("a write");
    assert_eq!(get(&mut connect(other.url()), "note"), None);
    assert_eq!(get(&mut connect(one.url()), "note").as_deref(), Some("mine"));
    assert_ne!(one.prefix(), other.prefix());

    // Channels have no number: only their names keep them apart.
    let mut listener = connect(other.url());
    listener.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let mut listener = listener.as_pubsub();
    listener.subscribe(format!("{}news", other.prefix())).expect("a channel");
    let mut publisher = connect(one.url());
    assert_eq!(
        publisher.publish::<_, _, u32>(format!("{}news", one.prefix()), "mine").expect("no listener"),
        0
    );
    assert_eq!(publisher.publish::<_, _, u32>(format!("{}news", other.prefix()), "yours").expect("one"), 1);
    assert_eq!(listener.get_message().expect("a message").get_payload::<String>().expect("text"), "yours");
}

#[tokio::test]
async fn nobody_breaks_the_server_of_others() {
    // Not that of `REDIS_URL`, which would do what it is told.
    let sandbox = Sandbox::with_wheels().await;
    let mut user = sandbox.child(USER).spawn().expect("a child");
    let mut connection = connect(said(&mut user).split(' ').next().expect("a URL"));
    for command in [&["FLUSHALL"][..], &["SWAPDB", "1", "2"], &["SHUTDOWN"], &["DEBUG", "SLEEP", "1"]] {
        let refused = redis::cmd(command[0]).arg(&command[1..]).query::<()>(&mut connection);
        let reason = refused.expect_err("a refusal").to_string();
        assert!(reason.contains(&command[0].to_lowercase()), "{reason}");
    }
    kill(user);
    wait_until("the server is gone", || sandbox.servers().is_empty());

    let mut server = Redis::shared().await.expect("a server");
    assert!(matches!(server.kill().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.pause().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.truncate(1).await, Err(Error::NotYours { .. })));
    assert!(matches!(server.start().await, Err(Error::NotYours { .. })));
}

#[tokio::test]
async fn forty_processes_have_forty_numbers_and_a_killed_one_gives_its_own_back() {
    let sandbox = Sandbox::with_wheels().await;
    let mut children: Vec<_> = (0..40).map(|_| sandbox.child(USER).spawn().expect("a child")).collect();
    let answers: Vec<_> = children.iter_mut().map(said).collect();
    let column = |which: usize| -> Vec<_> {
        answers.iter().map(|answer| answer.split(' ').nth(which).expect("a word")).collect()
    };
    let urls = column(0);
    let server = |url: &str| url.rsplit_once('/').map(|(server, _)| server.to_owned());
    assert_eq!(urls.iter().map(|url| server(url)).collect::<HashSet<_>>().len(), 1, "one server");
    assert_eq!(urls.iter().collect::<HashSet<_>>().len(), 40, "each its own number");
    assert_eq!(column(1).into_iter().collect::<HashSet<_>>().len(), 40, "each its own prefix");

    let abandoned = urls[39];
    let () = connect(abandoned).set("note", "left behind").expect("a write");
    kill(children.pop().expect("a child"));
    // All that is left of the 511, so the number of the dead is among them.
    let mut many = sandbox.child("redis user of many").spawn().expect("a child");
    let taken = said(&mut many);
    assert!(taken.split(' ').any(|url| url == abandoned), "{abandoned} is free again");
    assert!(!taken.split(' ').any(|url| urls[..39].contains(&url)), "the living keep theirs");
    assert_eq!(get(&mut connect(abandoned), "note"), None, "and is empty");

    let directories = sandbox.servers();
    children.into_iter().chain([many]).for_each(kill);
    wait_until("the server is gone", || sandbox.servers().is_empty());
    wait_until("its processes are gone", || !is_mentioned(&directories[0]));
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_number_waits_for_one_and_not_for_ever() {
    let options = RedisOptions::bundled().setting("databases", 2);
    let server = Redis::exclusive_with(options).await.expect("a server");
    let only = server.database().await.expect("the only one");
    let url = only.url().to_owned();
    assert!(url.ends_with("/1"), "the first is nobody's");
    let late = server.database().await.expect_err("none is left");
    let said =
        "all 1 databases of the Redis are in use, for 30 seconds now; drop some, or take an exclusive server";
    assert_eq!(late.to_string(), said);

    // One that is given back while another waits.
    let () = connect(&url).set("note", "left").expect("a write");
    let waiting = server.database();
    let given_back = async { drop(only) };
    let (next, ()) = tokio::join!(waiting, given_back);
    let next = next.expect("the only one");
    assert_eq!(next.url(), url);
    assert_eq!(get(&mut connect(&url), "note"), None);
}

#[tokio::test]
async fn a_server_of_ones_own_is_borrowed_and_left_as_it_was() {
    let own = bundled().await;
    let mut connection = connect(own.url());
    let () = connection.set("foreign", "stays").expect("a write");
    let sandbox = Sandbox::empty();
    let mut user = sandbox.child(USER);
    let mut user = user.env("REDIS_URL", own.url()).spawn().expect("a child");
    let answer = said(&mut user);
    let (url, prefix) = answer.split_once(' ').expect("a URL and a prefix");
    assert_eq!(url, own.url());
    assert!(sandbox.servers().is_empty());
    // More than one answer of a scan holds, and a name that is no text.
    for number in 0..3000 {
        let () = connection.set(format!("{prefix}{number}"), "goes").expect("a write");
    }
    let () = connection.set([prefix.as_bytes(), b"\xff\r\n"].concat(), "goes").expect("a write");

    drop(user.stdin.take());
    assert!(user.wait().expect("our child").success());
    assert_eq!(connection.keys::<_, Vec<String>>("*").expect("keys"), ["foreign"]);
}

#[tokio::test]
async fn a_killed_server_comes_back_with_every_acknowledged_write() {
    for mut server in [bundled().await, Redis::exclusive().await.expect("a server")] {
        let mut connection = connect(server.url());
        let (tell, told) = mpsc::channel();
        let writer = thread::spawn(move || {
            while let Ok(count) = connection.incr::<_, _, u32>("count", 1) {
                if tell.send(count).is_err() {
                    break;
                }
            }
        });
        assert!(told.iter().any(|count| count == 200), "some writes");
        server.kill().await.expect("a kill");
        writer.join().expect("a writer that was cut off");
        let acknowledged = told.iter().last().unwrap_or(200);

        let url = server.url().to_owned();
        server.start().await.expect("a start");
        assert_eq!(server.url(), url);
        let kept: u32 = connect(&url).get("count").expect("a count");
        assert!((acknowledged..=acknowledged + 1).contains(&kept), "{acknowledged} of {kept}");
    }
}

#[tokio::test]
async fn a_port_that_was_taken_is_left_to_its_taker() {
    let mut server = bundled().await;
    let () = connect(server.url()).set("note", "kept").expect("a write");
    let former = server.url().to_owned();
    server.kill().await.expect("a kill");
    let _taker = TcpListener::bind(("127.0.0.1", port(&former))).expect("its port");
    server.start().await.expect("a start");
    assert_ne!(server.url(), former);
    assert_eq!(get(&mut connect(server.url()), "note").as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_it_is_resumed() {
    let server = bundled().await;
    let mut connection = connect(server.url());
    connection.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    server.pause().await.expect("a pause");
    assert!(connection.ping::<String>().expect_err("silence").is_timeout());
    server.resume().await.expect("it wakes");
    assert_eq!(connect(server.url()).ping::<String>().expect("an answer"), "PONG");
}

#[tokio::test]
async fn a_file_cut_short_loses_its_end_alone() {
    for mut server in [bundled().await, Redis::exclusive().await.expect("a server")] {
        let mut connection = connect(server.url());
        let () = connection.set("first", "kept").expect("a write");
        let () = connection.set("second", "lost").expect("a write");
        let error = server.truncate(1).await.expect_err("it runs");
        assert!(error.to_string().contains("it runs; kill or stop it first"), "{error}");
        server.stop().await.expect("a stop");
        server.truncate(1).await.expect("a cut");
        server.start().await.expect("a start");
        let mut connection = connect(server.url());
        assert_eq!(get(&mut connection, "first").as_deref(), Some("kept"));
        assert_eq!(get(&mut connection, "second"), None);
    }
}

#[tokio::test]
async fn options_are_those_of_the_server_or_it_says_why_not() {
    let options = || RedisOptions::bundled();
    let server = Redis::exclusive_with(options().setting("maxmemory", "2mb")).await.expect("a server");
    assert_eq!(server.version(), "6.2.14");
    let full = (0..).find_map(|key| connect(server.url()).set::<_, _, ()>(key, vec![0; 1 << 20]).err());
    assert!(full.expect("an end").to_string().contains("maxmemory"));

    let strict = options().setting("aof-load-truncated", "no");
    let mut strict = Redis::exclusive_with(strict).await.expect("a server");
    let () = connect(strict.url()).set("note", "cut").expect("a write");
    strict.kill().await.expect("a kill");
    strict.truncate(3).await.expect("a cut");
    let error = strict.start().await.expect_err("a broken file").to_string();
    assert!(error.contains("Unexpected end of file"), "{error}");

    let error = Redis::exclusive_with(options().setting("no-such", "setting")).await.expect_err("no setting");
    assert!(error.to_string().contains("no-such"), "{error}");
    let error = Redis::exclusive_with(options().tls("-", "-")).await.expect_err("no TLS");
    assert!(error.to_string().starts_with("no bundled Redis with TLS to run"), "{error}");
    let error = Redis::exclusive_with(options().version(5)).await.expect_err("no such version");
    assert!(error.to_string().starts_with("no bundled Redis 5 to run"), "{error}");
}

#[tokio::test]
async fn a_named_server_keeps_its_data_until_it_is_purged() {
    let sandbox = Sandbox::with_wheels().await;
    let run = |arguments: &[&str]| output(sandbox.cli(arguments));
    let directory = sandbox.cache().join("redis/dev");

    let lines = run(&["up", "redis", "postgres"]);
    let (first, second) = lines.split_once('\n').expect("two lines");
    let url = first.strip_prefix("REDIS_URL=").expect("an environment line");
    assert!(second.starts_with("DATABASE_URL=postgres://"), "{second}");
    let () = connect(url).set("note", "kept").expect("a write");

    // Killed with its keeper: the next start recovers, on the same port.
    kill_id(keeper(&directory));
    kill_id(process_id(&directory.join("pid")));
    wait_until("its port is free", || TcpListener::bind(("127.0.0.1", port(url))).is_ok());
    assert_eq!(run(&["up", "redis"]).trim(), first);
    assert_eq!(run(&["redis-cli", "--", "get", "note"]), "kept\n");
    assert!(run(&["status", "redis"]).starts_with("redis `dev` is up on port "));

    // Down is down, and keeps what was written a moment ago.
    assert_eq!(run(&["redis-cli", "--", "set", "note", "new"]), "OK\n");
    run(&["down", "redis"]);
    assert_eq!(sandbox.cli(&["status", "redis"]).status().expect("our program").code(), Some(3));
    assert_eq!(run(&["redis-cli", "--", "get", "note"]), "new\n");
    run(&["purge", "redis", "postgres"]);
    assert!(!directory.exists());
}

fn output(mut command: Command) -> String {
    let output = command.output().expect("our program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

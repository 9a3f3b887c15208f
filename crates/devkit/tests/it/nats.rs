//! NATS with JetStream: shared, named, one's own, and killed.

pub(crate) mod client;
#[cfg(feature = "tls")]
mod tls;

use std::{fs, os::unix::fs::PermissionsExt, sync::mpsc, thread};

use client::{Client, field, greeting};
use shared_devkit::{Error, Nats, NatsOptions};

use crate::sandbox::{Sandbox, answer, is_mentioned, kill, kill_id, process_id, said, wait_until};

/// With NATS' wheel, which it takes from the tests' own cache.
async fn with_wheels() -> Sandbox {
    let _filled = Nats::shared().await.expect("a server");
    Sandbox::with_wheels().await
}

pub(crate) const USER: &str = "nats user until end of input";

#[tokio::test]
async fn each_test_has_its_own_names_on_the_shared_server() {
    let server = Nats::shared().await.expect("a server");
    let (one, other) = (server.namespace().await.expect("one"), server.namespace().await.expect("other"));
    assert_ne!(one.prefix(), other.prefix());
    let mut client = Client::connect(one.url()).expect("a client");
    assert!(client.request("$JS.API.INFO", "").expect("JetStream").contains("account_info_response"));
    client.create_stream(one.prefix());
    let acknowledged =
        client.request(&format!("{}.created", one.prefix()), "{}").expect("an acknowledgement");
    assert_eq!((field(&acknowledged, "stream"), field(&acknowledged, "seq")), (one.prefix(), "1"));
    let version: Vec<_> = server.version().split('.').map(str::parse::<u32>).collect();
    assert!(version.len() == 3 && version.iter().all(Result::is_ok), "{}", server.version());
}

#[tokio::test]
async fn streams_and_buckets_go_with_their_owner_and_no_sooner() {
    let server = Nats::shared().await.expect("a server");
    let mut client = Client::connect(server.url()).expect("a client");
    let kept = server.namespace().await.expect("a namespace");
    client.create_stream(kept.prefix());
    let ended = server.namespace().await.expect("a namespace");
    let streams = [format!("{}_orders", ended.prefix()), format!("KV_{}_cache", ended.prefix())];
    streams.iter().for_each(|stream| client.create_stream(stream));
    drop(ended);
    // Each new namespace sweeps away some of the abandoned ones, those of other tests among them.
    let mut tries = 0;
    while streams.iter().any(|stream| client.has_stream(stream)) {
        tries += 1;
        assert!(tries < 200, "nobody swept {streams:?}");
        server.namespace().await.expect("a namespace");
    }
    assert!(client.has_stream(kept.prefix()));
}

#[tokio::test]
async fn a_killed_server_comes_back_with_every_acknowledged_message() {
    let mut server = Nats::exclusive().await.expect("a server");
    let mut client = Client::connect(server.url()).expect("a client");
    client.create_stream("ledger");
    let (tell, told) = mpsc::channel();
    let publisher = thread::spawn(move || {
        for number in 1_u64.. {
            match client.request(&format!("ledger.{number}"), "") {
                Ok(acknowledged) => tell.send(field(&acknowledged, "seq").parse::<u64>().expect("a number")),
                Err(_) => return,
            }
            .expect("a listener");
        }
    });
    let mut acknowledged: Vec<_> = told.iter().take(300).collect();
    server.kill().await.expect("a kill");
    publisher.join().expect("the publisher");
    acknowledged.extend(told);

    let url = server.url().to_owned();
    server.start().await.expect("a start");
    assert_eq!(server.url(), url);
    let mut client = Client::connect(server.url()).expect("a client");
    for number in acknowledged {
        assert_eq!(client.subject("ledger", number), format!("ledger.{number}"));
    }
}

#[tokio::test]
async fn a_paused_server_keeps_its_connections_and_answers_nothing() {
    let server = Nats::exclusive().await.expect("a server");
    let mut client = Client::connect(server.url()).expect("a client");
    server.pause().await.expect("a pause");
    client.patience(std::time::Duration::from_millis(200));
    assert!(client.request("$JS.API.INFO", "").is_err());
    server.resume().await.expect("an end of the pause");
    client.patience(std::time::Duration::from_secs(10));
    client.request("$JS.API.INFO", "").expect("the same connection");
}

#[tokio::test]
async fn a_stopped_server_starts_again_with_its_streams() {
    let mut server = Nats::exclusive().await.expect("a server");
    Client::connect(server.url()).expect("a client").create_stream("kept");
    server.stop().await.expect("a stop");
    assert!(Client::connect(server.url()).is_err());
    server.start().await.expect("a start");
    server.start().await.expect("nothing to do");
    assert!(Client::connect(server.url()).expect("a client").has_stream("kept"));
}

#[tokio::test]
async fn a_stream_cut_short_loses_its_end_alone() {
    let mut server = Nats::exclusive().await.expect("a server");
    let publish = |client: &mut Client, text: &str| {
        let acknowledged = client.request(&format!("ledger.{text}"), "").expect("an acknowledgement");
        field(&acknowledged, "seq").to_owned()
    };
    Client::connect(server.url()).expect("a client").create_stream("ledger");
    // After a kill it gives the number of what it lost once more, and after an orderly end it does not.
    for (is_killed, next) in [(true, "2"), (false, "5")] {
        let mut client = Client::connect(server.url()).expect("a client");
        publish(&mut client, "kept");
        publish(&mut client, "lost");
        let error = server.truncate("ledger", 1).await.expect_err("it runs");
        assert!(error.to_string().contains("it runs; kill or stop it first"), "{error}");
        match is_killed {
            true => server.kill().await.expect("a kill"),
            false => server.stop().await.expect("a stop"),
        }
        server.truncate("ledger", 1).await.expect("a cut");
        server.start().await.expect("a start");
        let mut client = Client::connect(server.url()).expect("a client");
        assert_eq!(publish(&mut client, "next"), next);
        let state =
            client.request("$JS.API.STREAM.INFO.ledger", "{\"subjects_filter\":\">\"}").expect("its state");
        assert!(state.contains("\"ledger.kept\"") && !state.contains("\"ledger.lost\""), "{state}");
    }
    server.stop().await.expect("a stop");
    assert!(matches!(server.truncate("none", 1).await, Err(Error::File { .. })));
}

#[tokio::test]
async fn nobody_kills_the_server_of_others() {
    let mut server = Nats::shared().await.expect("a server");
    assert!(matches!(server.kill().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.pause().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.stop().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.start().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.truncate("any", 1).await, Err(Error::NotYours { .. })));
}

#[tokio::test]
async fn nothing_gets_in_without_the_password() {
    let server = Nats::exclusive().await.expect("a server");
    let (login, address) = server.url().split_once('@').expect("a login");
    let wrong = format!("{}:wrong@{address}", login.rsplit_once(':').expect("a password").0);
    assert!(Client::connect(&wrong).is_err());
    assert!(!format!("{server:?}").contains(login.rsplit(':').next().expect("a password")));
}

#[tokio::test]
async fn settings_of_ones_own_are_the_servers() {
    let options = NatsOptions::bundled().setting("max_payload", "16KB");
    let server = Nats::exclusive_with(options).await.expect("a server");
    assert_eq!(server.version(), "2.15.1");
    assert_eq!(field(&greeting(server.url()).expect("a greeting"), "max_payload"), "16384");
}

#[tokio::test]
async fn what_the_server_says_against_a_setting_is_told() {
    let refused = [NatsOptions::new().setting("max_paylod", "16KB"), NatsOptions::new().tls("none", "none")];
    for (options, reason) in refused.into_iter().zip(["max_paylod", "PEM"]) {
        let error = Nats::exclusive_with(options).await.expect_err("a mistake").to_string();
        assert!(error.starts_with("cannot start the server in") && error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_named_server_keeps_its_streams_and_its_address() {
    let sandbox = with_wheels().await;
    let mut user = sandbox.child("nats named").spawn().expect("a child");
    let address = said(&mut user);
    let (url, _) = address.split_once(' ').expect("a URL and a prefix");
    Client::connect(url).expect("a client").create_stream("kept");
    let directory = sandbox.cache().join("nats/test");
    kill_id(process_id(&directory.join("nats.pid")));
    kill(user);

    let mut user = sandbox.child("nats named").spawn().expect("a child");
    assert_eq!(said(&mut user).split(' ').next(), Some(url));
    assert!(Client::connect(url).expect("a client").has_stream("kept"));
    kill(user);
    wait_until("the server has stopped", || !is_mentioned(&directory));
    // Its data was written by a later version: no older one may touch it.
    fs::write(directory.join("version"), "99.1").expect("our file");
    let refused = answer(sandbox.child("nats named"));
    assert!(refused.contains("the data was written by NATS 99.1"), "{refused}");
    wait_until("its keeper has gone", || !is_mentioned(&directory));
}

#[tokio::test]
async fn an_installed_server_that_is_too_old_is_passed_over() {
    let sandbox = with_wheels().await;
    let programs = sandbox.temporary().join("programs");
    fs::create_dir(&programs).expect("a directory");
    let old = programs.join("nats-server");
    fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.8.4'\n").expect("a script");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).expect("our file");
    let path = std::env::var("PATH").expect("a path");
    let mut child = sandbox.child("nats version");
    child.env("PATH", format!("{}:{path}", programs.display()));
    let version = answer(child);
    assert!(version.starts_with("2.") && version != "2.8.4", "{version}");
}

#[tokio::test]
async fn a_server_of_ones_own_is_used_instead() {
    let own = Nats::exclusive().await.expect("a server");
    let sandbox = Sandbox::empty();
    let mut user = sandbox.child(USER);
    let mut user = user.env("NATS_URL", own.url()).spawn().expect("a child");
    let answer = said(&mut user);
    let (url, prefix) = answer.split_once(' ').expect("a URL and a prefix");
    assert_eq!(url, own.url());
    let mut client = Client::connect(url).expect("a client");
    client.create_stream(prefix);
    assert!(sandbox.servers().is_empty());
    kill(user);
    // What the killed one leaves, the next user deletes: its connection's end is noticed in a moment.
    wait_until("its streams are deleted", || {
        let mut next = sandbox.child(USER);
        let mut next = next.env("NATS_URL", own.url()).spawn().expect("a child");
        said(&mut next);
        kill(next);
        !client.has_stream(prefix)
    });
}

#[test]
fn a_server_of_ones_own_that_is_not_there_is_an_error() {
    let sandbox = Sandbox::empty();
    let mut user = sandbox.child(USER);
    user.env("NATS_URL", "nats://user:secret@127.0.0.1:1");
    let answer = answer(user);
    assert!(answer.contains("cannot reach the NATS server") && !answer.contains("secret"), "{answer}");
}

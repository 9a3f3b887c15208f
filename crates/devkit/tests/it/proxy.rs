//! Every fault of the proxy: what its client sees, and what the proxy has counted.

use std::{
    future::Future,
    io::ErrorKind,
    time::{Duration, Instant},
};

use shared_devkit::{Error, Postgres, Proxy, TestDatabase};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener},
};
use tokio_postgres::{Client, NoTls};

use crate::database::{connect, count};

/// What a Postgres answers with one byte.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

struct Wire {
    database: TestDatabase,
    proxy: Proxy,
    client: Client,
}

/// A database behind a proxy, and a client in front of it.
async fn wire() -> Wire {
    let server = Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let proxy = Proxy::to(database.url()).await.expect("a proxy");
    let client = connect(&proxy.url(database.url())).await;
    Wire { database, proxy, client }
}

impl Wire {
    async fn connect(&self) -> Client {
        connect(&self.proxy.url(self.database.url())).await
    }

    /// A client that knows no Postgres.
    async fn socket(&self) -> TcpStream {
        let accepted = self.proxy.counters().accepted;
        let socket = TcpStream::connect(self.proxy.address()).await.expect("a proxy");
        self.proxy.until(|counters| counters.accepted > accepted).await.expect("a connection");
        socket
    }
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

async fn answers(client: &Client) {
    assert_eq!(count(client, "select 42::bigint").await, 42);
}

async fn is_broken(client: &Client) {
    let error = client.simple_query("select 1").await.expect_err("the connection is gone");
    assert!(error.code().is_none(), "not the server's word: {error}");
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn everything_passes_and_is_counted() {
    let Wire { proxy, client, .. } = wire().await;
    let before = proxy.counters();
    assert_eq!((before.accepted, before.open, before.refused), (1, 1, 0));
    let length = count(&client, "select length(repeat('x', 1000000))::bigint").await;
    assert_eq!(length, 1_000_000);
    let rows = client.query_one("select repeat('x', 1000000)", &[]).await.expect("a long row");
    assert_eq!(rows.get::<_, &str>(0).len(), 1_000_000);
    let after = proxy.counters();
    assert!(after.to_client.bytes - before.to_client.bytes > 1_000_000, "{after:?}");
    assert!(after.to_client.chunks - before.to_client.chunks > 60, "{after:?}");
    assert_eq!(after.to_client.read, after.to_client.bytes);
    assert!(after.to_server.bytes > before.to_server.bytes);

    drop(client);
    let closed = proxy.until(|counters| counters.open == 0).await.expect("an end");
    assert_eq!((closed.cut, closed.resets, closed.half_closes), (0, 0, 0), "{closed:?}");
}

#[tokio::test]
async fn cut_closes_every_open_connection() {
    let wire = wire().await;
    let (second, mut socket) = (wire.connect().await, wire.socket().await);
    wire.proxy.cut();
    assert_eq!(socket.read(&mut [0]).await.expect("a FIN"), 0);
    is_broken(&wire.client).await;
    is_broken(&second).await;
    let after = wire.proxy.until(|counters| counters.open == 0).await.expect("an end");
    assert_eq!((after.cut, after.resets), (3, 0));
    answers(&wire.connect().await).await;
}

#[tokio::test]
async fn reset_resets_every_open_connection() {
    let wire = wire().await;
    let mut socket = wire.socket().await;
    wire.proxy.reset();
    let reset = socket.read(&mut [0]).await.expect_err("a reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    is_broken(&wire.client).await;
    let after = wire.proxy.until(|counters| counters.open == 0).await.expect("an end");
    assert_eq!((after.cut, after.resets), (0, 2));
    answers(&wire.connect().await).await;
}

#[tokio::test]
async fn what_the_sides_do_themselves_goes_through() {
    let wire = wire().await;
    let socket = wire.socket().await;
    socket.set_zero_linger().expect("our socket");
    drop(socket);
    wire.proxy
        .until(|counters| counters.resets == 1 && counters.open == 1)
        .await
        .expect("the client's reset");

    let mut socket = wire.socket().await;
    socket.shutdown().await.expect("our socket");
    assert_eq!(socket.read(&mut [0]).await.expect("the server's FIN, in answer to ours"), 0);
    let after = wire.proxy.until(|counters| counters.open == 1).await.expect("an end");
    assert_eq!((after.resets, after.cut, after.half_closes), (1, 0, 0));
}

#[tokio::test]
async fn refuse_resets_new_connections_and_spares_old_ones() {
    let wire = wire().await;
    wire.proxy.refuse();
    let refused = tokio_postgres::connect(&wire.proxy.url(wire.database.url()), NoTls).await;
    assert!(refused.is_err());
    answers(&wire.client).await;
    let after = wire.proxy.counters();
    assert_eq!((after.refused, after.accepted, after.open), (1, 1, 1));

    wire.proxy.heal();
    answers(&wire.connect().await).await;
}

#[tokio::test]
async fn a_black_hole_accepts_and_never_answers() {
    let wire = wire().await;
    let before = wire.proxy.counters();
    wire.proxy.black_hole();
    let seen = async {
        let both = |now: &shared_devkit::Counters| {
            now.accepted == 2 && now.round_trips == before.round_trips + 2 && now.open == 2
        };
        let held = wire.proxy.until(both).await.expect("two requests");
        assert!(held.to_server.read > before.to_server.read);
        assert_eq!(held.to_server.bytes, before.to_server.bytes);
        assert_eq!(held.to_client, before.to_client);
    };
    let (old, new) = (answers(&wire.client), async { answers(&wire.connect().await).await });
    let (old, new) = (std::pin::pin!(old), std::pin::pin!(new));
    let mut both = std::pin::pin!(async { tokio::join!(old, new) });
    tokio::select! {
        _ = &mut both => panic!("a black hole has answered"),
        () = seen => {}
    }
    wire.proxy.heal();
    both.await;
}

#[tokio::test]
async fn delay_has_a_direction() {
    let Wire { proxy, client, .. } = wire().await;
    let query = async || client.simple_query("select 1").await.map(drop).expect("an answer");
    for direction in [proxy.to_server(), proxy.to_client()] {
        direction.delay(ms(300));
        let delayed = timed(query()).await;
        assert!(delayed >= ms(300), "{delayed:?}");
        proxy.heal();
    }
    proxy.to_server().delay(ms(300));
    proxy.to_client().delay(ms(300));
    let delayed = timed(query()).await;
    assert!(delayed >= ms(600), "{delayed:?}");
    proxy.to_server().delay(Duration::MAX);
    let before = proxy.counters().to_server;
    let mut held = std::pin::pin!(query());
    tokio::select! {
        () = &mut held => panic!("it passed before the end of time"),
        held = proxy.until(|now| now.to_server.read > before.read) => {
            assert_eq!(held.expect("a request").to_server.bytes, before.bytes);
        }
    }
    proxy.heal();
    held.await;
}

#[tokio::test]
async fn delay_keeps_the_order_and_the_throughput() {
    let Wire { proxy, client, .. } = wire().await;
    let before = proxy.counters().to_client.chunks;
    proxy.to_client().delay(ms(200));
    let start = Instant::now();
    let rows = client.simple_query("select n, repeat('x', 1000) from generate_series(1, 1000) n").await;
    let took = start.elapsed();
    let rows = rows.expect("rows").into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse::<usize>().ok(),
        _ => None,
    });
    assert!(rows.eq(1..=1000));
    let chunks = proxy.counters().to_client.chunks - before;
    assert!(chunks > 50, "{chunks}");
    // One after the other they would take more than 10 s.
    assert!(took >= ms(200) && took < ms(5000), "{took:?}");
}

#[tokio::test]
async fn throttle_has_a_direction() {
    let Wire { proxy, client, .. } = wire().await;
    let answer = async || {
        client.query_one("select repeat('x', 50000)", &[]).await.map(drop).expect("an answer");
    };
    let question = async || {
        client.query_one("select length($1)", &[&"x".repeat(50_000)]).await.map(drop).expect("an answer");
    };
    proxy.to_client().throttle(100_000);
    let (slow, fast) = (timed(answer()).await, timed(question()).await);
    assert!(slow >= ms(450) && fast < slow, "{slow:?} {fast:?}");
    proxy.heal();
    proxy.to_server().throttle(100_000);
    let (fast, slow) = (timed(answer()).await, timed(question()).await);
    assert!(slow >= ms(450) && fast < slow, "{slow:?} {fast:?}");
}

#[tokio::test]
async fn half_close_ends_one_direction() {
    let wire = wire().await;
    let mut socket = wire.socket().await;
    let before = wire.proxy.counters();
    wire.proxy.to_client().half_close();
    assert_eq!(socket.read(&mut [0]).await.expect("a FIN"), 0);
    wire.proxy.until(|now| now.half_closes == 2 && now.cut == 0).await.expect("that of both connections");
    // The other direction goes on: the server gets the question, and its answer is dropped.
    socket.write_all(&SSL_REQUEST).await.expect("an open direction");
    let after = wire.proxy.until(|now| now.to_client.read > before.to_client.read).await.expect("an answer");
    assert_eq!(after.to_server.bytes, before.to_server.bytes + 8);
    assert_eq!(after.to_client.bytes, before.to_client.bytes);
    is_broken(&wire.client).await;

    // A server that hears the end of its client ends, too.
    let mut socket = wire.socket().await;
    wire.proxy.to_server().half_close();
    assert_eq!(socket.read(&mut [0]).await.expect("the server's FIN"), 0);
}

#[tokio::test]
async fn stall_after_stops_in_the_middle_of_a_message() {
    let Wire { proxy, client, .. } = wire().await;
    let before = proxy.counters().to_client.bytes;
    proxy.to_client().stall_after(7);
    let mut held = std::pin::pin!(client.simple_query("select 1"));
    tokio::select! {
        _ = &mut held => panic!("seven bytes are no answer"),
        stalled = proxy.until(|now| now.to_client.read > before + 7 && now.to_client.bytes >= before + 7) => {
            let stalled = stalled.expect("an answer");
            assert_eq!((stalled.to_client.bytes, stalled.open), (before + 7, 1));
        }
    }
    proxy.heal();
    held.await.expect("the rest of the answer");
}

#[tokio::test]
async fn cut_after_ends_in_the_middle_of_a_message() {
    let wire = wire().await;
    let before = wire.proxy.counters().to_client.bytes;
    wire.proxy.to_client().cut_after(7);
    is_broken(&wire.client).await;
    let after = wire.proxy.counters();
    assert_eq!((after.to_client.bytes, after.cut), (before + 7, 1));

    // Without its first byte: the work is done, and nobody is told.
    wire.proxy.heal();
    let client = wire.connect().await;
    wire.proxy.to_client().cut_after(0);
    client.batch_execute("create table written ()").await.expect_err("no answer");
    wire.proxy.heal();
    let written = "select count(*) from pg_tables where tablename = 'written'";
    assert_eq!(count(&wire.connect().await, written).await, 1);
}

#[tokio::test]
async fn a_request_can_be_cut_before_the_server_has_it() {
    let wire = wire().await;
    wire.proxy.to_server().cut_after(20);
    wire.client.batch_execute("create table never_written ()").await.expect_err("no answer");
    wire.proxy.heal();
    let written = "select count(*) from pg_tables where tablename = 'never_written'";
    assert_eq!(count(&wire.connect().await, written).await, 0);
}

#[tokio::test]
async fn round_trips_are_counted() {
    let Wire { proxy, client, .. } = wire().await;
    proxy.to_client().delay(ms(50));
    let one = async {
        client.simple_query("select 1").await.expect("an answer");
    };
    assert_eq!(proxy.round_trips(one).await, 1);
    let pipelined = async {
        let query = || client.simple_query("select 1");
        tokio::try_join!(query(), query(), query()).expect("three answers");
    };
    assert_eq!(proxy.round_trips(pipelined).await, 1);
    let in_turn = async {
        for _ in 0..3 {
            client.simple_query("select 1").await.expect("an answer");
        }
    };
    assert_eq!(proxy.round_trips(in_turn).await, 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_refuses_until_it_is() {
    let mut server = Postgres::exclusive().await.expect("a server");
    let proxy = Proxy::to(server.url()).await.expect("a proxy");
    let url = proxy.url(server.url());
    let client = connect(&url).await;
    server.kill().await.expect("a kill");
    is_broken(&client).await;
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    assert_eq!(proxy.counters().refused, 1);
    server.start().await.expect("a start");
    assert_eq!(proxy.url(server.url()), url);
    answers(&connect(&url).await).await;
}

#[tokio::test]
async fn dropping_the_proxy_ends_everything() {
    let Wire { proxy, client, database } = wire().await;
    let address = proxy.address();
    drop(proxy);
    is_broken(&client).await;
    let gone = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
    answers(&connect(database.url()).await).await;
}

#[tokio::test]
async fn a_server_may_listen_on_a_unix_socket() {
    let directory = std::env::temp_dir().join(format!("proxy {}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&directory).expect("a directory");
    let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).expect("a socket");
    let url = format!("host='{}' dbname=any", directory.display());
    let proxy = Proxy::to(&url).await.expect("a proxy");
    let mut client = TcpStream::connect(proxy.address()).await.expect("a connection");
    let (mut server, _) = listener.accept().await.expect("the proxy");

    client.write_all(b"there").await.expect("a way there");
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).await.expect("what was sent");
    server.write_all(&bytes).await.expect("a way back");
    drop(server);
    let mut echo = String::new();
    client.read_to_string(&mut echo).await.expect("what came back");
    assert_eq!(echo, "there");
    std::fs::remove_dir_all(&directory).expect("our directory");
}

#[tokio::test]
async fn what_does_not_come_is_an_error_that_says_what_was_counted() {
    let wire = wire().await;
    tokio::time::pause();
    let error = wire.proxy.until(|counters| counters.cut > 0).await.expect_err("nothing was cut");
    assert!(matches!(&error, Error::Unseen { counters, .. } if counters.open == 1), "{error}");
    assert!(matches!(Proxy::to("nowhere").await, Err(Error::Address { .. })));
}

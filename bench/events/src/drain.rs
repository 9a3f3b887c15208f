//! How fast a backlog comes to Redis: by ours, by the relays that one writes oneself, and by pipelined XADDs from memory, with no
//! database at all.

use std::time::Instant;

use bench_report::{Goal, Line};
use std::time::Duration;
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::by_hand::{Naive, TUNED_RELAYS, Tuned};
use crate::figures::{self, rate};
use crate::ours::Ours;
use crate::outbox::{Outbox, PAYLOAD};
use crate::servers::{Servers, session};
use crate::streams::Streams;

/// Events in a round. The naive one gets fewer, since it takes so long.
const EVENTS: u64 = 40_000;
const FEW: u64 = 2_000;
/// Entries that are sent together, to lanes in turn.
const PAGE: u64 = 500;
const LANES: u64 = 16;

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let places =
        [servers.place(1).await, servers.place(2).await, servers.place(3).await, servers.place(4).await];
    let ours = Ours::open(&places[0]).await;
    let (naive, tuned) = (Naive::open(&places[1]).await, Tuned::open(&places[2]).await);
    let bare = Streams::open(&places[3].redis).await;
    println!("\na backlog of events with {PAYLOAD} bytes to Redis Streams, events a second");
    println!(
        "  the naive relay: one sent, one updated; {}: batches of 500, {TUNED_RELAYS} at it",
        Tuned::NAME
    );
    let (many, few) = (arguments.many(EVENTS), arguments.many(FEW));
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..=arguments.rounds {
        rates[0].push(drain(&ours, many).await);
        let entry = ours.streams.sample().await;
        rates[1].push(drain(&naive, few).await);
        rates[2].push(drain(&tuned, many).await);
        rates[3].push(send(&bare, &entry, many).await);
    }
    let [ours, naive, tuned, bare] = rates.map(|rates| rates[1..].to_vec());
    bench_report::comparisons_head();
    let lines = vec![
        figures::line("drain / naive relay", &ours, &naive, rate, Some(Goal::AtLeast(30.0))),
        figures::line("drain / tuned SKIP LOCKED relay", &ours, &tuned, rate, Some(Goal::AtLeast(2.0))),
        figures::line("drain / bare pipelined XADD", &ours, &bare, rate, Some(Goal::AtLeast(0.5))),
    ];
    figures::print(lines, all);
}

/// Events a second, from the start of the relay until all are there.
async fn drain<O: Outbox>(outbox: &O, events: u64) -> f64 {
    outbox.clear().await;
    outbox.fill(events).await;
    // The planner knows of the backlog, for everybody alike.
    session(outbox.database()).await.batch_execute("vacuum analyze").await.unwrap();
    let begin = Instant::now();
    let running = outbox.start().await;
    outbox.streams().until(events).await;
    let took = begin.elapsed();
    // One that were sent twice would be counted as another.
    sleep(Duration::from_millis(50)).await;
    assert_eq!(outbox.streams().count().await, events, "{} has sent some twice", O::NAME);
    outbox.stop(running).await;
    events as f64 / took.as_secs_f64()
}

/// The same entries, in the same number of streams, as fast as one connection takes them.
async fn send(streams: &Streams, entry: &[(Vec<u8>, Vec<u8>)], events: u64) -> f64 {
    streams.clear().await;
    let mut connection =
        redis::Client::open(&*streams.url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let begin = Instant::now();
    for first in (0..events).step_by(PAGE as usize) {
        let mut pipeline = redis::pipe();
        for n in first..events.min(first + PAGE) {
            let command = pipeline.cmd("XADD").arg(format!("lane:{}", n % LANES)).arg("*").ignore();
            for (name, value) in entry {
                command.arg(name).arg(value);
            }
        }
        let () = pipeline.query_async(&mut connection).await.unwrap();
    }
    let took = begin.elapsed();
    assert_eq!(streams.count().await, events);
    events as f64 / took.as_secs_f64()
}

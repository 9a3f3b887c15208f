//! One of two relays is killed with -9: until the other goes on with its lanes, and what comes twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_report::Line;
use tokio::time::{interval, sleep};

use crate::arguments::Arguments;
use crate::child::Process;
use crate::figures::{self, in_millis, millis};
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::{Servers, session};
use crate::streams::Seen;

const LEASE: Duration = Duration::from_secs(2);
/// So many events a second: each lane has some in every tenth of a second.
const BEAT: Duration = Duration::from_millis(4);
const SPREAD: &str =
    "select count(distinct owner)::bigint from shared_events.cursor where expires > clock_timestamp()";

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Arc::new(Ours::open(&servers.place(1).await).await);
    ours.clear().await;
    println!(
        "\none of two relays is killed with -9, lease {LEASE:?}: until events of all its lanes come again"
    );
    bench_report::comparisons_head();
    let mut relays = [Process::start(&ours, LEASE).await, Process::start(&ours, LEASE).await];
    ours.fill(400).await;
    ours.streams.until(400).await;
    let watch = ours.streams.watch().await;
    let publishing = publish(ours.clone());
    let mut gaps = Vec::new();
    for round in 0..arguments.rounds {
        until_shared(&ours).await;
        let killed = Instant::now();
        relays[round % 2].kill().await;
        sleep(LEASE * 3).await;
        gaps.push(in_millis(longest_gap(&watch.seen(), killed)));
        relays[round % 2] = Process::start(&ours, LEASE).await;
    }
    publishing.abort();
    sleep(LEASE).await;
    let seen = watch.seen();
    let twice = seen.values().filter(|times| times.len() > 1).count();
    let two_leases = in_millis(LEASE * 2);
    figures::print(
        vec![figures::against("take-over of all lanes / 2 leases", &gaps, two_leases, millis)],
        all,
    );
    println!("  {} events, {twice} of them twice at the sink, {} kills", seen.len(), arguments.rounds);
}

/// Publishes until it is called off.
fn publish(ours: Arc<Ours>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut beat = interval(BEAT);
        for n in 1_000.. {
            beat.tick().await;
            ours.publish(n).await;
        }
    })
}

/// Both have lanes.
async fn until_shared(ours: &Ours) {
    let server = session(&ours.url).await;
    while server.query_one(SPREAD, &[]).await.unwrap().get::<_, i64>(0) < 2 {
        sleep(Duration::from_millis(20)).await;
    }
}

/// The longest time in which a lane had no event, from the kill on.
fn longest_gap(seen: &Seen, killed: Instant) -> Duration {
    let mut times: HashMap<&str, Vec<Instant>> = HashMap::new();
    for (lane, at) in seen.values().flatten() {
        times.entry(lane).or_default().push(*at);
    }
    let gap = |mut times: Vec<Instant>| {
        times.retain(|at| *at > killed);
        times.push(killed);
        times.sort_unstable();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
    };
    let lanes: HashSet<&str> = times.keys().copied().collect();
    assert_eq!(lanes.len(), 16, "some lanes had no event at all");
    times.into_values().map(gap).max().unwrap_or(Duration::MAX)
}

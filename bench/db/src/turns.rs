//! Two ways of one operation that takes microseconds.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use bench_report::timed_line;
use shared_devkit::load::time;

use crate::cores::{Server, client_on_core};

/// Operations of one side before it is the other's turn: milliseconds, in which the machine stays as it is.
const SLICE: u32 = 20;

/// How often it is each side's turn to have its CPU measured; the server's processes are counted one by one, which takes a while.
const CPU_TURNS: u32 = 5;

/// Prints a line of so many operations in each round, and what they cost client and server.
pub(crate) async fn line(
    server: &Server,
    name: &str,
    goal: &str,
    operations: u32,
    ours: impl AsyncFn(),
    peer: impl AsyncFn(),
) {
    let turns = Turns { ours, peer, operations, left: (Cell::default(), Cell::default()) };
    timed_line(name, goal, operations, async || turns.ours().await, async || turns.peer().await).await;
    let (mut ours, mut peer) = (Spent::default(), Spent::default());
    for _ in 0..CPU_TURNS {
        ours.add(server, &turns.ours, operations).await;
        peer.add(server, &turns.peer, operations).await;
    }
    let ratio = ours.both().as_secs_f64() / peer.both().as_secs_f64();
    println!("  CPU of client + server: {ours} / {peer}, ratio {ratio:.3}");
}

/// A round does both, a slice of one and a slice of the other; what came out for the one that was not asked is left for it.
struct Turns<A, B> {
    ours: A,
    peer: B,
    operations: u32,
    left: (Cell<Option<Duration>>, Cell<Option<Duration>>),
}

impl<A: AsyncFn(), B: AsyncFn()> Turns<A, B> {
    async fn ours(&self) -> Duration {
        if let Some(left) = self.left.0.take() {
            return left;
        }
        let (ours, peer) = self.round().await;
        self.left.1.set(Some(peer));
        ours
    }

    async fn peer(&self) -> Duration {
        if let Some(left) = self.left.1.take() {
            return left;
        }
        let (ours, peer) = self.round().await;
        self.left.0.set(Some(ours));
        peer
    }

    /// Who begins alternates, as the second finds the caches as the first left them.
    async fn round(&self) -> (Duration, Duration) {
        let (mut ours, mut peer) = (Duration::ZERO, Duration::ZERO);
        for turn in 0..self.operations / SLICE {
            if turn % 2 == 0 {
                ours += time(async || repeat(SLICE, &self.ours).await).await;
            }
            peer += time(async || repeat(SLICE, &self.peer).await).await;
            if turn % 2 == 1 {
                ours += time(async || repeat(SLICE, &self.ours).await).await;
            }
        }
        (ours, peer)
    }
}

/// For how long operations have kept client and server on a core.
#[derive(Default)]
struct Spent {
    client: Duration,
    server: Duration,
    operations: u32,
}

impl Spent {
    async fn add(&mut self, server: &Server, operation: &impl AsyncFn(), operations: u32) {
        let before = (client_on_core(), server.on_core());
        repeat(operations, operation).await;
        self.client += client_on_core() - before.0;
        self.server += server.on_core() - before.1;
        self.operations += operations;
    }

    fn both(&self) -> Duration {
        (self.client + self.server) / self.operations
    }
}

/// Of one operation.
impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2?} + {:.2?}", self.client / self.operations, self.server / self.operations)
    }
}

pub(crate) async fn repeat(times: u32, operation: &impl AsyncFn()) {
    for _ in 0..times {
        operation().await;
    }
}

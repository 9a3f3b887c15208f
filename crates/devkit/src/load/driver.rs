//! Making the requests, within the one task that awaits them.

use std::fmt::Display;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::arrivals::Arrivals;
use super::plan::{Load, Shape};
use super::report::Report;

/// What a scenario is told about the request that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// How many came before it, those of the warm-up included.
    pub number: u64,
    /// A number that depends on the load's seed and on `number` alone: to pick a key or a tenant with.
    pub random: u64,
}

/// A request that is to be made.
struct Due {
    number: u64,
    at: Instant,
    counts: bool,
}

/// How a request ended.
pub(super) struct Ended {
    /// Whether it was due after the warm-up.
    pub(super) counts: bool,
    pub(super) at: Instant,
    pub(super) latency: Duration,
    pub(super) outcome: Result<(), String>,
}

pub(super) async fn run<T, E: Display>(
    load: &Load,
    scenario: impl AsyncFn(Request) -> Result<T, E>,
) -> Report {
    let report = Report::new(load, Instant::now() + load.warm_up);
    let mut running = Running { requests: FuturesUnordered::new(), report };
    let make = |due| make(load, &scenario, due);
    match load.shape {
        Shape::Closed { workers } => closed(load, workers, &mut running, make).await,
        Shape::Open(arrivals) => open(load, arrivals, &mut running, make).await,
    }
    while running.one_ends().await {}
    running.report
}

/// A request is due whenever a worker is free.
async fn closed<F: Future<Output = Ended>>(
    load: &Load,
    workers: usize,
    running: &mut Running<F>,
    make: impl Fn(Due) -> F,
) {
    let begin = running.report.begin();
    let mut left = load.requests.unwrap_or(u64::MAX);
    for number in 0.. {
        running.place_among(workers).await;
        // A scenario that never waits must not keep the runtime for itself.
        consume_budget().await;
        let at = Instant::now();
        if left == 0 || at >= begin + load.length() {
            break;
        }
        let counts = at >= begin;
        left -= u64::from(counts);
        running.requests.push(make(Due { number, at, counts }));
    }
}

/// A request is due when it arrives, whether or not there is a place for it.
async fn open<F: Future<Output = Ended>>(
    load: &Load,
    arrivals: Arrivals,
    running: &mut Running<F>,
    make: impl Fn(Due) -> F,
) {
    let start = running.report.begin() - load.warm_up;
    let mut left = load.requests.unwrap_or(u64::MAX);
    for (number, since_start) in (0..).zip(arrivals.times(load.seed)) {
        if left == 0 || since_start >= load.warm_up + load.length() {
            break;
        }
        let (at, counts) = (start + since_start, since_start >= load.warm_up);
        left -= u64::from(counts);
        running.until(at).await;
        if running.requests.len() >= arrivals.in_flight {
            running.report.add_late(counts);
            running.place_among(arrivals.in_flight).await;
        }
        running.requests.push(make(Due { number, at, counts }));
    }
}

/// Makes one request. What it waits for a place is a part of its latency and of its time.
async fn make<T, E: Display>(
    load: &Load,
    scenario: &impl AsyncFn(Request) -> Result<T, E>,
    due: Due,
) -> Ended {
    let Due { number, at: due, counts } = due;
    let deadline = due + load.time_limit;
    let in_time = if Instant::now() < deadline {
        let request = Request { number, random: random(load.seed, number) };
        timeout_at(deadline, scenario(request)).await.ok()
    } else {
        None
    };
    let outcome = match in_time {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("not ended within {:?}", load.time_limit)),
    };
    let at = Instant::now();
    Ended { counts, at, latency: at - due, outcome }
}

/// The requests in flight, and the report on those that have ended.
struct Running<F> {
    requests: FuturesUnordered<F>,
    report: Report,
}

impl<F: Future<Output = Ended>> Running<F> {
    /// Waits until one ends; false where there is none.
    async fn one_ends(&mut self) -> bool {
        let ended = self.requests.next().await;
        ended.map(|ended| self.report.add(ended)).is_some()
    }

    /// Waits until there is a place for one more.
    async fn place_among(&mut self, most: usize) {
        while self.requests.len() >= most {
            self.one_ends().await;
        }
    }

    /// Goes on with what is in flight until a time has come.
    async fn until(&mut self, time: Instant) {
        let mut timer = std::pin::pin!(sleep_until(time));
        loop {
            tokio::select! {
                // An arrival does not wait for the server, nor for what the server has answered.
                biased;
                () = &mut timer => return,
                true = self.one_ends() => {}
            }
        }
    }
}

/// The numbers of SplitMix64: the same for a seed in every version of every crate, in any order.
pub(super) fn random(seed: u64, number: u64) -> u64 {
    let step = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut z = seed.wrapping_add(step);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::random;

    #[test]
    fn random_numbers_are_those_of_the_published_generator() {
        let first = [0, 1, 2].map(|number| random(1_234_567, number));
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}

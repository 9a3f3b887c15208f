//! A queue's process: does what it is told, line by line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::payload::Payload;
use crate::protocol::{Answer, CALLERS, CHUNK, Command, How, LATE};
use crate::seen;

/// The first argument of such a process.
pub(crate) const WORD: &str = "drive";

/// How a queue is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    /// As its documentation begins.
    Defaults,
    /// As fast as we could make it.
    Best,
    /// Best, with the jobs of a hundred tenants, who take turns. Ours alone, as are the next two.
    Fair,
    /// Best, with a thousand keys that are limited.
    Limited,
    /// Both.
    FairAndLimited,
}

impl Settings {
    const WORDS: [(Self, &'static str); 5] = [
        (Self::Defaults, "defaults"),
        (Self::Best, "best"),
        (Self::Fair, "fair"),
        (Self::Limited, "limited"),
        (Self::FairAndLimited, "fair-and-limited"),
    ];

    pub(crate) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(one, _)| *one == self).map_or("", |(_, word)| word)
    }
}

impl std::str::FromStr for Settings {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::WORDS.iter().find(|(_, one)| *one == word);
        known.map(|(settings, _)| *settings).ok_or_else(|| format!("no such settings: {word}"))
    }
}

/// What is measured: some queues have to be set up differently for the one and the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Throughput,
    Latency,
}

impl Aim {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "latency",
        }
    }
}

impl std::str::FromStr for Aim {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = [Self::Throughput, Self::Latency].into_iter().find(|aim| aim.word() == word);
        known.ok_or_else(|| format!("no such aim: {word}"))
    }
}

/// A queue that takes part.
pub(crate) trait Queue: Send + Sync + 'static {
    type Worker;

    /// Connects, and makes the tables.
    async fn open(url: &str, settings: Settings, aim: Aim) -> Self;
    fn enqueue(&self, job: Payload) -> impl Future<Output = ()> + Send;
    /// With one call.
    fn enqueue_many(&self, jobs: Vec<Payload>) -> impl Future<Output = ()> + Send;
    /// How many jobs are not completed, as the server has it.
    async fn left(&self) -> u64;
    /// Throws all jobs away.
    async fn clear(&self);
    /// What a worker can't do itself about a backlog.
    async fn help(&self) {}
    /// Makes a worker that does not yet run.
    async fn worker(&self, at_once: usize) -> Self::Worker;
    async fn start(&self, worker: &mut Self::Worker);
    async fn stop(&self, worker: Self::Worker);
}

/// Serves one queue until nobody asks any more.
pub(crate) async fn serve<Q: Queue>(url: &str, settings: Settings, aim: Aim) {
    let queue = Arc::new(Q::open(url, settings, aim).await);
    say(&Answer::default());
    let mut resting = None;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let command = serde_json::from_str(&line).unwrap();
        say(&obey(&queue, &mut resting, command).await);
    }
}

fn say(answer: &Answer) {
    println!("{}", serde_json::to_string(answer).unwrap());
}

async fn obey<Q: Queue>(queue: &Arc<Q>, resting: &mut Option<Q::Worker>, command: Command) -> Answer {
    match command {
        Command::Clear => {
            queue.clear().await;
            Answer::default()
        }
        Command::Left => Answer { jobs: queue.left().await, ..Answer::default() },
        Command::Enqueue { how, jobs, bytes } => {
            let took = enqueue(queue, how, jobs, bytes).await;
            Answer { seconds: took.as_secs_f64(), jobs, ..Answer::default() }
        }
        Command::Drain { at_once, jobs, work } => {
            let work = Duration::from_micros(work);
            Answer {
                seconds: drain(&**queue, at_once, jobs, work).await.as_secs_f64(),
                jobs,
                ..Answer::default()
            }
        }
        Command::Latency { jobs } => latency(&**queue, jobs).await,
        Command::Rest => {
            let mut worker = queue.worker(SLOTS).await;
            queue.start(&mut worker).await;
            *resting = Some(worker);
            Answer::default()
        }
        Command::Leave => {
            if let Some(worker) = resting.take() {
                queue.stop(worker).await;
            }
            Answer::default()
        }
        Command::Steady { rate, seconds } => steady(queue, rate, seconds).await,
    }
}

async fn enqueue<Q: Queue>(queue: &Arc<Q>, how: How, jobs: u64, bytes: usize) -> Duration {
    let start = Instant::now();
    match how {
        How::Single => {
            for at in 0..jobs {
                queue.enqueue(Payload::new(at, bytes)).await;
            }
        }
        How::Concurrent => {
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS as u64 {
                let queue = queue.clone();
                callers.spawn(async move {
                    for at in (caller..jobs).step_by(CALLERS) {
                        queue.enqueue(Payload::new(at, bytes)).await;
                    }
                });
            }
            callers.join_all().await;
        }
        How::Bulk => {
            for first in (0..jobs).step_by(CHUNK as usize) {
                let chunk = first..(first + CHUNK).min(jobs);
                queue.enqueue_many(chunk.map(|at| Payload::new(at, bytes)).collect()).await;
            }
        }
    }
    start.elapsed()
}

/// From the start of the worker until the server, when it was asked, had every job as completed. It is asked once the handlers have seen
/// all, so that the asking costs nothing before; and how long it counts is no part of the time, since it says what was so when it began.
async fn drain<Q: Queue>(queue: &Q, at_once: usize, jobs: u64, work: Duration) -> Duration {
    queue.help().await;
    seen::reset(false, work);
    let mut worker = queue.worker(at_once).await;
    let start = Instant::now();
    queue.start(&mut worker).await;
    while seen::count() < jobs {
        sleep(Duration::from_millis(1)).await;
    }
    let took = loop {
        let took = start.elapsed();
        if queue.left().await == 0 {
            break took;
        }
        sleep(Duration::from_millis(1)).await;
    };
    queue.stop(worker).await;
    took
}

/// So many slots have the workers of which latency is asked.
const SLOTS: usize = 10;
/// Longer than any queue's poll: one that needs more has lost the job.
const PATIENCE: Duration = Duration::from_secs(40);

/// Each job is enqueued a while after the one before it was begun with: the worker has nothing to do and waits.
async fn latency<Q: Queue>(queue: &Q, jobs: u64) -> Answer {
    seen::reset(true, Duration::ZERO);
    let mut worker = queue.worker(SLOTS).await;
    queue.start(&mut worker).await;
    let mut micros = Vec::new();
    for at in 0..jobs + WARM_UP {
        // Not in step with anything that polls. The driver in JavaScript has the same numbers.
        sleep(Duration::from_millis(5 + at * 7 % 11)).await;
        let start = Instant::now();
        queue.enqueue(Payload::new(at, 100)).await;
        let Ok(begun) = timeout(PATIENCE, seen::arrival(at)).await else {
            let error = format!("a job was not begun with for {PATIENCE:?}");
            return Answer { error: Some(error), ..Answer::default() };
        };
        micros.push(micros_between(start, begun));
    }
    // The last one is completed after it was begun with; that some queue is late with that is no matter of latency.
    let end = Instant::now() + Duration::from_secs(2);
    while queue.left().await > 0 && Instant::now() < end {
        sleep(Duration::from_millis(1)).await;
    }
    queue.stop(worker).await;
    Answer { jobs, micros: micros.split_off(WARM_UP as usize), ..Answer::default() }
}

const WARM_UP: u64 = 5;

/// Enqueues on time, whether or not the calls before have returned.
async fn steady<Q: Queue>(queue: &Arc<Q>, rate: u64, seconds: u64) -> Answer {
    seen::reset(true, Duration::ZERO);
    let mut worker = queue.worker(SLOTS).await;
    queue.start(&mut worker).await;
    let mut beat = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
    let mut calls = JoinSet::new();
    let mut sent = Vec::new();
    for at in 0..rate * seconds {
        beat.tick().await;
        let queue = queue.clone();
        sent.push(Instant::now());
        calls.spawn(async move { queue.enqueue(Payload::new(at, 100)).await });
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
    // What is not done within another tenth of the time was not done in time.
    let end = Instant::now() + Duration::from_secs(seconds).div_f64(10.0);
    while seen::count() < rate * seconds && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
    }
    let times = seen::times();
    queue.stop(worker).await;
    let mut micros: Vec<Option<u64>> = vec![None; sent.len()];
    for (at, begun) in times {
        micros[at as usize].get_or_insert(micros_between(sent[at as usize], begun));
    }
    let late = micros.iter().filter(|one| one.is_none()).count();
    let micros = micros.into_iter().map(|one| one.unwrap_or(LATE)).collect();
    Answer { jobs: rate * seconds - late as u64, micros, ..Answer::default() }
}

fn micros_between(start: Instant, end: Instant) -> u64 {
    end.saturating_duration_since(start).as_micros() as u64
}

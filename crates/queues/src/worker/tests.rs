//! What needs a clock that can be moved and a backend that can be taken away: outages, again and again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use tokio::time::Instant;
use validator::Validate;

use super::Worker;
use crate::fixture::tenant;
use crate::memory::Memory;
use crate::{
    Cancellation, Config, DeadFilter, Job, JobContext, JobFilter, JobView, Jobs, NewJob, Options, Priority,
    Queues, Reason, State,
};

#[derive(Debug, Serialize, Deserialize, Validate)]
struct Long {}

impl Job for Long {
    const NAME: &'static str = "test:long";
    const OPTIONS: Options = Options::DEFAULT.timeout(Duration::from_secs(1_000_000));
}

/// It runs until somebody ends it.
async fn for_ever(_: Long, _: JobContext) -> Result<(), Failure> {
    std::future::pending().await
}

async fn worker(queues: &Queues) -> Worker {
    let config = Config { concurrency: 4, ..Config::default() };
    Worker::start(queues, (), Jobs::new().handle(for_ever), config).await.unwrap()
}

async fn jobs(queues: &Queues) -> Vec<JobView> {
    queues.search(&JobFilter::new(), 100).await.unwrap()
}

async fn until_all_run(queues: &Queues) {
    while !jobs(queues).await.iter().all(|job| job.state == State::Running) {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
}

/// The jobs of all workers outlast any number of outages, however long, since nobody has died; also where a new worker starts as soon
/// as the server is back. Three outages that counted as crashes would make them dead letters.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_server_is_no_crash() {
    let memory = Memory::new();
    let away = memory.switch();
    let queues = Queues::on(memory, None);
    queues.tenant(&tenant()).enqueue_all((0..12).map(|_| Long {})).await.unwrap();
    let _workers = [worker(&queues).await, worker(&queues).await, worker(&queues).await];
    until_all_run(&queues).await;
    for round in 0..100 {
        away.store(true, Ordering::Relaxed);
        let outage = Duration::from_millis(10_000 + 311 * round);
        tokio::time::sleep(outage).await; // time itself is tested: a clock that is moved
        away.store(false, Ordering::Relaxed);
        let late = worker(&queues).await;
        tokio::time::sleep(Duration::from_secs(30)).await; // time itself is tested: nobody is missed meanwhile
        let crashes: Vec<u32> = jobs(&queues).await.iter().map(|job| job.crashes).collect();
        assert_eq!(crashes, [0; 12], "after outage {round}");
        late.stop(Duration::ZERO).await;
        until_all_run(&queues).await;
    }
}

/// A worker that dies is found out all the same, and in time.
#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_missed_within_a_lease_and_a_beat() {
    let queues = Queues::memory();
    queues.tenant(&tenant()).enqueue(Long {}).await.unwrap();
    let mortal = worker(&queues).await;
    until_all_run(&queues).await;
    drop(mortal);
    let died = Instant::now();
    let _other = worker(&queues).await;
    while jobs(&queues).await[0].crashes == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await; // a condition is polled
    }
    let Config { lease, beat, .. } = Config::default();
    assert!(died.elapsed() <= lease + beat, "by the clock of the test, which is moved by hand");
}

/// Says when it was dropped, and why.
struct Ending {
    cx: JobContext,
    said: Arc<OnceLock<(Instant, Option<Cancellation>)>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.said.get_or_init(|| (Instant::now(), self.cx.cancellation()));
    }
}

/// By its own clock, and before others may take them.
#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_renew_breaks_off_its_jobs_in_time() {
    let memory = Memory::new();
    let away = memory.switch();
    let queues = Queues::on(memory, None);
    queues.tenant(&tenant()).enqueue(Long {}).await.unwrap();
    let said = Arc::new(OnceLock::new());
    let handler = {
        let said = said.clone();
        move |_: Long, cx: JobContext| {
            let ending = Ending { cx, said: said.clone() };
            async move {
                let _ending = ending;
                std::future::pending::<Result<(), Failure>>().await
            }
        }
    };
    let config = Config::default();
    let in_time = config.lease - config.lease / 3;
    let _worker = Worker::start(&queues, (), Jobs::new().handle(handler), config).await.unwrap();
    until_all_run(&queues).await;
    away.store(true, Ordering::Relaxed);
    let cut_off = Instant::now();
    while said.get().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await; // a condition is polled
    }
    let (ended, why) = *said.get().unwrap();
    assert_eq!(why, Some(Cancellation::Lost));
    assert!(ended - cut_off <= in_time, "by the clock of the test, which moves by itself");
}

/// Panics when it is dropped.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "it broke");
    }
}

#[derive(Debug, Serialize, Deserialize, Validate)]
struct Breaks {}

impl Job for Breaks {
    const NAME: &'static str = "test:breaks";
    const OPTIONS: Options = Options::DEFAULT.timeout(Duration::from_secs(1)).max_attempts(1);
}

async fn breaks(_: Breaks) -> Result<(), Failure> {
    let _brittle = Brittle;
    std::future::pending().await
}

/// A handler that is broken off may panic in that moment: it is its own failed attempt, and nobody else's.
#[tokio::test(start_paused = true)]
async fn a_panic_in_the_end_of_a_handler_harms_no_other_job() {
    let queues = Queues::memory();
    let producer = queues.tenant(&tenant());
    let long = producer.enqueue(Long {}).await.unwrap().job_id();
    let jobs_of = Jobs::new().handle(for_ever).handle(breaks);
    let _worker = Worker::start(&queues, (), jobs_of, Config::default()).await.unwrap();
    until_all_run(&queues).await;
    let holder = queues.job(long).await.unwrap().unwrap().worker;
    producer.enqueue(Breaks {}).await.unwrap();
    let letter = loop {
        if let Some(letter) = queues.dead_letters(&DeadFilter::new(), 1).await.unwrap().pop() {
            break letter;
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    };
    assert_eq!((letter.reason, letter.attempts, letter.crashes), (Reason::Exhausted, 1, 0));
    assert!(letter.error.starts_with("the handler panicked"), "{}", letter.error);
    assert_eq!(queues.job(long).await.unwrap().unwrap().worker, holder, "the worker's other job went on");
}

/// There is always another one.
#[derive(Debug, Serialize, Deserialize, Validate)]
struct Endless {
    is_first: bool,
}

impl Job for Endless {
    const NAME: &'static str = "test:endless";
    const OPTIONS: Options = Options::DEFAULT;
}

const QUEUES: [&str; 2] = ["first", "second"];

fn of(is_first: bool, priority: Priority) -> NewJob<Endless> {
    NewJob::of(Endless { is_first }).queue(QUEUES[usize::from(!is_first)]).priority(priority)
}

/// The least urgent has its turn, in each queue from which a worker claims.
#[tokio::test(start_paused = true)]
async fn nothing_waits_for_ever_behind_more_urgent_work() {
    let queues = Queues::memory();
    let producer = queues.tenant(&tenant());
    let mut least = Vec::new();
    for is_first in [true, false] {
        least.push(producer.enqueue(of(is_first, Priority::Low)).await.unwrap().job_id());
        producer.enqueue_all([(); 3].map(|()| of(is_first, Priority::High))).await.unwrap();
    }
    let endless = move |job: Endless| {
        let producer = producer.clone();
        async move {
            let another = producer.enqueue(of(job.is_first, Priority::High)).await;
            another.map(drop).map_err(|error| Failure::new(error.to_string()))
        }
    };
    let jobs = Jobs::new().handle(endless).from_queue(QUEUES[0]).from_queue(QUEUES[1]);
    let config = Config { concurrency: 1, batch: 1, ..Config::default() };
    let _worker = Worker::start(&queues, (), jobs, config).await.unwrap();
    for job in least {
        let mut looks = 0;
        while queues.job(job).await.unwrap().is_some() {
            looks += 1;
            assert!(looks < 10_000, "it waits for ever");
            tokio::task::yield_now().await;
        }
    }
}

/// Each is on a thread of its own: none of them waits before both have begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_compute_have_all_cores() {
    #[derive(Debug, Serialize, Deserialize, Validate)]
    struct Heavy {}
    impl Job for Heavy {
        const NAME: &'static str = "test:heavy";
        const OPTIONS: Options = Options::DEFAULT;
    }

    static BEGUN: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());
    let queues = Queues::memory();
    queues.tenant(&tenant()).enqueue_all([Heavy {}, Heavy {}]).await.unwrap();
    let compute = |_: Heavy, _: JobContext| async {
        let (begun, both) = &BEGUN;
        let mut begun = begun.lock().unwrap();
        *begun += 1;
        both.notify_all();
        let (_begun, patience) =
            both.wait_timeout_while(begun, Duration::from_secs(20), |begun| *begun < 2).unwrap();
        if patience.timed_out() { Err(Failure::dead("the other one has not begun")) } else { Ok(()) }
    };
    let _worker = Worker::start(&queues, (), Jobs::new().handle(compute), Config::default()).await.unwrap();
    while !queues.backlog().await.unwrap().is_settled() {
        tokio::time::sleep(Duration::from_millis(10)).await; // a condition is polled
    }
    assert_eq!(queues.dead_letters(&DeadFilter::new(), 2).await.unwrap(), []);
}

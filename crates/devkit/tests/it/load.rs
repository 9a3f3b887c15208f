//! Load on servers that are a few lines of this file, most of them in paused time, where figures are exact.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::pending,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use shared_devkit::{
    Error,
    load::{Arrivals, Load, Request},
};
use tokio::{
    runtime::{Builder, Handle},
    sync::{Barrier, Mutex, Semaphore},
    time::{Instant, sleep},
};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Serves one request after the other, and stalls for a second at the first.
#[derive(Default)]
struct StallingServer(Mutex<()>);

impl StallingServer {
    async fn serve(&self, request: Request) -> Result<(), Infallible> {
        let _turn = self.0.lock().await;
        if request.number == 0 {
            sleep(ms(1_000)).await; // time itself is tested: how much of the stall is seen
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_shows_how_long_its_requests_waited_for_a_stalled_server() {
    for (in_flight, late) in [(1_000, 0), (1, 99)] {
        let server = StallingServer::default();
        let load = Load::open(Arrivals::uniform(100.0).in_flight(in_flight)).requests(100);
        let report = load.run(async |request| server.serve(request).await).await.expect("a load");
        // The first came after 10 ms and took until 1,010 ms; the last came at 1,000 ms.
        let waited = [0.0, 50.0, 90.0, 100.0].map(|percent| report.latencies().percentile(percent));
        for (waited, expected) in waited.into_iter().zip([10, 500, 900, 1_000].map(ms)) {
            assert!(waited.abs_diff(expected) <= ms(2), "{waited:?} instead of {expected:?}");
        }
        assert_eq!((report.requests(), report.late()), (100, late));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_asks_less_of_a_stalled_server() {
    let server = StallingServer::default();
    let load = Load::closed(1).requests(100);
    let report = load.run(async |request| server.serve(request).await).await.expect("a load");
    assert_eq!(report.latencies().percentile(99.0), Duration::ZERO);
    assert!(report.latencies().max() >= ms(1_000));
}

#[tokio::test]
async fn a_closed_loop_keeps_all_its_workers_busy() {
    let (all, running, most) = (Barrier::new(8), Cell::new(0), Cell::new(0));
    let scenario = async |_| {
        running.set(running.get() + 1);
        most.set(most.get().max(running.get()));
        all.wait().await; // goes on when eight are in flight
        running.set(running.get() - 1);
        Ok::<_, Infallible>(())
    };
    let report = Load::closed(8).requests(800).run(scenario).await.expect("a load");
    assert_eq!((report.requests(), most.get()), (800, 8));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_ends_no_later_than_the_time_limit() {
    let begin = Instant::now();
    let load = Load::open(Arrivals::uniform(100.0).in_flight(1)).requests(100).time_limit(ms(500));
    let report = load.run(async |_| pending::<Result<(), Infallible>>().await).await.expect("a load");
    assert!(begin.elapsed() <= ms(1_502), "{:?}", begin.elapsed());
    assert_eq!(report.errors()["not ended within 500ms"], 100);
    assert!(report.latencies().percentile(0.0) >= ms(499), "each waited, started or not");
}

#[tokio::test]
async fn a_dropped_load_leaves_nothing_that_runs() {
    let (started, held) = (Semaphore::new(0), Arc::new(()));
    let load = Load::closed(16);
    let endless = load.run(async |_| {
        let _held = Arc::clone(&held);
        started.add_permits(1);
        pending::<Result<(), Infallible>>().await
    });
    tokio::select! {
        _ = endless => unreachable!("it never ends"),
        permits = started.acquire_many(16) => drop(permits.expect("sixteen in flight")),
    }
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test]
async fn a_scenario_that_never_waits_leaves_the_runtime_to_others() {
    let load = Load::closed(4).duration(Duration::from_secs(3_600));
    tokio::select! {
        biased;
        _ = load.run(async |_| Ok::<_, Infallible>(())) => unreachable!("an hour"),
        () = tokio::task::yield_now() => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_runs_in_a_task_of_its_own() {
    let load = Load::open(Arrivals::poisson(100_000.0)).requests(1_000);
    let task = tokio::spawn(async move {
        load.run(async |request: Request| if request.number < 10 { Err("cold") } else { Ok(()) }).await
    });
    let report = task.await.expect("no panic").expect("a load");
    assert_eq!((report.requests(), report.errors()["cold"]), (1_000, 10));
}

#[tokio::test(start_paused = true)]
async fn neither_loop_counts_its_warm_up() {
    for load in [Load::closed(1), Load::open(Arrivals::uniform(10.0))] {
        let all = Cell::new(0);
        let scenario = async |_| {
            all.set(all.get() + 1);
            sleep(ms(100)).await; // time itself is tested: ten of them fill a second
            Ok::<_, Infallible>(())
        };
        let load = load.warm_up(ms(1_000)).duration(ms(2_000));
        let report = load.run(scenario).await.expect("a load");
        assert!((29..=30).contains(&all.get()), "{}", all.get());
        assert_eq!(report.requests(), 20);
        assert!(report.elapsed().abs_diff(ms(2_000)) <= ms(101), "{:?}", report.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_one_block() {
    let scenario = async |request: Request| {
        sleep(ms(10)).await; // time itself is tested: it is printed
        if request.number == 3 { Err("busy") } else { Ok(()) }
    };
    let report = Load::closed(1).requests(4).seed(7).run(scenario).await.expect("a load");
    assert_eq!(
        report.to_string(),
        "closed loop of 1, seed 7\n\
         4 requests in 40.0ms, 75.0 succeeded a second\n\
         p50 10.0ms   p90 10.0ms   p99 10.0ms   p99.9 10.0ms   max 10.0ms\n\
         1 × busy"
    );
}

#[tokio::test]
async fn errors_are_counted_by_kind_in_bounded_space() {
    let scenario = async |request: Request| Err::<(), _>(format!("no note {}", request.number % 50));
    let report = Load::closed(1).requests(100).run(scenario).await.expect("a load");
    assert_eq!(report.errors().len(), 21);
    assert_eq!((report.errors()["no note 7"], report.errors()["others"]), (2, 60));
    assert_eq!(report.throughput(), 0.0);
}

#[tokio::test]
async fn a_load_that_cannot_be_is_an_error_and_requests_nothing() {
    let open = |rate| Load::open(Arrivals::poisson(rate));
    let impossible = [
        (Load::closed(0), "0 workers"),
        (Load::closed(usize::MAX), "18446744073709551615 workers"),
        (Load::closed(1).requests(0), "0 requests"),
        (Load::closed(1).duration(Duration::ZERO), "a duration of 0ns"),
        (Load::closed(1).duration(Duration::MAX), "a duration of 18446744073709551615.999999999s"),
        (Load::closed(1).warm_up(ms(86_400_001)), "a warm-up of 86400.001s"),
        (Load::closed(1).time_limit(Duration::ZERO), "a time limit of 0ns"),
        (open(0.0), "0 arrivals a second"),
        (open(f64::NAN), "NaN arrivals a second"),
        (open(f64::INFINITY), "inf arrivals a second"),
        (Load::open(Arrivals::poisson(1.0).in_flight(0)), "0 in flight"),
    ];
    for (load, named) in impossible {
        let run = load.run(async |_| -> Result<(), Infallible> { unreachable!("nothing is requested") });
        let error = run.await.expect_err(named);
        assert!(matches!(error, Error::Load { .. }));
        let expected = format!("cannot run a load with {named}; allowed is ");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

/// Every request of a load with the time at which it started.
fn started(load: &Load) -> Vec<(Request, Duration)> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let (begin, all) = (Instant::now(), RefCell::new(Vec::new()));
        let scenario = async |request| {
            all.borrow_mut().push((request, begin.elapsed()));
            Ok::<_, Infallible>(())
        };
        load.run(scenario).await.expect("a load");
        all.into_inner()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_seed_makes_the_same_requests_at_the_same_times(seed: u64, workers in 1_usize..20) {
        for load in [Load::closed(workers), Load::open(Arrivals::poisson(200.0).in_flight(workers))] {
            let load = load.requests(100);
            let first = started(&load.clone().seed(seed));
            prop_assert_eq!(&first, &started(&load.clone().seed(seed)));
            prop_assert!(first.iter().map(|(request, _)| request.number).eq(0..100));
            let other = started(&load.seed(seed.wrapping_add(1)));
            prop_assert!(first.iter().zip(&other).all(|(one, two)| one.0.random != two.0.random));
        }
    }
}

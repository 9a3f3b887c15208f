//! Limits in process beside governor's keyed limiter, and over Redis beside the bare command.
#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shared_db::redis::{Redis, cmd};
use shared_devkit::load::time;
use shared_security::{By, InProcess, Key, Limit, Limiter, OnOutage, RedisLimits, Rule};

use bench_report::timed_line;

/// Keys whose places do not all fit into the processor's nearest caches, and do into the farther ones.
const BUSY: usize = 10_000;
/// Keys by which memory is measured.
const MANY: usize = 1_000_000;
const CHECKS: u32 = 200_000;
const PER_SECOND: u32 = 1_000_000;
const FLOOD: u64 = 10_000_000;

fn addresses(count: usize) -> Vec<IpAddr> {
    (0..count as u32).map(|number| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))).collect()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("principal:{number:012}")).collect()
}

fn ours(places: usize, by: &'static [By]) -> Limiter<InProcess> {
    let limit = Limit::per_second(u64::from(PER_SECOND));
    Limiter::new(InProcess::new(places), [Rule::new("one", by, limit)]).unwrap()
}

fn governor<K: Hash + Eq + Clone>() -> DefaultKeyedRateLimiter<K> {
    RateLimiter::keyed(Quota::per_second(NonZeroU32::new(PER_SECOND).unwrap()))
}

pub(crate) async fn compare() {
    times().await;
    memory();
    flood();
    over_redis().await;
}

async fn times() {
    let (addresses, names) = (addresses(BUSY), names(BUSY));
    let (by_address, by_name) = (ours(BUSY * 2, &[By::Address]), ours(BUSY * 2, &[By::Principal]));
    let (their_addresses, their_names) = (governor::<IpAddr>(), governor::<String>());
    for threads in [1, 2, 8] {
        let ours =
            async || on(threads, |at| by_address.check_now(&Key::new().address(addresses[at]), 1).allowed());
        let theirs = async || on(threads, |at| their_addresses.check_key(&addresses[at]).is_ok());
        timed_line(
            &format!("check by address, {threads} threads / governor"),
            "≤ 1.00",
            CHECKS,
            ours,
            theirs,
        )
        .await;
        let ours =
            async || on(threads, |at| by_name.check_now(&Key::new().principal(&names[at]), 1).allowed());
        let theirs = async || on(threads, |at| their_names.check_key(&names[at]).is_ok());
        timed_line(&format!("check by name, {threads} threads / governor"), "≤ 1.00", CHECKS, ours, theirs)
            .await;
    }
}

/// All checks, shared out among so many threads, each of which begins elsewhere.
fn on(threads: usize, check: impl Fn(usize) -> bool + Sync) -> Duration {
    let each = CHECKS as usize / threads;
    let run = |thread: usize| {
        // Steps that visit all keys, as no neighbour follows a neighbour.
        let allowed = (0..each).filter(|step| check((thread * 1_250 + step * 7_919) % BUSY)).count();
        assert_eq!(allowed, each);
    };
    let start = Instant::now();
    match threads {
        1 => run(0),
        _ => std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || run(thread));
            }
        }),
    }
    start.elapsed()
}

/// What the allocator has handed out and not got back, for so many keys that all have something used.
fn memory() {
    let (addresses, names) = (addresses(MANY), names(MANY));
    let hour = || Quota::with_period(Duration::from_secs(3600)).unwrap();
    let bytes = |work: &mut dyn FnMut()| allocation_counter::measure(work).bytes_current as f64 / MANY as f64;
    let (mut kept_ours, mut kept_ips, mut kept_names) = (None, None, None);
    let ours = bytes(&mut || {
        let rule = Rule::new("one", &[By::Address], Limit::per(1, Duration::from_secs(3600)));
        let limiter = Limiter::new(InProcess::new(MANY * 5 / 4), [rule]).unwrap();
        for address in &addresses {
            let _ = limiter.check_now(&Key::new().address(*address), 1);
        }
        kept_ours = Some(limiter);
    });
    let theirs = bytes(&mut || {
        let limiter = RateLimiter::keyed(hour());
        for address in &addresses {
            let _ = limiter.check_key(address);
        }
        kept_ips = Some(limiter);
    });
    let with_names = bytes(&mut || {
        let limiter = RateLimiter::keyed(hour());
        for name in &names {
            let _ = limiter.check_key(name);
        }
        kept_names = Some(limiter);
    });
    let held = kept_ours.map_or(0, |limiter| limiter.store().keys());
    println!(
        "bytes a key, {MANY} keys: ours {ours:.1} ({held} with a place); governor by address {theirs:.1}, by name {with_names:.1}"
    );
    println!("  ratio {:.2} and {:.2}, goal ≤ 0.60", ours / theirs, ours / with_names);
}

/// Ten million keys, each with more than its budget, into room for a hundred thousand.
fn flood() {
    let (room, budget) = (100_000, 5);
    let rule = Rule::new("one", &[By::Principal], Limit::per(budget, Duration::from_secs(86_400)));
    let limiter = Limiter::new(InProcess::new(room), [rule]).unwrap();
    let start = Instant::now();
    let mut admitted = 0_u64;
    for number in 0..FLOOD {
        let name = number.to_string();
        admitted += (0..=budget)
            .filter(|_| limiter.check_now(&Key::new().principal(&name), 1).allowed())
            .count() as u64;
    }
    let share = admitted as f64 / (room as u64 * budget) as f64;
    println!(
        "flood of {FLOOD} keys: {} keys kept of {room}, admitted {share:.3} of the aggregate quota (goal ≤ 1.05), {:.1?}",
        limiter.store().keys(),
        start.elapsed()
    );
}

async fn over_redis() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let redis = Redis::connect(&shared_db::redis::Config::new(server.url())).await.unwrap();
    let store = || RedisLimits::new(redis.clone(), OnOutage::Refuse);
    let rule = |name, limit| Rule::new(name, &[By::Principal], limit);
    let open = Limiter::new(store(), [rule("open", Limit::per_second(1_000_000))]).unwrap();
    let three = ["a", "b", "c"].map(|name| rule(name, Limit::per_second(1_000_000)));
    let three = Limiter::new(store(), three).unwrap();
    let shut = Limiter::new(store(), [rule("shut", Limit::per(1, Duration::from_secs(3600)))]).unwrap();
    let key = Key::new().principal("one");
    let _ = shut.check(&key, 1).await;
    let many = async |limiter: &Limiter<RedisLimits>, times: u32| {
        let all = async || {
            for _ in 0..times {
                assert!(!limiter.check(&key, 1).await.is_outage());
            }
        };
        time(all).await
    };
    let incr = async |times: u32| {
        let all = async || {
            for _ in 0..times {
                let _: i64 = redis.command(cmd("INCR").arg("counter")).await.unwrap();
            }
        };
        time(all).await
    };
    timed_line(
        "Redis: check / INCR",
        "",
        1_000,
        async || many(&open, 1_000).await,
        async || incr(1_000).await,
    )
    .await;
    timed_line(
        "Redis: check of three rules / INCR",
        "",
        1_000,
        async || many(&three, 1_000).await,
        async || incr(1_000).await,
    )
    .await;
    timed_line(
        "Redis: known denial / INCR",
        "",
        1_000,
        async || many(&shut, 1_000).await,
        async || incr(1_000).await,
    )
    .await;
}

//! What takes a minute where the compiler has not optimised.

use std::thread;
use std::time::Duration;

use shared_service::security::{By, InProcess, Key, Limit, Limiter, Monotonic, Rule};

const FLOOD: u64 = 10_000_000;
const THREADS: u64 = 2;
const ROOM: usize = 20_000;
const PER_KEY: u64 = 5;

/// ASVS 2.4.1: ten million keys, each of which asks for more than all of its budget, from two threads at once, get at most what the keys
/// that have room would get, and a hundredth more; and no more of them are kept than there is room for.
#[test]
fn ten_million_keys_stay_within_the_room_and_within_the_aggregate_quota() {
    let store = InProcess::with_clock(ROOM, Monotonic::manual());
    let limit = Limit::per(PER_KEY, Duration::from_secs(3600));
    let limiter = Limiter::new(store, [Rule::new("api", &[By::Item], limit)]).unwrap();
    let asks =
        |name: &str, cost| if limiter.check_now(&Key::new().item(name), cost).allowed() { cost } else { 0 };
    let asks = &asks;
    let flood = move |from: u64| {
        let names = (from..FLOOD).step_by(THREADS as usize).map(|number| number.to_string());
        names.map(|name| asks(&name, PER_KEY) + asks(&name, 1)).sum::<u64>()
    };
    let admitted: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|from| scope.spawn(move || flood(from))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let (keys, aggregate) = (limiter.store().keys(), ROOM as u64 * PER_KEY);
    assert!(keys <= ROOM, "{keys} keys");
    assert!(admitted * 100 <= aggregate * 105, "{admitted} of {aggregate}");
    assert!(admitted * 100 >= aggregate * 90, "the room is used: {admitted} of {aggregate}");
}

//! More keys than anybody has room for.

use std::time::Duration;

use shared_security::{By, InProcess, Key, Limit, Limiter, Monotonic, Rule};

/// Keys of one flood. A system test does the same with ten million.
const FLOOD: u64 = 100_000;
const ROOM: usize = 20_000;
const PER_KEY: u64 = 5;

fn key(name: &str) -> Key<'_> {
    Key::new().item(name)
}

fn flooded(limit: Limit, seconds: u64) -> (u64, usize) {
    let clock = Monotonic::manual();
    let store = InProcess::with_clock(ROOM, clock.clone());
    let limiter = Limiter::new(store, [Rule::new("api", &[By::Item], limit)]).unwrap();
    let pause = Duration::from_secs(seconds) / FLOOD as u32;
    let mut admitted = 0;
    for number in 0..FLOOD {
        let name = number.to_string();
        // Each asks for more than all of its budget.
        admitted += (0..=PER_KEY).filter(|_| limiter.check_now(&key(&name), 1).allowed()).count() as u64;
        clock.advance(pause);
    }
    (admitted, limiter.store().keys())
}

/// Traps 1 and 2. ASVS 2.4.1: what all keys get together is at most what the keys that have room would get, and a hundredth more.
#[test]
fn a_flood_of_distinct_keys_stays_within_the_room_and_within_the_aggregate_quota() {
    let hour = Duration::from_secs(3600);
    let aggregate = ROOM as u64 * PER_KEY;
    for limit in [Limit::per(PER_KEY, hour), Limit::sliding(PER_KEY as u32, hour)] {
        let (admitted, keys) = flooded(limit, 0);
        assert!(keys <= ROOM, "{keys} keys");
        assert!(admitted * 100 <= aggregate * 105, "{admitted} of {aggregate}");
        assert!(admitted * 100 >= aggregate * 90, "the room is used: {admitted} of {aggregate}");
    }
    // Over half an hour of flood each bucket refills by half.
    let (admitted, keys) = flooded(Limit::per(PER_KEY, hour), 1800);
    let aggregate = aggregate * 3 / 2;
    assert!(keys <= ROOM && admitted * 100 <= aggregate * 105, "{keys} keys, {admitted} of {aggregate}");
}

/// Trap 2: neither a fresh budget for who was pushed out, as nobody is, nor a lock-out of who was there before.
#[test]
fn a_flood_pushes_nobody_out() {
    let (store, limit) =
        (InProcess::with_clock(ROOM, Monotonic::manual()), Limit::per(10, Duration::from_secs(3600)));
    let limiter = Limiter::new(store, [Rule::new("api", &[By::Item], limit)]).unwrap();
    for _ in 0..10 {
        assert!(limiter.check_now(&key("used up"), 1).allowed());
    }
    assert!(limiter.check_now(&key("half used"), 5).allowed());
    for number in 0..FLOOD / 4 {
        let _ = limiter.check_now(&key(&number.to_string()), 10);
    }
    assert!(!limiter.check_now(&key("used up"), 1).allowed(), "no fresh budget");
    assert_eq!(limiter.check_now(&key("half used"), 0).remaining(), 5, "no lock-out");
}

/// Trap 3: a subscriber who walks through all of its /64, or a network through its /48.
#[test]
fn who_walks_through_the_addresses_of_a_network_walks_through_one_budget() {
    let rules = [
        Rule::new("address", &[By::Address], Limit::per(10, Duration::from_secs(3600))),
        Rule::new("network", &[By::Network { v4: 24, v6: 48 }], Limit::per(50, Duration::from_secs(3600))),
    ];
    let limiter = Limiter::new(InProcess::with_clock(ROOM, Monotonic::manual()), rules).unwrap();
    let admitted = |step: u128| {
        let start = u128::from("2001:db8::".parse::<std::net::Ipv6Addr>().unwrap());
        let address = |at: u128| std::net::Ipv6Addr::from(start + at * step);
        let keys = (0..5_000).map(|at| Key::new().address(address(at).into()));
        keys.filter(|key| limiter.check_now(key, 1).allowed()).count()
    };
    assert_eq!(admitted(1), 10, "within a /64");
    assert_eq!(admitted(1 << 64), 40, "and what is left to its /48");
}

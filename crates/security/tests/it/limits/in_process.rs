//! By a clock that the test moves.

use std::time::Duration;

use shared_security::{By, Decision, Error, InProcess, Key, Limit, Limiter, Rule, Whose};

use super::{HOUR, limiter, tenant};

const SECOND: Duration = Duration::from_secs(1);

fn allowed(decision: Decision) -> bool {
    decision.allowed()
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let (limiter, clock) = limiter([Rule::new("api", &[By::Item], Limit::per_second(10).burst(20))]);
    let (ours, theirs) = (Key::new().item("ours"), Key::new().item("theirs"));
    for left in (0..20).rev() {
        let decision = limiter.check_now(&ours, 1);
        assert!(decision.allowed() && decision.retry_after().is_none());
        assert_eq!(decision.remaining(), left);
    }
    let denied = limiter.check_now(&ours, 1);
    assert!(!denied.allowed());
    assert_eq!((denied.retry_after(), denied.reset()), (Some(SECOND / 10), SECOND * 2));
    assert!(limiter.check_now(&theirs, 20).allowed(), "another key has a budget of its own");
    clock.advance(SECOND / 10 - Duration::from_nanos(1));
    assert!(!allowed(limiter.check_now(&ours, 1)));
    clock.advance(Duration::from_nanos(1));
    assert!(allowed(limiter.check_now(&ours, 1)) && !allowed(limiter.check_now(&ours, 1)));
}

#[test]
fn a_window_slides() {
    let (limiter, clock) = limiter([Rule::new("api", &[By::Item], Limit::sliding(100, SECOND * 60))]);
    let key = Key::new().item("a");
    assert!(allowed(limiter.check_now(&key, 100)));
    let denied = limiter.check_now(&key, 1);
    assert_eq!((denied.allowed(), denied.retry_after()), (false, Some(SECOND * 60 + SECOND * 60 / 100)));
    clock.advance(SECOND * 90);
    let half = limiter.check_now(&key, 0);
    assert_eq!(half.remaining(), 50, "half of the window before still counts");
    clock.advance(SECOND * 30);
    assert_eq!(limiter.check_now(&key, 0).remaining(), 100);
}

/// Trap 8, and counter overflow: defined answers for odd costs.
#[test]
fn nothing_is_always_allowed_and_too_much_never() {
    let rules = |limit| limiter([Rule::new("api", &[By::Item], limit)]);
    for limit in [Limit::per_second(10), Limit::sliding(10, SECOND)] {
        let (limiter, clock) = rules(limit);
        let key = Key::new().item("a");
        for cost in [11, u64::MAX / 2, u64::MAX] {
            let never = limiter.check_now(&key, cost);
            assert_eq!((never.allowed(), never.retry_after()), (false, None), "{cost}");
            clock.advance(HOUR * 24 * 365);
            assert!(!allowed(limiter.check_now(&key, cost)), "{cost}");
        }
        assert_eq!(limiter.check_now(&key, 10).remaining(), 0, "and took nothing");
        assert!(limiter.check_now(&key, 0).allowed());
        assert!(!allowed(limiter.check_now(&key, 5)));
        assert_eq!(limiter.store().keys(), 1);
    }
    let (nothing, _) = rules(Limit::per_second(0));
    assert!(!allowed(nothing.check_now(&Key::new(), 1)) && allowed(nothing.check_now(&Key::new(), 0)));
}

/// Trap 9.
#[test]
fn when_one_limit_denies_nothing_is_taken_from_the_others() {
    let (limiter, _) = limiter([
        Rule::new("user", &[By::Principal], Limit::per(5, HOUR)),
        Rule::new("tenant", &[By::Tenant], Limit::sliding(8, HOUR)),
        Rule::new("all", &[], Limit::per(100, HOUR)),
    ]);
    let key = |user| Key::new().tenant(tenant(1)).principal(user);
    assert!(allowed(limiter.check_now(&key("a"), 5)));
    let denied = limiter.check_now(&key("b"), 4);
    assert!(!denied.allowed());
    let standing: Vec<_> = denied.standings().map(|limit| (limit.name(), limit.remaining())).collect();
    assert_eq!(standing, [("user", 5), ("tenant", 3), ("all", 95)]);
    assert_eq!(denied.denied_by().map(|limit| limit.name()).collect::<Vec<_>>(), ["tenant"]);
    assert!(allowed(limiter.check_now(&key("b"), 3)), "all that was left is still there");
}

#[test]
fn threads_take_no_more_than_there_is_of_any_limit() {
    let (limiter, _) = limiter([
        Rule::new("user", &[By::Principal], Limit::per(70, HOUR)),
        Rule::new("all", &[], Limit::sliding(100, HOUR)),
    ]);
    let admitted: usize = std::thread::scope(|scope| {
        let ask = |user: &'static str| {
            let limiter = &limiter;
            scope.spawn(move || {
                (0..1_000).filter(|_| limiter.check_now(&Key::new().principal(user), 1).allowed()).count()
            })
        };
        let asking = ["a", "b", "a", "b"].map(ask);
        asking.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 100);
}

/// Traps 3 and 11.
#[test]
fn keys_are_told_apart_by_their_parts_and_addresses_by_their_network() {
    let rule = |by| limiter([Rule::new("one", by, Limit::per(1, HOUR))]).0;
    let first = |limiter: &Limiter<InProcess>, key: Key<'_>| limiter.check_now(&key, 1).allowed();
    let both = rule(&[By::Principal, By::Item]);
    for (principal, item) in [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("a:b", "c"), ("a", "b:c")]
    {
        assert!(first(&both, Key::new().principal(principal).item(item)), "{principal} {item}");
    }
    assert!(first(&both, Key::new().item("abc")), "none is not the same as empty");
    let long = "x".repeat(100_000);
    assert!(first(&both, Key::new().principal(&long)) && !first(&both, Key::new().principal(&long)));

    let address = |text: &str| Key::new().address(text.parse().unwrap());
    let by_address = rule(&[By::Address]);
    assert!(first(&by_address, address("2001:db8:1:1::1")));
    assert!(!first(&by_address, address("2001:db8:1:1:ffff::2")), "a subscriber has a /64");
    assert!(first(&by_address, address("2001:db8:1:2::1")));
    assert!(first(&by_address, address("192.0.2.1")) && first(&by_address, address("192.0.2.2")));
    assert!(!first(&by_address, address("::ffff:192.0.2.1")));
    assert!(first(&by_address, address("::c000:201")), "which is not the IPv4 address");
    let by_network = rule(&[By::Network { v4: 24, v6: 48 }]);
    assert!(
        first(&by_network, address("2001:db8:1:1::1")) && !first(&by_network, address("2001:db8:1:2::1"))
    );
    assert!(first(&by_network, address("192.0.2.1")) && !first(&by_network, address("192.0.2.2")));
    let all = rule(&[By::Network { v4: 0, v6: 0 }]);
    assert!(first(&all, address("192.0.2.1")) && !first(&all, address("10.0.0.1")));
}

/// Trap 10, live.
#[test]
fn limits_of_tenants_and_plans_change_while_requests_come() {
    let (limiter, _) = limiter([Rule::new("api", &[By::Tenant], Limit::per(10, HOUR))]);
    let left = |number| limiter.check_now(&Key::new().tenant(tenant(number)), 0).remaining();
    assert!(allowed(limiter.check_now(&Key::new().tenant(tenant(1)), 10)));
    limiter.set("api", &Whose::Plan("pro".to_owned()), Limit::per(100, HOUR)).unwrap();
    assert_eq!((left(1), left(2)), (0, 10), "nobody is on it yet");
    limiter.assign(tenant(1), Some("pro")).unwrap();
    assert_eq!((left(1), left(2)), (90, 10), "what was used stays used");
    limiter.set("api", &Whose::Tenant(tenant(1)), Limit::per(12, HOUR)).unwrap();
    assert_eq!(left(1), 2);
    limiter.set("api", &Whose::Everybody, Limit::per(3, HOUR)).unwrap();
    assert_eq!((left(1), left(2)), (2, 3));
    limiter.clear("api", &Whose::Tenant(tenant(1))).unwrap();
    limiter.assign(tenant(1), None).unwrap();
    assert_eq!(left(1), 0, "it owes no more than it may ever have");
    limiter.clear("api", &Whose::Everybody).unwrap();
    assert_eq!((left(1), left(2)), (0, 10));
}

#[test]
fn what_cannot_be_kept_is_refused_when_it_is_built() {
    let refused = |rules: &[Rule]| match Limiter::new(InProcess::new(100), rules.to_vec()) {
        Err(error @ Error::Limits { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let good = Rule::new("api", &[], Limit::per_second(1));
    assert!(refused(&[]).contains("one to four"));
    assert!(refused(&[good; 5]).contains("one to four"));
    assert!(refused(&[good; 2]).contains("`api`"));
    for name in ["", "a b", "a\r\nset-cookie: x", "\"", "ä", "a-name-that-is-longer-than-32-bytes"] {
        assert!(refused(&[Rule::new(name, &[], Limit::per_second(1))]).contains("letters"), "{name}");
    }
    assert!(refused(&[Rule::new("x", &[], Limit::per(1, Duration::ZERO))]).contains("100 days"));
    let (limiter, _) = limiter([good]);
    assert!(limiter.set("other", &Whose::Everybody, Limit::per_second(1)).is_err());
    assert!(limiter.set("api", &Whose::Everybody, Limit::per_second(1).burst(u64::MAX)).is_err());
}

#[test]
fn a_decision_allocates_nothing() {
    let (limiter, clock) = limiter([
        Rule::new("user", &[By::Tenant, By::Principal], Limit::per_second(10)),
        Rule::new("address", &[By::Address], Limit::sliding(10, SECOND)),
    ]);
    let principals: Vec<String> = (0..50).map(|number| format!("user:{number}")).collect();
    let check = || {
        for principal in &principals {
            let key = Key::new().tenant(tenant(1)).principal(principal).address("192.0.2.1".parse().unwrap());
            let _ = limiter.check_now(&key, 1);
            clock.advance(SECOND / 100);
        }
    };
    check();
    assert_eq!(allocation_counter::measure(check).count_total, 0);
}

//! What a caller is told: the fields of draft-ietf-httpapi-ratelimit-headers-11 (23 May 2026), as structured fields (RFC 9651).

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Integer, KeyRef, ListSerializer, StringRef, key_ref};

use super::{Decision, Standing};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Adds `RateLimit-Policy`, with what each limit admits (`q`) in how many seconds (`w`), and `RateLimit`, with what is left of
/// it (`r`) and for how many seconds that has to do (`t`). The names of rules are the names of policies.
///
/// - `t` is no shorter than `r` takes to come back (section 6, on the ratio of the two), and no longer than the wait of a request
///   that is refused. An answer with `Retry-After` has the limits alone that refuse it: the end of an effective window is not to
///   lie behind it (section 6).
/// - `qu` is left out: the unit is the request, as is the default (3.1.2), and some take more than one.
/// - `pk` is left out: it would repeat an address or a principal (6.1).
pub(super) fn add(headers: &mut HeaderMap, decision: &Decision) {
    let policy = |standing: &Standing| [(key_ref("q"), standing.quota()), (key_ref("w"), standing.window())];
    let state = |standing: &Standing| {
        [(key_ref("r"), standing.remaining()), (key_ref("t"), seconds(decision, standing))]
    };
    let is_put_off = headers.contains_key(RETRY_AFTER);
    let counts = |standing: &&Standing| !is_put_off || decision.is_denied_by(standing);
    let policy = list(decision.standings(), policy);
    let state = list(decision.standings().filter(counts), state);
    for (name, value) in [(POLICY, policy), (STATE, state)] {
        if let Some(value) = value {
            // Both are lists: an outer layer adds its own to what an inner one has said.
            headers.append(name, value);
        }
    }
}

fn list<'s, 'k>(
    standings: impl Iterator<Item = &'s Standing>,
    parameters: impl Fn(&Standing) -> [(&'k KeyRef, u64); 2],
) -> Option<HeaderValue> {
    let mut list = ListSerializer::new();
    for standing in standings {
        let mut item = list.bare_item(StringRef::from_str(standing.name()).ok()?);
        for (name, value) in parameters(standing) {
            item = item.parameter(name, integer(value));
        }
        let _ = item.finish();
    }
    HeaderValue::try_from(list.finish()?).ok()
}

/// Structured fields have whole numbers of 15 digits.
fn integer(number: u64) -> Integer {
    i64::try_from(number).ok().and_then(|number| Integer::try_from(number).ok()).unwrap_or(Integer::MAX)
}

/// Rounded up, so that nobody is told too early; a limit that admits nothing has no window, and is told a second.
fn seconds(decision: &Decision, standing: &Standing) -> u64 {
    let window = standing.effective_window();
    let window = decision.retry_after().map_or(window, |wait| window.min(wait));
    (window.as_secs() + u64::from(window.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{By, InProcess, Key, Limit, Limiter, Monotonic, Rule};

    fn fields(decision: &Decision) -> (String, String) {
        let mut headers = HeaderMap::new();
        add(&mut headers, decision);
        let text = |name| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (text("ratelimit-policy"), text("ratelimit"))
    }

    #[test]
    fn each_limit_is_an_item_with_whole_seconds() {
        let limiter = Limiter::new(
            InProcess::with_clock(8, Monotonic::manual()),
            [
                Rule::new("burst", &[By::Item], Limit::per_second(10).burst(25)),
                Rule::new("hourly", &[], Limit::sliding(1_000, Duration::from_secs(3600))),
            ],
        )
        .unwrap();
        let (policy, state) = fields(&limiter.check_now(&Key::new().item("a\"\r\n"), 1));
        assert_eq!(policy, r#""burst";q=25;w=3, "hourly";q=1000;w=3600"#);
        assert_eq!(state, r#""burst";r=24;t=3, "hourly";r=999;t=3597"#);
    }

    /// Section 3: a list that is not empty (3), of strings (3), with `q` from 0 (3.1.1) and `w` from 1 (3.1.3). Section 4: `r` and `t`
    /// from 0 (4.1.1, 4.1.2), and at most as much a second as the policy has (6). Neither `qu`, which is `requests` by default (3.1.2),
    /// nor `pk` (3.1.4, 4.1.3, 6.1), nor a parameter of our own.
    #[test]
    fn the_fields_are_those_of_the_draft() {
        let limiter = Limiter::new(
            InProcess::with_clock(8, Monotonic::manual()),
            [
                Rule::new("bucket", &[], Limit::per(1_000, Duration::from_secs(3600))),
                Rule::new("window", &[], Limit::sliding(50, Duration::from_secs(60))),
                Rule::new("fast", &[], Limit::per_second(1_000_000).burst(1_000)),
            ],
        )
        .unwrap();
        for cost in [0, 1, 7, 41, 1] {
            let (policy, state) = fields(&limiter.check_now(&Key::new(), cost));
            let (policy, state) = (read(&policy), read(&state));
            for (name, [(r, remaining), (t, window)]) in state {
                let (_, [(q, quota), (w, length)]) = policy.iter().find(|(other, _)| *other == name).unwrap();
                assert_eq!([q, w, &r, &t], ["q", "w", "r", "t"]);
                assert!(*quota >= 0 && *length > 0 && remaining >= 0 && window > 0);
                assert!(remaining * length <= window * quota, "{name}: {remaining} in {window} s");
            }
        }
    }

    /// Section 6: the end of the effective window does not lie behind `Retry-After`.
    #[test]
    fn what_is_refused_is_told_the_limits_that_refuse_it_and_no_window_beyond_its_wait() {
        let limiter = Limiter::new(
            InProcess::with_clock(8, Monotonic::manual()),
            [
                Rule::new("fast", &[], Limit::per(10, Duration::from_secs(10))),
                Rule::new("slow", &[], Limit::per(1_000, Duration::from_secs(86_400))),
            ],
        )
        .unwrap();
        assert!(limiter.check_now(&Key::new(), 6).allowed());
        let refused = limiter.check_now(&Key::new(), 5);
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        add(&mut headers, &refused);
        assert_eq!(headers["ratelimit"], r#""fast";r=4;t=1"#);
        assert_eq!(headers["ratelimit-policy"], r#""fast";q=10;w=10, "slow";q=1000;w=86400"#);
    }

    type Numbers = [(String, i64); 2];

    fn read(field: &str) -> Vec<(String, Numbers)> {
        let list = sfv::Parser::new(field).parse::<sfv::List>().unwrap();
        let item = |entry: &sfv::ListEntry| {
            let sfv::ListEntry::Item(item) = entry else { panic!("{entry:?}") };
            let numbers =
                item.params.iter().map(|(key, value)| (key.to_string(), value.as_integer().unwrap().into()));
            let numbers: Vec<(String, i64)> = numbers.collect();
            (item.bare_item.as_string().unwrap().to_string(), Numbers::try_from(numbers).unwrap())
        };
        assert!(!list.is_empty());
        list.iter().map(item).collect()
    }

    #[test]
    fn numbers_have_fifteen_digits_at_most_and_read_back() {
        let limiter = Limiter::new(
            InProcess::with_clock(8, Monotonic::manual()),
            [Rule::new("many", &[], Limit::per_second(1_000_000_000).burst(8_640_000_000_000_000))],
        )
        .unwrap();
        let (policy, _) = fields(&limiter.check_now(&Key::new(), 0));
        assert_eq!(policy, r#""many";q=999999999999999;w=8640000"#);
        assert_eq!(sfv::Parser::new(&policy).parse::<sfv::List>().unwrap().len(), 1);
    }

    #[test]
    fn of_an_outage_nothing_is_told() {
        assert_eq!(fields(&Decision::outage(true, 1)), (String::new(), String::new()));
    }
}

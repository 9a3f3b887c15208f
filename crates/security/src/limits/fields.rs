//! What a caller is told: the fields of draft-ietf-httpapi-ratelimit-headers-11, as structured fields (RFC 9651).

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Integer, KeyRef, ListSerializer, StringRef, key_ref};

use super::{Decision, Standing};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Adds `RateLimit-Policy`, with what each limit admits (`q`) in how many seconds (`w`), and `RateLimit`, with what is left of
/// it (`r`) and in how many seconds it is whole again (`t`). The names of rules are the names of policies. A partition key is
/// not told: it would repeat an address or a principal.
pub(super) fn add(headers: &mut HeaderMap, decision: &Decision) {
    let policy = |standing: &Standing| [(key_ref("q"), standing.quota()), (key_ref("w"), standing.window())];
    let state =
        |standing: &Standing| [(key_ref("r"), standing.remaining()), (key_ref("t"), seconds(standing))];
    for (name, value) in [(POLICY, list(decision, policy)), (STATE, list(decision, state))] {
        if let Some(value) = value {
            // Both are lists: an outer layer adds its own to what an inner one has said.
            headers.append(name, value);
        }
    }
}

fn list<'k>(
    decision: &Decision,
    parameters: impl Fn(&Standing) -> [(&'k KeyRef, u64); 2],
) -> Option<HeaderValue> {
    let mut list = ListSerializer::new();
    for standing in decision.standings() {
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

/// Rounded up, so that nobody is told too early.
fn seconds(standing: &Standing) -> u64 {
    let reset = standing.reset();
    reset.as_secs() + u64::from(reset.subsec_nanos() > 0)
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
        assert_eq!(state, r#""burst";r=24;t=1, "hourly";r=999;t=7200"#);
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

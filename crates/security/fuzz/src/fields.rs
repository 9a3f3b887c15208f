//! Structured fields (RFC 9651): what is told of limits reads back, whatever the limits are. The crate itself reads none.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use sfv::{Item, List, ListEntry, Parser};
use shared_security::{InProcess, Limit, LimitLayer, Limiter, Monotonic, Rule};
use tower::{Layer, ServiceExt, service_fn};

/// Of which names are slices: some are good, and some would break a field if they were not refused.
const NAMES: &str =
    "address-Network-2tenantABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnop\"\\\r\n;,=(:é\u{1F512}";
/// Structured fields have whole numbers of 15 digits.
const MOST: i64 = 999_999_999_999_999;

/// How many bytes a rule takes: kind, name from and to, and three numbers.
const RULE: usize = 27;

/// A cost, and then rules.
pub fn any(bytes: &[u8]) {
    let Some((cost, rules)) = bytes.split_first_chunk() else { return };
    let rules: Vec<Rule> = rules.as_chunks::<RULE>().0.iter().filter_map(rule).collect();
    let names: Vec<&str> = rules.iter().map(Rule::name).collect();
    let store = InProcess::with_clock(8, Monotonic::manual());
    let Ok(limiter) = Limiter::new(store, rules) else { return };
    let headers = answer(limiter, u64::from_le_bytes(*cost));
    for (field, quantity, others) in [("ratelimit-policy", "q", "w"), ("ratelimit", "r", "t")] {
        let told = read(&headers, field);
        // Of a cost that is never admitted only the limits that deny it are told.
        assert!((1..=names.len()).contains(&told.len()));
        for (name, parameters) in &told {
            assert!(names.contains(&name.as_str()));
            assert!(parameters.iter().map(|(key, _)| key.as_str()).eq([quantity, others]));
            assert!(parameters.iter().all(|(_, number)| (0..=MOST).contains(number)));
        }
    }
}

/// A bucket or a window, of which some can't be kept; `None` for what is no slice.
fn rule(bytes: &[u8; RULE]) -> Option<Rule> {
    let [kind, from, to, numbers @ ..] = bytes;
    let number = |at: usize| {
        let bytes = numbers.as_chunks::<8>().0.get(at).copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    };
    let (count, time, burst) = (number(0), number(1), number(2));
    let name = NAMES.get(usize::from(*from)..usize::from(*to))?;
    let limit = match kind % 3 {
        0 => Limit::per(count, Duration::from_nanos(time)),
        1 => Limit::per(count, Duration::from_nanos(time)).burst(burst),
        _ => Limit::sliding(count as u32, Duration::from_secs(time)),
    };
    Some(Rule::new(name, &[], limit))
}

/// The headers of an answer, which may be a refusal.
fn answer(limiter: Limiter<InProcess>, cost: u64) -> HeaderMap {
    let layer = LimitLayer::new(limiter).cost(|_, _, of| of.get().copied().unwrap_or(1));
    let service =
        layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Vec::new()))));
    let mut request = Request::new(());
    request.extensions_mut().insert(cost);
    let response =
        service.oneshot(request).now_or_never().expect("nobody is waited for").expect("infallible");
    response.headers().clone()
}

/// Each item of a field, with its numbers.
fn read(headers: &HeaderMap, field: &str) -> Vec<(String, Vec<(String, i64)>)> {
    let value = headers.get(field).and_then(|value| value.to_str().ok()).expect("it is told, in ASCII");
    let list: List = Parser::new(value).parse().expect("it reads back");
    list.iter().map(item).collect()
}

fn item(entry: &ListEntry) -> (String, Vec<(String, i64)>) {
    let ListEntry::Item(Item { bare_item, params }) = entry else { panic!("a list within a list") };
    let name = bare_item.as_string().expect("a name is a string").as_str().to_owned();
    let numbers = params.iter().map(|(key, value)| {
        (key.as_str().to_owned(), value.as_integer().map(i64::from).expect("a whole number"))
    });
    (name, numbers.collect())
}

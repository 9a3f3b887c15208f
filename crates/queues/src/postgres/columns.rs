//! Entries as columns, which one statement takes all at once, and values as they are stored.

use std::time::Duration;

use shared_core::TenantId;

use crate::backend::Entry;
use crate::limit::LimitKey;
use crate::unique::{OnDuplicate, Unique};
use crate::{JobId, Priority};

/// Between the name and the key of a limit: neither begins or ends with it.
const BEFORE_KEY: char = '\u{1}';

/// An array for each column.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) tenants: Vec<TenantId>,
    pub(super) jobs: Vec<JobId>,
    pub(super) queues: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) versions: Vec<i32>,
    pub(super) payloads: Vec<String>,
    pub(super) contexts: Vec<String>,
    pub(super) bands: Vec<i16>,
    pub(super) delays: Vec<i64>,
    pub(super) orders: Vec<Option<String>>,
    pub(super) limits: Vec<Option<String>>,
    pub(super) uniques: Vec<Option<String>>,
}

impl Columns {
    pub(super) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut columns = Self::default();
        entries.into_iter().for_each(|entry| columns.push(entry));
        columns
    }

    fn push(&mut self, entry: &Entry) {
        self.tenants.push(entry.tenant);
        self.jobs.push(entry.job);
        self.queues.push(entry.queue.to_string());
        self.names.push(entry.name.to_string());
        self.versions.push(version(entry.version));
        self.payloads.push(entry.payload.clone());
        self.contexts.push(entry.context.clone());
        self.bands.push(entry.priority.band());
        self.delays.push(milliseconds(entry.delay));
        self.orders.push(entry.order.clone());
        self.limits.push(limits(&entry.limits));
        self.uniques.push(entry.unique.as_ref().map(unique));
    }
}

/// Whether it has to be admitted.
pub(super) fn is_laned(entry: &Entry) -> bool {
    entry.order.is_some() || !entry.limits.is_empty()
}

pub(super) fn version(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

pub(super) fn limit_key(name: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("{name}{BEFORE_KEY}{key}"),
        None => name.to_owned(),
    }
}

/// The name and the key again.
pub(super) fn split(limit: &str) -> (&str, Option<&str>) {
    match limit.split_once(BEFORE_KEY) {
        Some((name, key)) => (name, Some(key)),
        None => (limit, None),
    }
}

/// A list as JSON; `None` for none. In one order, and each once: they are the identity of a lane.
pub(super) fn limits(limits: &[LimitKey]) -> Option<String> {
    let mut keys: Vec<String> =
        limits.iter().map(|limit| limit_key(&limit.name, limit.key.as_deref())).collect();
    keys.sort_unstable();
    keys.dedup();
    (!keys.is_empty()).then(|| serde_json::Value::from(keys).to_string())
}

/// The limits of such a list.
pub(super) fn read_limits(text: Option<&str>) -> Vec<LimitKey> {
    let keys: Vec<String> = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let read = |limit: &String| {
        let (name, key) = split(limit);
        LimitKey { name: name.to_owned().into(), key: key.map(str::to_owned) }
    };
    keys.iter().map(read).collect()
}

/// A rule as JSON: its word, its milliseconds, its key.
pub(super) fn unique(unique: &Unique) -> String {
    let (word, period) = match unique.on_duplicate {
        OnDuplicate::Reject | OnDuplicate::Existing => ("existing", Duration::ZERO),
        OnDuplicate::Throttle(period) => ("throttle", period),
        OnDuplicate::Debounce => ("debounce", Duration::ZERO),
        OnDuplicate::KeepLatest => ("latest", Duration::ZERO),
    };
    serde_json::json!([
        word,
        milliseconds(period).to_string(),
        unique.key,
        unique.on_duplicate == OnDuplicate::Reject
    ])
    .to_string()
}

/// The rule of such a text.
pub(super) fn read_unique(text: &str) -> Option<Unique> {
    let (word, period, key, rejects): (String, String, String, bool) = serde_json::from_str(text).ok()?;
    let on_duplicate = match word.as_str() {
        "existing" if rejects => OnDuplicate::Reject,
        "existing" => OnDuplicate::Existing,
        "throttle" => OnDuplicate::Throttle(Duration::from_millis(period.parse().ok()?)),
        "debounce" => OnDuplicate::Debounce,
        _ => OnDuplicate::KeepLatest,
    };
    Some(Unique { key, on_duplicate })
}

pub(super) fn priority(band: i16) -> Priority {
    Priority::from_band(band)
}

/// The longest wait, a thousand years: beyond, the server knows no date, and would refuse the whole statement.
const FOREVER: i64 = 1000 * 365 * 24 * 60 * 60 * 1000;

/// Rounded up: a job never starts before its time.
pub(super) fn milliseconds(delay: Duration) -> i64 {
    i64::try_from(delay.as_micros().div_ceil(1000)).unwrap_or(FOREVER).min(FOREVER)
}

/// Postgres stores no NUL in a text.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back_whatever_is_in_their_keys() {
        let wild = vec![LimitKey::by("host", "a\u{1}b\u{2}\"c"), LimitKey::named("stripe")];
        let text = limits(&wild).unwrap();
        assert_eq!(read_limits(Some(&text)), wild);
        assert_eq!(limits(&[]), None);
        assert_eq!(read_limits(None), []);
    }

    #[test]
    fn the_order_in_which_limits_are_named_makes_no_difference() {
        let (a, b) = (LimitKey::named("a"), LimitKey::by("b", "1"));
        assert_eq!(limits(&[a.clone(), b.clone()]), limits(&[b.clone(), a, b]));
    }

    #[test]
    fn rules_of_uniqueness_come_back() {
        for rule in [
            Unique::reject("a"),
            Unique::existing("b\u{2}"),
            Unique::throttle("c", Duration::from_secs(60)),
            Unique::debounce("d"),
            Unique::keep_latest("e"),
        ] {
            assert_eq!(read_unique(&unique(&rule)), Some(rule));
        }
    }

    #[test]
    fn waits_are_rounded_up_and_have_an_end() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::MAX), FOREVER);
    }
}

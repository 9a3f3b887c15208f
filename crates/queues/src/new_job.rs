use std::time::Duration;

use shared_core::{Context, TraceParent, trace};

use crate::backend::Entry;
use crate::limit::LimitKey;
use crate::name::{NAME_RULE, is_sound};
use crate::unique::OnDuplicate;
use crate::{Error, Job, JobId, Priority, Unique, assert_job_name, payload};

/// The longest key (of uniqueness, of an order, of a limit), in bytes: 200. An id, a host or an address fits; what is longer is
/// data, which belongs into the payload.
pub const MAX_KEY: usize = 200;

/// Limits that one job may count against: 8. Each is looked at when the job is admitted.
pub const MAX_LIMITS: usize = 8;

/// The longest delay of a job, and the longest period of uniqueness: ten years. Every backend's clock can count that far.
pub const MAX_DELAY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A job on its way into a queue, where it differs from what its [`Options`](crate::Options) say.
///
/// ```
/// use std::time::Duration;
/// use serde::{Deserialize, Serialize};
/// use shared_queues::{Job, LimitKey, NewJob, Priority, Unique};
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "page:fetch")]
/// struct Fetch { host: String, page: u64 }
///
/// let fetch = Fetch { host: "example.com".into(), page: 7 };
/// let later = NewJob::of(fetch)
///     .after(Duration::from_secs(60))
///     .priority(Priority::Low)
///     .limit(LimitKey::by("host", "example.com"))
///     .unique(Unique::existing("7"));
/// # let _ = later;
/// ```
///
/// Whoever takes a job takes a `NewJob` as well, and a job is one by itself: `enqueue(fetch)` is `enqueue(NewJob::of(fetch))`.
#[derive(Clone, Debug)]
#[must_use = "a job does nothing before it is enqueued"]
pub struct NewJob<J> {
    job: J,
    delay: Duration,
    priority: Priority,
    queue: Option<&'static str>,
    order: Option<String>,
    unique: Option<Unique>,
    limits: Vec<LimitKey>,
}

impl<J: Job> From<J> for NewJob<J> {
    fn from(job: J) -> Self {
        Self::of(job)
    }
}

impl<J: Job> NewJob<J> {
    /// The job as its type says.
    pub fn of(job: J) -> Self {
        Self {
            delay: Duration::ZERO,
            priority: J::OPTIONS.priority,
            queue: None,
            order: job.order_key(),
            unique: job.unique(),
            limits: job.limits(),
            job,
        }
    }

    /// To be started no sooner than this after it was enqueued, by the server's clock. At most [`MAX_DELAY`].
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// More or less urgent than others of its type.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// In another queue. It needs a worker that takes jobs from there.
    pub fn queue(mut self, queue: &'static str) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Behind the jobs of the same tenant that have this ordering key in the queue, in place of [`Job::order_key`]. At most
    /// [`MAX_KEY`] bytes.
    pub fn order_by(mut self, key: impl Into<String>) -> Self {
        self.order = Some(key.into());
        self
    }

    /// When it counts as the same as one before it, in place of [`Job::unique`].
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// One more limit, beside those of [`Job::limits`]. At most [`MAX_LIMITS`].
    pub fn limit(mut self, limit: LimitKey) -> Self {
        self.limits.push(limit);
        self
    }

    /// Whether a [`Enqueued::Existing`](crate::Enqueued::Existing) is an error for it.
    pub(crate) fn rejects_duplicates(&self) -> bool {
        self.unique.as_ref().is_some_and(|unique| unique.on_duplicate == OnDuplicate::Reject)
    }

    /// The job as a backend takes it: its rules hold, its keys fit, and it continues the running trace.
    pub(crate) fn entry(self, context: &Context) -> Result<Entry, Error> {
        let job = JobId::new();
        let span = tracing::info_span!(
            "queues.enqueue",
            otel.name = format!("send {}", J::NAME),
            otel.kind = "producer",
            messaging.system = "shared_queues",
            messaging.operation.type = "send",
            messaging.destination.name = self.queue.unwrap_or(J::OPTIONS.queue),
            messaging.message.id = %job,
        );
        let caused_by: Option<TraceParent> = span.in_scope(trace::current).or(context.traceparent());
        self.written(job, &context.clone().with_traceparent(caused_by))
    }

    /// The same under this id, and with the trace that the context has.
    pub(crate) fn written(self, job: JobId, context: &Context) -> Result<Entry, Error> {
        const { assert_job_name(J::NAME) };
        let payload = payload::write(&self.job)?;
        let text =
            serde_json::to_string(context).map_err(|source| Error::Unwritable { job: J::NAME, source })?;
        let queue = self.queue.unwrap_or(J::OPTIONS.queue);
        let limits = canonical(self.limits);
        let keys = (self.order.as_deref(), self.unique.as_ref());
        misfit(queue, self.delay, keys, &limits)
            .map_or(Ok(()), |(part, problem)| Err(Error::Unfit { job: J::NAME, part, problem }))?;
        Ok(Entry {
            job,
            tenant: context.tenant(),
            queue: queue.into(),
            name: J::NAME.into(),
            version: J::OPTIONS.version,
            payload,
            context: text,
            priority: self.priority,
            delay: self.delay,
            order: order(J::NAME, self.order, self.unique.as_ref()),
            limits,
            unique: self.unique,
        })
    }
}

/// The latest waits behind the one that runs: they have an ordering key of their own, whatever else was said.
fn order(name: &str, order: Option<String>, unique: Option<&Unique>) -> Option<String> {
    match unique {
        Some(Unique { key, on_duplicate: OnDuplicate::KeepLatest }) => Some(format!("unique:{name}:{key}")),
        _ => order,
    }
}

/// Each limit once, in an order that does not depend on how they were named: they are the identity of a lane.
fn canonical(mut limits: Vec<LimitKey>) -> Vec<LimitKey> {
    limits.sort_unstable_by(|a, b| (&a.name, &a.key).cmp(&(&b.name, &b.key)));
    limits.dedup();
    limits
}

/// The first thing that no backend would take, and what is wrong with it.
fn misfit(
    queue: &str,
    delay: Duration,
    (order, unique): (Option<&str>, Option<&Unique>),
    limits: &[LimitKey],
) -> Option<(&'static str, &'static str)> {
    if !is_sound(queue) {
        return Some(("the queue's name", NAME_RULE));
    }
    if delay > MAX_DELAY {
        return Some(("the delay", "ten years are the longest"));
    }
    if let Some(problem) = order.and_then(unkeyed) {
        return Some(("the ordering key", problem));
    }
    if let Some(problem) = unique.and_then(|unique| unkeyed(&unique.key)) {
        return Some(("the key of uniqueness", problem));
    }
    match unique.map(|unique| unique.on_duplicate) {
        Some(OnDuplicate::Throttle(period)) if period > MAX_DELAY => {
            return Some(("the period of uniqueness", "ten years are the longest"));
        }
        _ => {}
    }
    if limits.len() > MAX_LIMITS {
        return Some(("the list of limits", "8 are the most"));
    }
    if limits.iter().any(|limit| !is_sound(&limit.name)) {
        return Some(("the name of a limit", NAME_RULE));
    }
    let problem = limits.iter().filter_map(|limit| limit.key.as_deref()).find_map(unkeyed);
    problem.map(|problem| ("the key of a limit", problem))
}

/// Why this is no key, if it is none.
pub(crate) fn unkeyed(key: &str) -> Option<&'static str> {
    match key {
        long if long.len() > MAX_KEY => Some("200 bytes are the longest; a hash of it would do"),
        nul if nul.contains('\0') => Some("it has a NUL in it, which Postgres stores in no text"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use shared_core::{Actor, TenantId, TraceParent};
    use validator::Validate;

    use super::*;

    #[derive(Serialize, Deserialize, Validate, Clone)]
    struct Fetch {
        #[validate(range(min = 1))]
        page: u64,
    }

    impl Job for Fetch {
        const NAME: &'static str = "page:fetch";
        const OPTIONS: crate::Options = crate::Options::DEFAULT.queue("web").priority(Priority::Low);

        fn limits(&self) -> Vec<LimitKey> {
            vec![LimitKey::named("web"), LimitKey::by("host", "example.com")]
        }
    }

    fn fetch() -> NewJob<Fetch> {
        NewJob::of(Fetch { page: 7 })
    }

    fn entry(job: NewJob<Fetch>) -> Result<Entry, String> {
        let trace = TraceParent::new(7, 7, true);
        let context = Context::new(TenantId::new(), Actor::new("user:7")).with_traceparent(trace);
        let entry = job.entry(&context).map_err(|error| error.to_string())?;
        assert_eq!(entry.tenant, context.tenant());
        assert_eq!(serde_json::from_str::<Context>(&entry.context).unwrap(), context);
        Ok(entry)
    }

    #[test]
    fn a_job_is_what_its_type_says() {
        let entry = entry(Fetch { page: 7 }.into()).unwrap();
        assert_eq!((&*entry.queue, &*entry.name, entry.version), ("web", "page:fetch", 1));
        assert_eq!(
            (entry.priority, entry.delay, entry.order, entry.unique),
            (Priority::Low, Duration::ZERO, None, None)
        );
        assert_eq!(entry.payload, r#"{"page":7}"#);
    }

    #[test]
    fn and_differs_where_it_is_said() {
        let job = fetch().after(Duration::from_secs(9)).priority(Priority::High).queue("bulk").order_by("a");
        let entry = entry(job.unique(Unique::reject("k"))).unwrap();
        assert_eq!(
            (&*entry.queue, entry.priority, entry.delay),
            ("bulk", Priority::High, Duration::from_secs(9))
        );
        assert_eq!((entry.order.as_deref(), entry.unique), (Some("a"), Some(Unique::reject("k"))));
    }

    #[test]
    fn the_same_limits_are_the_same_lane_in_whatever_order_they_are_named() {
        let twice = entry(fetch().limit(LimitKey::named("web")).limit(LimitKey::named("a"))).unwrap();
        assert_eq!(
            twice.limits,
            [LimitKey::named("a"), LimitKey::by("host", "example.com"), LimitKey::named("web")]
        );
    }

    #[test]
    fn the_latest_is_kept_behind_the_one_that_runs() {
        let entry = entry(fetch().order_by("mine").unique(Unique::keep_latest("7"))).unwrap();
        assert_eq!(entry.order.as_deref(), Some("unique:page:fetch:7"));
    }

    #[test]
    fn what_breaks_a_rule_or_does_not_fit_is_refused_without_its_value() {
        let broken = entry(NewJob::of(Fetch { page: 0 })).unwrap_err();
        assert_eq!(broken, "job `page:fetch` was not enqueued: `page` breaks the rule `range`");
        let long = "x".repeat(201);
        let many = (0..8).fold(fetch(), |job, n| job.limit(LimitKey::by("n", n.to_string())));
        for (job, part) in [
            (fetch().order_by(&*long), "the ordering key"),
            (fetch().order_by("a\0"), "the ordering key"),
            (fetch().unique(Unique::debounce(&*long)), "the key of uniqueness"),
            (fetch().unique(Unique::throttle("a", Duration::MAX)), "the period of uniqueness"),
            (fetch().limit(LimitKey::by("host", &*long)), "the key of a limit"),
            (fetch().limit(LimitKey::named("two words")), "the name of a limit"),
            (many, "the list of limits"),
            (fetch().queue("{a}"), "the queue's name"),
            (fetch().after(Duration::MAX), "the delay"),
        ] {
            let refused = entry(job).unwrap_err();
            assert!(
                refused.starts_with(&format!("job `page:fetch` was not enqueued: {part}: ")),
                "{refused}"
            );
            assert!(!refused.contains("xxx"), "{refused}");
        }
        assert!(entry(fetch().order_by("x".repeat(200)).after(MAX_DELAY)).is_ok());
    }
}

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use shared_core::TenantId;

use super::denials::Denials;
use super::level::Level;
use super::limit::Quota;
use super::metrics::METRICS;
use super::quotas::{Quotas, quota};
use super::store::{Ask, LimitStore, OnOutage, Outage, Taken};
use super::{Decision, InProcess, Key, Limit, MOST_RULES, Monotonic, Rule, Standing, Whose};
use crate::Error;

/// Decides whether a request may go on, by one to four limits that are decided together: where one denies, nothing is
/// taken from the others. Clones share everything.
///
/// ```
/// use shared_core::TenantId;
/// use shared_security::{By, InProcess, Key, Limit, Limiter, Rule};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), shared_security::Error> {
/// let limiter = Limiter::new(InProcess::new(100_000), [
///     Rule::new("user", &[By::Tenant, By::Principal], Limit::per_second(10).burst(20)),
///     Rule::new("tenant", &[By::Tenant], Limit::per_minute(10_000)),
/// ])?;
///
/// let key = Key::new().tenant(TenantId::new()).principal("user:7");
/// let decision = limiter.check(&key, 1).await;
/// assert!(decision.allowed());
/// assert_eq!(decision.remaining(), 19);
/// # Ok(())
/// # }
/// ```
///
/// # Costs
/// A request may cost more than one. A cost of 0 asks and takes nothing, and is always allowed. A cost above what a limit
/// ever admits at once is always denied, without [`retry_after`](Decision::retry_after), and without asking the store.
///
/// # Changing limits
/// [`set`](Self::set) changes a limit for everybody, a plan or a tenant while requests come. What was used stays used, as so
/// many tokens or requests; nobody gets a fresh budget, and nobody owes more than the new limit holds. Only where a bucket
/// becomes a window, or the other way round, counting begins anew. A change holds in this process: tell the others too.
pub struct Limiter<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    rules: Box<[Rule]>,
    /// Those of the rules.
    initial: Quotas,
    /// Those of now, once one was changed: until then nobody pays for looking.
    changed: OnceLock<ArcSwap<Quotas>>,
    /// Of a store that is a round trip away.
    denials: Option<Denials>,
    store: S,
}

impl<S: LimitStore> Limiter<S> {
    /// A limiter with these rules, over a store of its own.
    ///
    /// # Errors
    /// [`Error::Limits`] unless there are one to four rules with good names of their own and limits that can be kept; and where
    /// a store can't decide on them together, as keys in several slots of a Redis Cluster.
    pub fn new(store: S, rules: impl IntoIterator<Item = Rule>) -> Result<Self, Error> {
        Self::with_clock(store, rules, Monotonic::system())
    }

    /// The same, with a clock for what is remembered of denials. The store has its own.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn with_clock(
        store: S,
        rules: impl IntoIterator<Item = Rule>,
        clock: Monotonic,
    ) -> Result<Self, Error> {
        let rules: Box<[Rule]> = rules.into_iter().collect();
        if !(1..=MOST_RULES).contains(&rules.len()) {
            return Err(Error::limits("", "a limiter has one to four rules"));
        }
        for (at, rule) in rules.iter().enumerate() {
            if !rule.has_good_name() || rules[..at].iter().any(|before| before.name() == rule.name()) {
                return Err(Error::limits(
                    rule.name(),
                    "expected a name of its own, of 1 to 32 letters, digits and hyphens",
                ));
            }
        }
        store.accept(&rules)?;
        let (initial, changed) = (Quotas::new(&rules)?, OnceLock::new());
        let denials = S::IS_REMOTE.then(|| Denials::new(clock));
        Ok(Self { inner: Arc::new(Inner { rules, initial, changed, denials, store }) })
    }

    /// Decides on one request, and takes its cost where it is allowed. At most one round trip, and none for a denial that
    /// is known.
    ///
    /// Dropping the future drops the answer; what was asked for may be taken.
    pub async fn check(&self, key: &Key<'_>, cost: u64) -> Decision {
        let changed = self.inner.changed.get().map(ArcSwap::load_full);
        let quotas = changed.as_deref().unwrap_or(&self.inner.initial);
        let asks = Asks::new(&self.inner.rules, quotas, key);
        if let Some(known) = asks.never(cost).or_else(|| self.known(quotas, &asks, cost)) {
            return known;
        }
        let asked = self.inner.denials.as_ref().map_or(0, Denials::now);
        match self.inner.store.take(asks.all(), cost).await {
            Ok(taken) => {
                self.remember(quotas, &asks, cost, asked, &taken);
                asks.decision(&taken, cost)
            }
            Err(Outage(choice)) => {
                let allowed = choice == OnOutage::Allow;
                METRICS.outage(allowed);
                Decision::outage(allowed, cost)
            }
        }
    }

    /// Gives a rule another limit, for everybody, a plan or a tenant; from the next request on.
    ///
    /// # Errors
    /// [`Error::Limits`] for a rule that the limiter does not have, a limit that can't be kept, or the 100,001st tenant or plan
    /// with a limit of its own. Nothing is changed then.
    pub fn set(&self, rule: &str, whose: &Whose, limit: Limit) -> Result<(), Error> {
        let (at, rule) = self.rule(rule)?;
        let quota = quota(rule, limit)?;
        self.change(|quotas| quotas.set(at, whose, quota))
    }

    /// Takes a plan's or a tenant's own limit back, or everybody's to what the rule says.
    ///
    /// # Errors
    /// [`Error::Limits`] for a rule that the limiter does not have.
    pub fn clear(&self, rule: &str, whose: &Whose) -> Result<(), Error> {
        let (at, rule) = self.rule(rule)?;
        let everybody = quota(rule, rule.limit())?;
        self.change(|quotas| {
            quotas.clear(at, whose, everybody);
            Ok(())
        })
    }

    /// Puts a tenant on a plan, or on none.
    ///
    /// # Errors
    /// [`Error::Limits`] for the 100,001st entry.
    pub fn assign(&self, tenant: TenantId, plan: Option<&str>) -> Result<(), Error> {
        self.change(|quotas| quotas.assign(tenant, plan))
    }

    /// Its rules.
    pub fn rules(&self) -> &[Rule] {
        &self.inner.rules
    }

    /// Whether a rule counts by tenant or principal: then its layer belongs inside of a
    /// [`BearerLayer`](crate::BearerLayer), and otherwise in front of it.
    pub fn needs_principal(&self) -> bool {
        self.rules().iter().any(Rule::needs_principal)
    }

    /// Its store.
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    fn rule(&self, name: &str) -> Result<(usize, &Rule), Error> {
        let found = self.inner.rules.iter().enumerate().find(|(_, rule)| rule.name() == name);
        found.ok_or_else(|| Error::limits(name, "the limiter has no rule of this name"))
    }

    fn change(&self, change: impl Fn(&mut Quotas) -> Result<(), Error>) -> Result<(), Error> {
        let mut outcome = Ok(());
        let quotas = self.inner.changed.get_or_init(|| ArcSwap::from_pointee(self.inner.initial.clone()));
        quotas.rcu(|quotas| {
            let mut changed = Quotas::clone(quotas);
            outcome = change(&mut changed);
            if outcome.is_ok() { Arc::new(changed) } else { quotas.clone() }
        });
        outcome
    }

    /// The denial that is remembered, if one is.
    fn known(&self, quotas: &Quotas, asks: &Asks<'_>, cost: u64) -> Option<Decision> {
        let denials = self.inner.denials.as_ref()?;
        let holds = |(rule, ask)| Some((rule, ask, denials.holds((rule, quotas.epoch), ask, cost)?));
        let (rule, ask, wait): (usize, &Ask<'_>, _) = asks.all().iter().enumerate().find_map(holds)?;
        METRICS.remembered(ask.rule.name());
        METRICS.denied(ask.rule.name());
        let mut decision = Decision::counted(false, cost);
        decision.stands(rule, Standing::remembered(ask.rule.name(), ask.quota, wait));
        Some(decision)
    }

    fn remember(&self, quotas: &Quotas, asks: &Asks<'_>, cost: u64, asked: u64, taken: &Taken) {
        let Some(denials) = self.inner.denials.as_ref().filter(|_| !taken.all) else { return };
        for (rule, (ask, level)) in asks.all().iter().zip(taken.before).enumerate() {
            let wait = level.filter(|level| !level.fits(cost)).and_then(|level| level.wait(cost));
            if let Some(wait) = wait {
                denials.remember((rule, quotas.epoch), ask, cost, asked, wait);
            }
        }
    }
}

impl Limiter<InProcess> {
    /// [`check`](Limiter::check) without an `await`.
    #[inline]
    pub fn check_now(&self, key: &Key<'_>, cost: u64) -> Decision {
        let changed = self.inner.changed.get().map(ArcSwap::load);
        let quotas = changed.as_ref().map_or(&self.inner.initial, |changed| changed);
        if let [rule] = &*self.inner.rules {
            return self.check_one(rule, quotas.of(0, key), key, cost);
        }
        let asks = Asks::new(&self.inner.rules, quotas, key);
        asks.never(cost).unwrap_or_else(|| asks.decision(&self.inner.store.decide(asks.all(), cost), cost))
    }

    /// The same for a single rule, without room for others.
    #[inline]
    fn check_one(&self, rule: &Rule, quota: Quota, key: &Key<'_>, cost: u64) -> Decision {
        let level = match cost <= quota.most() {
            true => self.inner.store.decide_one(&Ask { rule, quota, key }, cost),
            false => Err(Level::unused(quota)),
        };
        if level.is_err() {
            METRICS.denied(rule.name());
        }
        let mut decision = Decision::counted(level.is_ok(), cost);
        decision.stands(0, Standing::new(rule.name(), quota, level.unwrap_or_else(|level| level)));
        decision
    }
}

/// What a request is held against.
struct Asks<'a> {
    asks: [Ask<'a>; MOST_RULES],
    count: usize,
}

impl<'a> Asks<'a> {
    fn new(rules: &'a [Rule], quotas: &Quotas, key: &'a Key<'a>) -> Self {
        let ask = |at: usize| Ask { rule: &rules[at], quota: quotas.of(at, key), key };
        let mut asks = [ask(0); MOST_RULES];
        for (at, place) in asks.iter_mut().enumerate().take(rules.len()).skip(1) {
            *place = ask(at);
        }
        Self { asks, count: rules.len() }
    }

    fn all(&self) -> &[Ask<'a>] {
        &self.asks[..self.count]
    }

    /// The denial of what a limit never admits at once.
    fn never(&self, cost: u64) -> Option<Decision> {
        if self.all().iter().all(|ask| cost <= ask.quota.most()) {
            return None;
        }
        let mut decision = Decision::counted(false, cost);
        for (rule, ask) in self.all().iter().enumerate().filter(|(_, ask)| cost > ask.quota.most()) {
            METRICS.denied(ask.rule.name());
            decision.stands(rule, Standing::new(ask.rule.name(), ask.quota, Level::unused(ask.quota)));
        }
        Some(decision)
    }

    fn decision(&self, taken: &Taken, cost: u64) -> Decision {
        let mut decision = Decision::counted(taken.all, cost);
        for (rule, (ask, level)) in self.all().iter().zip(taken.before).enumerate() {
            let Some(mut level) = level else { continue };
            if taken.all {
                level.take(cost);
            } else if !level.fits(cost) {
                METRICS.denied(ask.rule.name());
            }
            decision.stands(rule, Standing::new(ask.rule.name(), ask.quota, level));
        }
        decision
    }
}

// By hand, since a derive would ask the same of the store.
impl<S> Clone for Limiter<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S: fmt::Debug> fmt::Debug for Limiter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("rules", &self.inner.rules).field("store", &self.inner.store).finish()
    }
}

//! Who went through a door without a tenant, and why.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use crate::metrics::METRICS;

/// A use of a door that sees the rows of more than one tenant.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Crossing<'a> {
    /// The method of [`Db`](crate::Db): `across_tenants` or `system`.
    pub door: &'static str,
    /// What the caller gave as the reason.
    pub reason: &'a str,
    /// The name of the statement; `transaction` for one that was opened.
    pub statement: &'static str,
    /// Where in the source the door was asked for.
    pub location: &'static Location<'static>,
}

type Hook = Box<dyn Fn(&Crossing<'_>) + Send + Sync>;

/// Where crossings are reported.
#[derive(Default)]
pub(crate) struct Audit {
    hook: OnceLock<Hook>,
    /// Set by the first use of the system door.
    system: OnceLock<()>,
}

impl Audit {
    /// Says whether it is the first hook; there is only one.
    pub(crate) fn set(&self, hook: Hook) -> bool {
        self.hook.set(hook).is_ok()
    }

    fn report(&self, crossing: &Crossing<'_>) {
        match self.hook.get() {
            Some(hook) => hook(crossing),
            None => tracing::warn!(
                target: "audit",
                door = crossing.door,
                reason = crossing.reason,
                statement = crossing.statement,
                location = %crossing.location,
                "rows of more than one tenant are in reach"
            ),
        }
    }
}

/// What a door must report of its uses.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) audit: Arc<Audit>,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
}

impl Watch {
    /// The door across tenants is reported every time; that of the family's own machinery, which goes through it many times
    /// a second, once a process and counted.
    pub(crate) fn used(&self, statement: &'static str) {
        let Some(reason) = &self.reason else {
            METRICS.system.add(1, &[]);
            if self.audit.system.set(()).is_ok() {
                let (door, reason) = ("system", "the family's own tables");
                self.audit.report(&Crossing { door, reason, statement, location: self.location });
            }
            return;
        };
        METRICS.across_tenants.add(1, &[]);
        self.audit.report(&Crossing { door: "across_tenants", reason, statement, location: self.location });
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("reason", &self.reason).finish_non_exhaustive()
    }
}

//! Which jobs, and which dead letters.

use std::time::Duration;

use shared_core::TenantId;
use time::OffsetDateTime;

use crate::JobId;
use crate::dead::{DeadLetter, Reason};
use crate::view::State;

/// Clocks of backends are no finer than this.
pub(crate) const FINEST: Duration = Duration::from_millis(1);

/// Which jobs to look for. Everything that is said narrows it down.
///
/// ```
/// use shared_queues::{JobFilter, State};
///
/// let running_mails = JobFilter::new().queue("mail").state(State::Running);
/// # let _ = running_mails;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFilter {
    pub(crate) queue: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) state: Option<State>,
    /// Those behind this one, in a list of the latest first.
    pub(crate) after: Option<JobId>,
}

impl JobFilter {
    /// All jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of a queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Those of a name, `domain:action`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Those of a tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Those in a state.
    pub fn state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// Those that stand behind this job in a list, which need not be there any more: the page that follows the one it ended.
    pub fn after(mut self, job: JobId) -> Self {
        self.after = Some(job);
        self
    }

    /// Names that nothing has: no backend need be asked, and one of them could not read it.
    pub(crate) fn is_vain(&self) -> bool {
        has_nul(&self.queue) || has_nul(&self.name)
    }
}

/// Which dead letters. Everything that is said narrows it down.
///
/// ```
/// use std::time::Duration;
/// use shared_queues::{DeadFilter, Reason};
///
/// let old_failures = DeadFilter::new().reason(Reason::Failed).older_than(Duration::from_secs(7 * 24 * 3600));
/// # let _ = old_failures;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadFilter {
    pub(crate) job: Option<JobId>,
    pub(crate) queue: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) reason: Option<Reason>,
    /// Those that have been dead for longer than this.
    pub(crate) older_than: Option<Duration>,
    /// Those behind this one, in a list of the latest first: when it died, and which job it is.
    pub(crate) after: Option<(OffsetDateTime, JobId)>,
}

impl DeadFilter {
    /// All dead letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one of this job.
    pub fn job(mut self, job: JobId) -> Self {
        self.job = Some(job);
        self
    }

    /// Those of a queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Those of a name, `domain:action`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Those of a tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Those that are dead for this reason.
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Those that have been dead for longer than this, by the server's clock.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Those that stand behind this one in a list, which need not be there any more: the page that follows the one it ended.
    pub fn after(mut self, letter: &DeadLetter) -> Self {
        self.after = Some((letter.died_at, letter.job_id));
        self
    }

    /// As with jobs.
    pub(crate) fn is_vain(&self) -> bool {
        has_nul(&self.queue) || has_nul(&self.name)
    }

    /// An empty name or an age that no clock of a backend tells from none is a slip, where letters are changed: every letter has the latter.
    pub(crate) fn slip(&self) -> Option<&'static str> {
        let is_empty = [&self.queue, &self.name].into_iter().flatten().any(String::is_empty);
        let has_no_age = self.older_than.is_some_and(|age| age < FINEST);
        (is_empty || has_no_age).then_some("expected names that are not empty, and an age of 1 ms or more")
    }
}

fn has_nul(name: &Option<String>) -> bool {
    name.as_ref().is_some_and(|name| name.contains('\0'))
}

impl From<JobId> for DeadFilter {
    fn from(job: JobId) -> Self {
        Self::new().job(job)
    }
}

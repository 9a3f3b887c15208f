use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

/// A moment: so long after the clock was started. It can be added to without end.
pub(super) type Moment = Duration;

/// The clock of tokio, and the calendar that belongs to it.
pub(super) struct Clock {
    started: Instant,
    calendar: OffsetDateTime,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), calendar: shared_core::Clock::system().now() }
    }

    pub(super) fn now(&self) -> Moment {
        self.started.elapsed()
    }

    pub(super) fn date(&self, at: Moment) -> OffsetDateTime {
        let offset = time::Duration::try_from(at).unwrap_or(time::Duration::MAX);
        self.calendar.saturating_add(offset)
    }
}

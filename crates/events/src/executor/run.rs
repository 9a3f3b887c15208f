//! One call of a consumer's function, within its transaction.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use shared_core::Failure;
use shared_db::TenantTx;
use tracing::Instrument;

use crate::events::Bound;
use crate::{Envelope, spans};

/// Why a function had no effect, and whether its transaction can still be rolled back in order: after a panic or a time-out a
/// statement of it may be unanswered.
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) is_answered: bool,
}

/// Calls the function, for at most `limit`.
pub(super) async fn call(
    to: &Bound,
    tx: &mut TenantTx,
    event: &Envelope,
    attempt: u32,
    limit: Duration,
) -> Result<(), Failed> {
    let span = spans::process(to.name, event, attempt);
    let work = AssertUnwindSafe(async { (to.run)(tx, event).await }).catch_unwind();
    let done = match tokio::time::timeout(limit, work.instrument(span.clone())).await {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(failure))) => Failed { failure, is_answered: true },
        Ok(Err(_)) => Failed { failure: Failure::new("the consumer panicked"), is_answered: false },
        Err(_) => {
            let failure = Failure::new(format!("the consumer took longer than {limit:?}"));
            Failed { failure, is_answered: false }
        }
    };
    span.record("otel.status_code", "ERROR");
    Err(done)
}

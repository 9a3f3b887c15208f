//! Waiting for a moment, more exactly than the runtime's timer, which counts milliseconds and rounds up: half a millisecond takes it two.

use std::{thread, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{self, Instant},
};

/// How late the runtime's timer may be.
const COARSE: Duration = Duration::from_millis(2);

/// Returns less than a millisecond late, more on a busy machine. Dropping the future leaves at most a thread of the runtime's asleep for the
/// last two milliseconds.
pub(super) async fn sleep_until(due: Instant) {
    let Some(early) = due.checked_sub(COARSE) else { return time::sleep_until(due).await };
    if early > Instant::now() {
        time::sleep_until(early).await;
    }
    // The kernel's timer is the exact one. It takes a thread to wait for it without keeping a core busy.
    let asleep = spawn_blocking(move || thread::sleep(due.saturating_duration_since(Instant::now())));
    // Fails where the runtime ends, and this with it.
    let _ = asleep.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_rings_early() {
        for micros in [0, 1, 70, 500, 1_000, 1_700, 20_000] {
            let due = Instant::now() + Duration::from_micros(micros);
            sleep_until(due).await; // time itself is tested: that it rings late, and not early
            assert!(Instant::now() >= due, "{micros}");
        }
    }
}

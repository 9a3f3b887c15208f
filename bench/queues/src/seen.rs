//! What the handlers of this process have seen. All of them call [`job`] and do nothing else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

static COUNT: AtomicU64 = AtomicU64::new(0);
/// Times are noted where latency is measured; elsewhere a handler has only to count.
static TIMED: AtomicBool = AtomicBool::new(false);
static TIMES: Mutex<Vec<(u64, Instant)>> = Mutex::new(Vec::new());
/// For so many nanoseconds a handler computes.
static WORK: AtomicU64 = AtomicU64::new(0);
static ARRIVED: Notify = Notify::const_new();

/// A handler has begun with a job.
pub(crate) fn job(at: u64) {
    if TIMED.load(Ordering::Relaxed) {
        TIMES.lock().unwrap().push((at, Instant::now()));
        ARRIVED.notify_one();
    }
    let work = WORK.load(Ordering::Relaxed);
    if work > 0 {
        let begin = Instant::now();
        while begin.elapsed().as_nanos() < u128::from(work) {
            std::hint::spin_loop();
        }
    }
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// Forgets what was seen.
pub(crate) fn reset(timed: bool, work: Duration) {
    WORK.store(work.as_nanos() as u64, Ordering::Relaxed);
    COUNT.store(0, Ordering::Relaxed);
    TIMED.store(timed, Ordering::Relaxed);
    TIMES.lock().unwrap().clear();
}

pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// When the job was begun with, as soon as it is.
pub(crate) async fn arrival(at: u64) -> Instant {
    loop {
        let arrived = ARRIVED.notified();
        if let Some((_, when)) = TIMES.lock().unwrap().iter().rev().find(|(seen, _)| *seen == at) {
            return *when;
        }
        arrived.await;
    }
}

/// All that were timed.
pub(crate) fn times() -> Vec<(u64, Instant)> {
    TIMES.lock().unwrap().clone()
}

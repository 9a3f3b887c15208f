//! How busy the client is.

use std::time::Duration;

/// For how long some work kept this thread, which is the client's only one, on a core.
pub(crate) async fn busy(work: impl AsyncFnOnce()) -> Duration {
    let before = on_core();
    work().await;
    on_core() - before
}

/// Linux counts it, in nanoseconds.
fn on_core() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(counted.split_whitespace().next().unwrap().parse().unwrap())
}

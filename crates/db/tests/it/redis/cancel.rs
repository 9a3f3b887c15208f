//! Futures that are dropped at any await leave no answer to somebody else.

use crate::storm::SHORT;
use crate::storm_redis::redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_futures_leave_no_answer_no_watch_and_nobody_who_waits() {
    redis(SHORT).await.assert_clear();
}

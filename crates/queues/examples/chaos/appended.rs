//! How far Redis has come with its append-only file.

use std::time::{Duration, Instant};

use shared_db::redis::{Config, Redis, cmd};

use super::ledger::now;

/// Redis holds a write back for two seconds at most, while the disk is busy with a flush.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that Redis had acknowledged at a moment is in this many bytes of its file.
pub(crate) struct Appended {
    pub since: i64,
    pub bytes: u64,
}

impl Appended {
    /// The state of the file at a moment at which nothing waited to be written to it.
    pub(crate) async fn now(url: &str) -> Self {
        let redis = connect(url).await;
        let end = Instant::now() + PATIENCE;
        loop {
            let since = now();
            let info = info(&redis).await;
            if number(&info, "aof_buffer_length:") == 0 {
                return Self { since, bytes: number(&info, "aof_current_size:") };
            }
            assert!(Instant::now() < end, "Redis wrote nothing to its file for {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
    }
}

/// Lets Redis make its file anew, as whoever operates it has to after a start from one that was cut in the middle of a script: it leaves the
/// first part of the script there, and carries it out at the start after the next script.
pub(crate) async fn make_anew(url: &str) {
    let redis = connect(url).await;
    let _: String = redis.command(&cmd("BGREWRITEAOF")).await.unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let info = info(&redis).await;
        if number(&info, "aof_rewrite_in_progress:") + number(&info, "aof_rewrite_scheduled:") == 0 {
            assert!(
                info.contains("aof_last_bgrewrite_status:ok"),
                "Redis could not make its file anew:\n{info}"
            );
            return;
        }
        assert!(Instant::now() < end, "Redis has not made its file anew within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
    }
}

async fn connect(url: &str) -> Redis {
    Redis::connect(&Config::new(url)).await.unwrap()
}

async fn info(redis: &Redis) -> String {
    redis.command(cmd("INFO").arg("persistence")).await.unwrap()
}

fn number(info: &str, name: &str) -> u64 {
    let number = info.lines().find_map(|line| line.strip_prefix(name));
    number.and_then(|number| number.trim().parse().ok()).unwrap()
}

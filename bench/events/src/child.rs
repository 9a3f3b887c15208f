//! A relay in a process of its own: `bench-events relay DATABASE REDIS LEASE_MS`.

use std::convert::Infallible;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::ours::Ours;
use crate::outbox::Outbox;

/// The first argument of such a process.
pub(crate) const WORD: &str = "relay";

/// Relays until the process is killed.
pub(crate) async fn serve(database: &str, redis: &str, lease: &str) -> Infallible {
    let mut ours = Ours::join(database, redis).await;
    ours.config.lease = Duration::from_millis(lease.parse().unwrap());
    let _relay = ours.start().await;
    println!("ready");
    std::future::pending().await
}

/// It is killed when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) async fn start(ours: &Ours, lease: Duration) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([WORD, &ours.url, &ours.streams.url, &lease.as_millis().to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id().unwrap()
    }

    /// With -9.
    pub(crate) async fn kill(&mut self) {
        self.0.kill().await.unwrap();
    }

    /// Bytes in memory now, and the most that there were, as Linux counts.
    pub(crate) fn memory(&self) -> [f64; 2] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1_024.0
        })
    }
}

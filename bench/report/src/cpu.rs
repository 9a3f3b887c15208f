//! The CPU time of processes, of which Linux keeps account.

use std::fs;
use std::time::Duration;

/// Linux tells it in hundredths of a second, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Of a process and everything that it started, what has ended included.
pub fn of_tree(pid: u32) -> Duration {
    let Some(own) = stat(pid) else { return Duration::ZERO };
    let children = children(pid).into_iter().map(of_tree).sum::<Duration>();
    TICK * own[USER..=ENDED_SYSTEM].iter().sum::<i64>().try_into().unwrap_or(u32::MAX) + children
}

/// The process that started this one.
pub fn parent(pid: u32) -> Option<u32> {
    u32::try_from(*stat(pid)?.get(PARENT)?).ok()
}

/// Where it stands behind the name: see proc_pid_stat(5).
const PARENT: usize = 0;
const USER: usize = 10;
const ENDED_SYSTEM: usize = 13;

/// The numbers behind "4711 (a name) S".
fn stat(pid: u32) -> Option<Vec<i64>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = line.rsplit_once(')')?;
    Some(behind.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect())
}

fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| parent(*process) == Some(pid)).collect()
}

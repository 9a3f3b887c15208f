//! Processes that are not our children. Small systems have /proc and no `ps`; macOS has `ps` and no /proc.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    process::Command,
    thread::sleep,
    time::Duration,
};

use rustix::process::Pid;

/// It takes microseconds to become another program, and on an overrun machine some hundred milliseconds. Threads of the
/// kernel never have arguments.
const EXEC_LOOKS: usize = 1000;
const EXEC_GLANCE: Duration = Duration::from_millis(1);
/// More than the paths of a server.
const MOST_ARGUMENTS: usize = 1 << 16;

/// The arguments that a live process was started with. One that has ended and waits for its parent does not live.
pub(crate) fn arguments(pid: Pid) -> Option<String> {
    let pid = pid.as_raw_nonzero().to_string();
    let text = if has_proc() { arguments_in_proc(&pid)? } else { ps(&["-ww", "-o", "args=", "-p", &pid])? };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// In the moment in which it becomes another program, a live process has none either.
fn arguments_in_proc(pid: &str) -> Option<String> {
    for _ in 0..EXEC_LOOKS {
        let text = command_line(pid)?;
        if !text.is_empty() {
            return Some(String::from_utf8_lossy(&text).replace('\0', " "));
        }
        if is_zombie_in_proc(pid) {
            return None;
        }
        sleep(EXEC_GLANCE);
    }
    None
}

/// In one read: a second one may already be that of another program.
fn command_line(pid: &str) -> Option<Vec<u8>> {
    let mut text = vec![0; MOST_ARGUMENTS];
    let length = File::open(format!("/proc/{pid}/cmdline")).ok()?.read(&mut text).ok()?;
    text.truncate(length);
    Some(text)
}

/// Whether a process has ended, its files and sockets closed. Its parent may not have collected it yet.
pub(crate) fn has_ended(pid: Pid) -> bool {
    let pid = pid.as_raw_nonzero().to_string();
    if !has_proc() {
        let state = ps(&["-o", "stat=", "-p", &pid]).unwrap_or_default();
        return state.trim().is_empty() || state.trim().starts_with('Z');
    }
    // They are open until the last of its threads has ended, which need not be the first one.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads == 0 || threads == 1 && is_zombie_in_proc(&pid)
}

/// From "4711 (a name) Z 42 ..".
fn is_zombie_in_proc(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// The direct children of a process.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get();
    let all = if has_proc() { all_in_proc() } else { all_in_ps() };
    all.into_iter().filter(|(_, of)| *of == parent).filter_map(|(child, _)| Pid::from_raw(child)).collect()
}

/// Every process with its parent.
fn all_in_proc() -> Vec<(i32, i32)> {
    // "4711 (a name) S 42 ..", where the name may have anything in it.
    let parent = |stat: String| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let child = entry.file_name().to_str()?.parse().ok()?;
            Some((child, parent(fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect()
}

/// Every process with its parent.
fn all_in_ps() -> Vec<(i32, i32)> {
    let listing = ps(&["-ax", "-o", "pid=", "-o", "ppid="]).unwrap_or_default();
    let parsed = |line: &str| {
        let (child, parent) = line.trim().split_once(char::is_whitespace)?;
        Some((child.parse().ok()?, parent.trim().parse().ok()?))
    };
    listing.lines().filter_map(parsed).collect()
}

fn has_proc() -> bool {
    Path::new("/proc/self").exists()
}

fn ps(arguments: &[&str]) -> Option<String> {
    let output = Command::new("ps").args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

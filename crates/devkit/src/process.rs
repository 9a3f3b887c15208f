//! Processes that are not our children. Small systems have /proc and no `ps`; macOS has `ps` and no /proc.

use std::{fs, path::Path, process::Command};

use rustix::process::Pid;

/// The arguments that a live process was started with. One that has ended and waits for its parent does not live.
pub(crate) fn arguments(pid: Pid) -> Option<String> {
    let pid = pid.as_raw_nonzero().to_string();
    let text = if has_proc() {
        String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " ")
    } else {
        ps(&["-ww", "-o", "args=", "-p", &pid])?
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
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

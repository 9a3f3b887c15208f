//! A disk that is full while a wheel is unpacked, or while a server is made; and then has space again.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::user::Kind;
use crate::sandbox::{Sandbox, is_mentioned, wait_until};

/// A disk of its own for one directory; a command on it while it is small, and again when it has grown.
///   $1 the directory   $2 its mode   $3 the small size   $4.. the command
const SMALL_DISK: &str = r#"
disk=$1 mode=$2 size=$3
shift 3
mount -t tmpfs -o "mode=$mode,size=$size" tmpfs "$disk" || exit
"$@"
mount -o remount,size=500m tmpfs "$disk"
"$@"
"#;

/// Where nobody but the administrator may mount disks: a limit on each file says no in the same way.
const SHORT_FILES: &str = r#"
shift 3
(trap '' XFSZ; ulimit -f 16000; "$@")
"$@"
"#;

/// What a child says on a small disk, and then on a large one.
fn small_and_large(child: &Command, directory: &Path, mode: &str, size: &str) -> [String; 2] {
    let root = rustix::process::geteuid().is_root();
    let may = |arguments: &[&str]| {
        let asked =
            Command::new("unshare").args(arguments).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let mut script = match root {
        true if may(&["-m"]) => command("unshare", &["-m", "/bin/sh", "-c", SMALL_DISK]),
        false if may(&["-rm"]) => command("unshare", &["-rm", "/bin/sh", "-c", SMALL_DISK]),
        _ => command("/bin/sh", &["-c", SHORT_FILES]),
    };
    script.arg("sh").arg(directory).args([mode, size]);
    if !root && script.get_program() == "unshare" {
        // Not root any more, as whom it has mounted the disk.
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        script.args(["unshare", "-U", &format!("--map-user={user}"), &format!("--map-group={group}")]);
    }
    script.arg(child.get_program()).args(child.get_args());
    for (name, value) in child.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let output = script.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut said = text.lines().filter_map(|line| Some(line.split_once("child says: ")?.1.to_owned()));
    [said.next(), said.next()].map(|said| said.unwrap_or_else(|| panic!("{output:?}")))
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn is_full(said: &str) -> bool {
    said.starts_with("error: ")
        && (said.contains("No space left on device") || said.contains("File too large"))
}

#[test]
fn a_full_cache_is_told_and_the_next_run_unpacks_everything() {
    let sandbox = Sandbox::empty();
    let child = sandbox.child(&Kind::Nats.role("bundled"));
    let [small, large] = small_and_large(&child, &sandbox.cache(), "755", "12m");
    assert!(is_full(&small) && small.contains("set NATS_URL"), "{small}");
    assert!(large.starts_with("nats://"), "{large}");
    wait_until("the server is gone", || sandbox.servers().is_empty());
}

#[tokio::test]
async fn a_full_temporary_directory_is_told_and_the_next_run_starts() {
    let sandbox = Sandbox::with_wheels().await;
    let child = sandbox.child(&Kind::Postgres.role("shared"));
    let [small, large] = small_and_large(&child, &sandbox.temporary(), "1777", "20m");
    assert!(is_full(&small), "{small}");
    assert!(large.starts_with("postgres://"), "{large}");
    wait_until("the server is gone", || !is_mentioned(&sandbox.temporary()));
}

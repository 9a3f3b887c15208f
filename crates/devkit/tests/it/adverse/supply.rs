//! No network, another file than the pinned one, a cache that cannot be written: the error says what would help.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use super::{
    accounts::{Nobody, nobody},
    user::{KINDS, Kind, end},
};
use crate::sandbox::{Sandbox, answer, said};

/// Directories for `PATH` with a pip, and with no server.
fn programs(sandbox: &Sandbox, pip: &str) -> String {
    let programs = sandbox.temporary().join("programs");
    fs::create_dir(&programs).expect("a directory");
    for name in ["id", "mkfifo", "cp"] {
        let known = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(name));
        let program = known.iter().find(|path| path.is_file()).expect("a program of every system");
        symlink(program, programs.join(name)).expect("a link");
    }
    let python = programs.join("python3");
    fs::write(&python, format!("#!/bin/sh\n{pip}\n")).expect("a script");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("our file");
    programs.display().to_string()
}

/// The Python behind the `python3` in `PATH`, which may be a script that needs other programs.
fn real_python() -> String {
    let code = "import sys; print(sys.executable)";
    let output = Command::new("python3").args(["-c", code]).output().expect("Python, which has pip");
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

/// Redis is bundled for one platform only.
fn is_explained(kind: Kind, answer: &str, reason: &str) -> bool {
    let no_bundle = kind == Kind::Redis && answer.contains("Platform");
    let remedies = kind.remedies().iter().all(|remedy| answer.contains(remedy));
    remedies && (answer.contains(reason) || no_bundle)
}

#[test]
fn without_pip_the_error_names_the_remedies() {
    for kind in KINDS {
        let sandbox = Sandbox::empty();
        let mut user = sandbox.child(&kind.role("bundled"));
        user.env("PATH", programs(&sandbox, "exit 1")).env_remove("SHARED_DEVKIT_WHEELS");
        let answer = answer(user);
        assert!(is_explained(kind, &answer, "no working `pip`"), "{answer}");
    }
}

#[test]
fn with_a_cache_that_cannot_be_written_the_error_names_the_remedies() {
    for kind in KINDS {
        let sandbox = Sandbox::empty();
        let mut user = sandbox.child(&kind.role("bundled"));
        user.env("SHARED_DEVKIT_CACHE", "/dev/null/cache");
        let answer = answer(user);
        assert!(is_explained(kind, &answer, "/dev/null/cache"), "{answer}");
    }
}

#[test]
fn without_a_network_the_error_names_the_remedies() {
    let pip = format!("exec '{}' \"$@\"", real_python());
    for kind in KINDS {
        let sandbox = Sandbox::empty();
        let mut user = sandbox.child(&kind.role("bundled"));
        user.env("PATH", programs(&sandbox, &pip))
            .env_remove("SHARED_DEVKIT_WHEELS")
            .env_remove("PIP_FIND_LINKS")
            .env_remove("PIP_EXTRA_INDEX_URL")
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_NO_CACHE_DIR", "1")
            .env("PIP_RETRIES", "0")
            .env("PIP_INDEX_URL", "http://127.0.0.1:9");
        let answer = answer(user);
        assert!(is_explained(kind, &answer, "No matching distribution found"), "{answer}");
    }
}

#[test]
fn a_server_that_is_not_the_pinned_one_is_never_run() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/devkit_sample-1.0-py3-none-any.whl");
    // A pip that hands out one file, whatever was asked for.
    let pip =
        format!("while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && cp '{sample}' \"$2\"; shift; done; exit 0");
    for kind in KINDS {
        let sandbox = Sandbox::empty();
        let mut user = sandbox.child(&kind.role("bundled"));
        user.env("PATH", programs(&sandbox, &pip)).env_remove("SHARED_DEVKIT_WHEELS");
        let answer = answer(user);
        assert!(is_explained(kind, &answer, "Checksum"), "{answer}");
        let wheels = fs::read_dir(sandbox.cache().join("wheels")).into_iter().flatten().flatten();
        assert!(wheels.map(|entry| entry.path()).all(|path| path.is_file()), "nothing is unpacked");
    }
}

#[tokio::test]
async fn a_cache_that_is_filled_may_be_read_only_and_an_empty_one_may_not() {
    let allow = |directory: &Path, mode: u32| {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("our directory");
    };
    for kind in KINDS {
        let filled = Sandbox::with_wheels().await;
        allow(&filled.cache(), 0o555);
        let mut user = nobody(&filled, &kind.role("shared"), Nobody::OwnsTemporary).spawn().expect("a child");
        let url = said(&mut user);
        assert!(url.contains("127.0.0.1"), "{url}");
        end(&filled, [user]);
        allow(&filled.cache(), 0o755);
    }
    let empty = Sandbox::empty();
    allow(&empty.cache(), 0o555);
    let mut user = nobody(&empty, &Kind::Nats.role("bundled"), Nobody::OwnsTemporary);
    user.env("PATH", programs(&empty, "exit 1"));
    let answer = answer(user);
    allow(&empty.cache(), 0o755);
    let explained = is_explained(Kind::Nats, &answer, "PermissionDenied");
    assert!(explained && answer.contains(&empty.cache().display().to_string()), "{answer}");
}

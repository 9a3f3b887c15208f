//! A wheel is unpacked once, whole, and only if it is the pinned one.

use std::{collections::HashSet, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::sandbox::{Sandbox, answer, said};

/// Where the sample lies, in place of a package index.
fn with_sample(mut command: Command) -> Command {
    command.env("SHARED_DEVKIT_WHEELS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    command
}

#[test]
fn thirty_two_processes_on_an_empty_cache_get_the_same_whole_directory() {
    let sandbox = Sandbox::empty();
    let mut children: Vec<_> =
        (0..32).map(|_| with_sample(sandbox.child("wheel")).spawn().expect("a child")).collect();
    let answers: HashSet<_> = children.iter_mut().map(said).collect();
    children.into_iter().for_each(|mut child| assert!(child.wait().expect("our child").success()));

    assert_eq!(answers.len(), 1, "{answers:?}");
    let directory = answers.into_iter().next().expect("an answer");
    let directory = Path::new(&directory);
    let mode = |name: &str| fs::metadata(directory.join(name)).expect(name).permissions().mode() & 0o777;
    assert_eq!(mode("devkit_sample/bin/hello"), 0o755);
    assert_eq!(mode("devkit_sample.libs/library.so"), 0o644);
    let said = Command::new(directory.join("devkit_sample/bin/hello")).output().expect("a program");
    assert_eq!(said.stdout, b"hello\n");

    let mut left: Vec<_> = fs::read_dir(sandbox.cache().join("wheels"))
        .expect("the wheels")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    left.sort();
    let name = directory.file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(left, [name.clone(), format!("{name}.lock")], "nothing half-done is left");
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_not_used() {
    let sandbox = Sandbox::empty();
    let mut command = with_sample(sandbox.child("wrong pin"));
    // The only pip is one that hands out the sample, whatever was asked for.
    let programs = sandbox.temporary().join("programs");
    fs::create_dir(&programs).expect("a directory");
    let pip = programs.join("python3");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/devkit_sample-1.0-py3-none-any.whl");
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --dest ] && cp '{sample}' \"$2\"; shift; done\nexit 0\n"
    );
    fs::write(&pip, script).expect("a script");
    fs::set_permissions(&pip, fs::Permissions::from_mode(0o755)).expect("our file");
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));

    let answer = answer(command);
    assert!(answer.contains("expected 0000; it was not used"), "{answer}");
    let unpacked = fs::read_dir(sandbox.cache().join("wheels")).expect("the wheels");
    assert!(unpacked.flatten().all(|entry| entry.path().is_file()), "only the lock file is left");
}

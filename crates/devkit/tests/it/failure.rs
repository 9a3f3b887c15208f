//! Where nothing works, the error says what would.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::sandbox::{Sandbox, answer};

/// A machine with the programs of every system, and no Python.
fn without_pip(sandbox: &Sandbox) -> String {
    let programs = sandbox.temporary().join("programs");
    fs::create_dir(&programs).expect("a directory");
    for name in ["id", "mkfifo"] {
        let known = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(name));
        let program = known.iter().find(|path| path.is_file()).expect("a program of every system");
        symlink(program, programs.join(name)).expect("a link");
    }
    programs.display().to_string()
}

/// An installed server with pgvector needs neither pip nor cache: then there is nothing to remedy.
fn names_the_remedies(answer: &str) -> bool {
    answer.starts_with("postgres://")
        || ["set DATABASE_URL", "install PostgreSQL", "pip"].iter().all(|remedy| answer.contains(remedy))
}

#[test]
fn without_pip_the_error_names_the_remedies() {
    let sandbox = Sandbox::empty();
    let mut child = sandbox.child("server");
    let path = without_pip(&sandbox);
    child.env("PATH", path).env_remove("SHARED_DEVKIT_WHEELS");
    let answer = answer(child);
    assert!(names_the_remedies(&answer), "{answer}");
    assert!(answer.contains("no working `pip`") || answer.starts_with("postgres://"), "{answer}");
}

#[test]
fn with_a_cache_that_cannot_be_written_the_error_names_the_remedies() {
    let sandbox = Sandbox::empty();
    let mut child = sandbox.child("server");
    child.env("SHARED_DEVKIT_CACHE", "/dev/null/cache");
    let answer = answer(child);
    assert!(names_the_remedies(&answer), "{answer}");
}

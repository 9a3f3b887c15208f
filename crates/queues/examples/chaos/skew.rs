//! Workers whose wall clock is off: a small library is compiled and loaded before all others.

use std::path::{Path, PathBuf};
use std::process::Command;

use shared_devkit::child::Program;

const SOURCE: &str = include_str!("clock.c");

/// A clock for each worker in turn: right, an hour ahead, an hour behind.
pub(crate) struct Clocks {
    libraries: [PathBuf; 2],
}

impl Clocks {
    /// Compiles the libraries into this directory, by the compiler that Rust links with.
    pub(crate) fn make(directory: &Path) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let source = directory.join("clock.c");
        std::fs::write(&source, SOURCE).unwrap();
        let libraries = [("ahead", 3600), ("behind", -3600)].map(|(name, skew)| {
            let library = directory.join(format!("clock_{name}.so"));
            let mut compiler = Command::new("cc");
            compiler.args(["-shared", "-fPIC", "-O1", &format!("-DSKEW={skew}"), "-o"]);
            let made = compiler.arg(&library).arg(&source).status().unwrap();
            assert!(made.success(), "the clock does not compile");
            library
        });
        Self { libraries }
    }

    pub(crate) fn skew(&self, worker: usize, program: Program) -> Program {
        match (worker % 3).checked_sub(1) {
            None => program,
            Some(which) => program.env("LD_PRELOAD", &self.libraries[which]),
        }
    }
}

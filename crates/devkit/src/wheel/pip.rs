//! `pip download`, with nothing left to pip's choice.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Platform, Wheel};
use crate::Error;

/// The names that pip goes by, in the order of how surely they belong to a working Python.
const NAMES: &[&[&str]] = &[&["python3", "-m", "pip"], &["pip3"], &["pip"], &["python", "-m", "pip"]];

/// Binary wheels are taken for this Python on every machine, whatever Python pip itself runs on: only then is there
/// one file, and one hash, per platform.
const PYTHON: &[&str] = &["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"];

/// Downloads the wheel into `directory` and returns the file.
pub(super) fn download(wheel: &Wheel, platform: Platform, directory: &Path) -> Result<PathBuf, Error> {
    let failed = |reason: String| Error::Download { package: wheel.package, version: wheel.version, reason };
    let mut pip = find().ok_or_else(|| failed("no working `pip` in PATH".to_owned()))?;
    let output = pip
        .args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"])
        .args(tags(platform))
        .arg("--dest")
        .arg(directory)
        .arg(format!("{}=={}", wheel.package, wheel.version))
        .stdin(Stdio::null())
        // pip's progress goes where our own notes go; standard output belongs to the program.
        .stdout(std::io::stderr())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| failed(format!("pip did not run: {error}")))?;
    if !output.status.success() {
        return Err(failed(last_line(&output.stderr)));
    }
    let files = fs::read_dir(directory).map_err(Error::file("list", directory))?;
    files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| failed("pip downloaded no wheel".to_owned()))
}

/// The first of pip's names that answers.
fn find() -> Option<Command> {
    NAMES.iter().find_map(|name| {
        let command = || {
            let mut command = Command::new(name[0]);
            command.args(&name[1..]);
            command
        };
        let quiet = command().arg("--version").stdin(Stdio::null()).output();
        quiet.is_ok_and(|output| output.status.success()).then(command)
    })
}

/// The arguments that choose one file of the release.
fn tags(platform: Platform) -> Vec<&'static str> {
    let tags: &[_] = match platform {
        Platform::Any => return vec!["--platform", "any"],
        // pip takes a tag at its word: wheels made for older systems have to be asked for.
        Platform::LinuxX86_64 => &["manylinux_2_28_x86_64", "manylinux_2_17_x86_64"],
        Platform::LinuxArm64 => &["manylinux_2_28_aarch64", "manylinux_2_17_aarch64"],
        Platform::MacX86_64 => &["macosx_13_0_x86_64"],
        Platform::MacArm64 => &["macosx_13_0_arm64"],
    };
    let platforms = tags.iter().flat_map(|tag| ["--platform", tag]);
    platforms.chain(PYTHON.iter().copied()).collect()
}

/// What a program said last: for pip that is the reason.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason").trim().to_owned()
}

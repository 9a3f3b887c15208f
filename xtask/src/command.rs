//! Running other programs from the root of the workspace.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The root of the workspace: the directory above this package's.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// A program that runs at the root, as if its user had started it there.
///
/// Cargo describes this package to us in the environment. Handed on, those variables would tell build scripts that
/// their surroundings changed, and the check and a plain `cargo test` would rebuild each other's dependencies.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).args(arguments);
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(|v| v.starts_with("CARGO_PKG_") || v.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(variable);
        }
    }
    command
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    program("cargo", arguments)
}

/// Shows the command, runs it on our terminal, and fails as it fails.
pub(crate) fn run(command: &mut Command) -> Result {
    println!("$ {}", line(command));
    let status = command.status().map_err(|error| could_not_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command)).into()) }
}

/// What a command prints on standard output, for one that talks to us and not to the user.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| could_not_start(command, &error))?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{}` ended with {}: {}", line(command), output.status, said.trim()).into())
    }
}

pub(crate) fn could_not_start(command: &Command, error: &std::io::Error) -> String {
    format!("could not start `{}`: {error}", line(command))
}

/// The command as one would type it at the root; programs that we installed go by their name.
pub(crate) fn line(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        assert_eq!(line(&program("/opt/bin/cargo-deny", &["check", "bans"])), "cargo-deny check bans");
    }

    #[test]
    fn a_failing_command_is_named_in_its_error() {
        let error = output(&mut cargo(&["no-such-command"])).unwrap_err().to_string();
        assert!(error.contains("cargo no-such-command"), "{error}");
    }

    #[test]
    fn cargos_description_of_this_package_is_not_handed_on() {
        let removed = cargo(&[]).get_envs().any(|(name, value)| name == "CARGO_PKG_NAME" && value.is_none());
        assert!(removed);
    }
}

//! Which account runs the servers: the user's own, or for root an unprivileged one, because PostgreSQL refuses root.

use std::{
    ffi::OsStr,
    os::unix::{fs::MetadataExt, fs::chown, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use crate::Error;

/// The accounts that root's servers may run as, the most fitting first.
const UNPRIVILEGED: &[&str] = &["postgres", "nobody"];

/// The account that owns the servers' files and runs their programs.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// `None`: the servers run as the user does.
    switch: Option<Switch>,
}

#[derive(Debug, Clone)]
struct Switch {
    name: &'static str,
    user: u32,
    group: u32,
}

/// The user who runs this program.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Account {
    /// The account for servers started by this process.
    pub(crate) fn of_servers() -> Result<Account, Error> {
        if user() != 0 {
            return Ok(Account { switch: None });
        }
        let known =
            |name: &&'static str| Some(Switch { name, user: id("-u", name)?, group: id("-g", name)? });
        match UNPRIVILEGED.iter().find_map(known) {
            Some(switch) => Ok(Account { switch: Some(switch) }),
            None => Err(Error::Program {
                program: "id -u nobody".to_owned(),
                reason: "root needs an unprivileged account to run PostgreSQL".to_owned(),
            }),
        }
    }

    /// A command that runs under the account, detached from this program's terminal and streams.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // The caller's directory may be closed to the account, and its language is not the one we read.
        command
            .current_dir("/")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(switch) = &self.switch {
            command.uid(switch.user).gid(switch.group);
        }
        command
    }

    /// Gives a file to the account.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        match &self.switch {
            Some(switch) => {
                chown(path, Some(switch.user), Some(switch.group)).map_err(Error::file("chown", path))
            }
            None => Ok(()),
        }
    }

    /// The numeric id of the account's user.
    pub(crate) fn user(&self) -> u32 {
        self.switch.as_ref().map_or_else(user, |switch| switch.user)
    }

    /// The first directory on the way to `path` that the account may not pass. The user's own account passes: where
    /// it does not, the attempt itself says so.
    pub(crate) fn barrier<'a>(&self, path: &'a Path) -> Option<(&'a Path, &'static str)> {
        let switch = self.switch.as_ref()?;
        let closed = |directory: &&Path| {
            directory.metadata().is_ok_and(|metadata| {
                let class = match (metadata.uid() == switch.user, metadata.gid() == switch.group) {
                    (true, _) => 0o100,
                    (_, true) => 0o010,
                    _ => 0o001,
                };
                metadata.is_dir() && metadata.mode() & class == 0
            })
        };
        path.ancestors().find(closed).map(|directory| (directory, switch.name))
    }
}

/// A number of an account, asked of `id`, which knows directories of accounts other than `/etc/passwd`.
fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([which, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

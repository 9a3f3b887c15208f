//! The keeper of an instance: a shell script that waits at a pipe and stops the server after its last user.
//!
//! A script, because it outlives every program that uses devkit, and needs no program of ours to be built.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::{fs::OFlags, io::Errno};

use crate::{Error, site::Site, software::Software};

const SCRIPT: &str = include_str!("keeper.sh");

/// Being a user of an instance: the writing end of the keeper's pipe. Ends when dropped, or with the process.
#[derive(Debug)]
pub(crate) struct Presence {
    pipe: File,
}

impl Presence {
    /// Becomes a user. `None` where no keeper waits at the pipe.
    pub(crate) fn join(instance: &Path) -> Result<Option<Presence>, Error> {
        let pipe = pipe(instance);
        // Without a reader, opening without blocking fails: that is how a dead keeper shows.
        let joined = writer().open(&pipe).and_then(|pipe| {
            let mut presence = Presence { pipe };
            presence.say("user").map(|()| presence)
        });
        match joined {
            Ok(presence) => Ok(Some(presence)),
            Err(error) if nobody_listens(&error) => Ok(None),
            Err(error) => Err(Error::file("open the pipe", &pipe)(error)),
        }
    }

    /// Tells the keeper to stop the server now, whoever uses it.
    pub(crate) fn stop(mut self) -> Result<(), io::Error> {
        self.say("stop")
    }

    fn say(&mut self, word: &str) -> io::Result<()> {
        self.pipe.write_all(format!("{word}\n").as_bytes())
    }
}

/// Whether a keeper waits at the instance's pipe.
pub(crate) fn is_alive(instance: &Path) -> bool {
    writer().open(pipe(instance)).is_ok()
}

/// Whether anybody holds the writing end of the pipe of an instance without a keeper: to read from it would wait then,
/// and ends at once where nobody does.
pub(crate) fn has_users(instance: &Path) -> bool {
    let mut options = File::options();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options.open(pipe(instance)).is_ok_and(|mut pipe| !matches!(pipe.read(&mut [0; 64]), Ok(0)))
}

/// Starts a keeper and becomes its first user, so that it has somebody to wait for.
pub(crate) fn spawn(
    site: &Site,
    software: &dyn Software,
    linger: Duration,
    keep_data: bool,
) -> Result<Presence, Error> {
    let (instance, account) = (site.directory.as_path(), &site.account);
    let path = pipe(instance);
    if !path.exists() {
        make_pipe(&path)?;
        account.own(&path)?;
    }
    site.write("keeper.sh", SCRIPT)?;
    let script = site.path("keeper.sh");
    let attempt = || Error::file("open the pipe", &path);
    // Either end alone would wait for the other.
    let _both = File::options().read(true).write(true).open(&path).map_err(attempt())?;
    let input = File::open(&path).map_err(attempt())?;
    let status = account
        .command("/bin/sh")
        .args([&script, instance])
        .arg(linger.as_secs().to_string())
        .arg(if keep_data { "keep" } else { "delete" })
        .arg(software.stop_signal(keep_data))
        .args(software.pid_files())
        .stdin(Stdio::from(input))
        // Control-C in the terminal is for the program, not for the server that others may use.
        .process_group(0)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failed(format!("it ended with {status}"))),
        Err(error) => return Err(failed(error.to_string())),
    }
    Presence::join(instance)?.ok_or_else(|| failed("it ended at once".to_owned()))
}

fn failed(reason: String) -> Error {
    Error::Program { program: "/bin/sh".to_owned(), reason }
}

/// `mkfifo` is a program everywhere and a safe function almost nowhere.
fn make_pipe(path: &Path) -> Result<(), Error> {
    let output = Command::new("mkfifo").args(["-m", "600"]).arg(path).output();
    let reason = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::Program { program: "mkfifo".to_owned(), reason })
}

fn pipe(instance: &Path) -> PathBuf {
    instance.join("users")
}

fn writer() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}

fn nobody_listens(error: &io::Error) -> bool {
    let gone =
        [Errno::NXIO, Errno::NOENT].iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()));
    gone || error.kind() == ErrorKind::BrokenPipe
}

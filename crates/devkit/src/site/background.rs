//! A program that knows no way into the background itself: started as nobody's child, watched by its id.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
};

use super::{Site, end_of, wait_until};
use crate::Error;

/// Holds the id of the process that has answered.
const READY: &str = "ready";
/// More than any start says.
const MOST_SAID: u64 = 1 << 20;
/// The shell leaves the program behind, so that it belongs to nobody. A server without its id on the disk could never
/// be stopped.
const LEAVE_BEHIND: &str = r#""$@" & echo $! >"$0" || { kill -s KILL $!; exit 1; }"#;

impl Site {
    /// Starts a program with its settings file, and returns when it is a process of its own. What it says goes to the
    /// log, its id to a file.
    pub(crate) fn launch(&self, command: &[&Path], pid_file: &str) -> Result<(), Error> {
        let _ = fs::remove_file(self.path(READY));
        self.turn_log();
        self.write("log", "")?;
        let log = self.log();
        let open = || File::options().append(true).open(&log).map_err(Error::file("open", &log));
        let status = self
            .account
            .command("/bin/sh")
            .args(["-c", LEAVE_BEHIND])
            .arg(self.path(pid_file))
            .args(command)
            .stdout(open()?)
            .stderr(open()?)
            // Control-C in the terminal is for the program, not for the server that others may use.
            .process_group(0)
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(self.failed("start", end_of(&self.said()))),
            Err(error) => Err(self.failed("start", error.to_string())),
        }
    }

    /// Whether the process of the file has answered. It is not asked again: that would make one look dead that is only
    /// paused.
    pub(crate) fn is_ready(&self, pid_file: &str) -> bool {
        let ready = self.read(READY).unwrap_or_default();
        self.process(pid_file).is_some_and(|pid| pid.as_raw_nonzero().to_string() == ready)
    }

    /// Waits until the process of the file answers, or has before. `false` where it has ended, or none was started.
    pub(crate) fn comes_up(&self, pid_file: &str, answers: impl Fn() -> bool) -> Result<bool, Error> {
        let marked = || answers() && self.read(pid_file).and_then(|pid| self.write(READY, &pid)).is_ok();
        let decided = wait_until(|| self.process(pid_file).is_none() || self.is_ready(pid_file) || marked());
        if decided {
            Ok(self.is_ready(pid_file))
        } else {
            Err(self.failed("start", "it does not answer within a minute".to_owned()))
        }
    }

    /// What the server has said since its start.
    pub(crate) fn said(&self) -> String {
        let mut text = Vec::new();
        let _ = File::open(self.log()).and_then(|file| file.take(MOST_SAID).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }
}

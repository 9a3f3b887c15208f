//! Sees to it that no child outlives its handle or its test process.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{self, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::Error;

/// Waits at a pipe that the kernel closes when the test process ends, however it does, and kills its own process group.
/// Outside the child, because a child that is stopped could not do it. The kernel hangs up on a process group that has lost
/// its parent while one of it was stopped: that does not end the guard.
const SCRIPT: &str = "trap '' HUP INT TERM; read -r _; rm -rf -- \"$1\"; kill -s KILL 0";

/// The leader of a process group that every life of the child is born into.
#[derive(Debug)]
pub(super) struct Guard {
    process: process::Child,
}

impl Guard {
    /// Starts one. It also removes `directory` if it has to act.
    pub(super) fn start(directory: &Path) -> Result<Guard, Error> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "guard"]).arg(directory).current_dir("/").process_group(0);
        let process =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(
                |error| Error::Program { program: "/bin/sh".to_owned(), reason: error.to_string() },
            )?;
        Ok(Guard { process })
    }

    /// Lets a command's process be born into the group.
    pub(super) fn adopt(&self, command: &mut Command) {
        command.process_group(self.process.id().cast_signed());
    }

    /// Kills everything in the group. Until the guard is collected, no other group can have its number.
    pub(super) fn kill_group(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill_group();
        let _ = self.process.wait();
    }
}

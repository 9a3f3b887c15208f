//! What is run as a child, and how.

use std::{
    env,
    ffi::OsStr,
    fmt, io,
    path::PathBuf,
    process::{self, Command, Stdio},
    time::Duration,
};

use super::guard::Guard;
use super::output::Output;
use super::records::{Action, DIRECTORY, FAULTS, Fault, Place};
use super::{Child, Kill};
use crate::Error;

const PATIENCE: Duration = Duration::from_secs(60);

/// A binary or a test function, with what it is given, and what is to happen to it. [`start`](Self::start) starts it.
///
/// It inherits the environment and the directory of the test; its standard input is empty.
///
/// ```no_run
/// # async fn run() -> Result<(), shared_devkit::Error> {
/// use shared_devkit::child::Child;
///
/// let mut server = Child::program("/usr/bin/server").arg("--verbose").env("PORT", "0").start()?;
/// let line = server.line("listening on ").await?;
/// server.terminate()?;
/// assert!(server.ended().await?.success());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "it runs when it is started"]
pub struct Program {
    /// The name of the test, or of the file.
    name: String,
    is_test_function: bool,
    command: Command,
    kill: Option<Kill>,
    holds: Vec<Fault>,
    patience: Duration,
}

impl Program {
    pub(super) fn binary(path: PathBuf) -> Program {
        let name = path.file_name().map_or_else(|| path.to_string_lossy(), OsStr::to_string_lossy);
        Program::new(name.into_owned(), false, Command::new(&path))
    }

    pub(super) fn test_function(name: String) -> Program {
        // Where the system does not tell, `start` says so.
        let mut command = Command::new(env::current_exe().unwrap_or_default());
        command.args(["--exact", &name, "--nocapture"]);
        Program::new(name, true, command)
    }

    fn new(name: String, is_test_function: bool, command: Command) -> Program {
        Program { name, is_test_function, command, kill: None, holds: Vec::new(), patience: PATIENCE }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Program {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Program {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.command.env(name, value);
        self
    }

    /// Lets it be killed; [`Child::killed`] waits for that.
    pub fn kill(mut self, kill: impl Into<Kill>) -> Program {
        self.kill = Some(kill.into());
        self
    }

    /// Lets it be held at the nth arrival at a point, counted from 1; [`Child::held`] waits for that. It may be held at
    /// several, and killed besides.
    pub fn hold(mut self, point: &str, nth: u64) -> Program {
        self.holds.push(Fault { action: Action::Hold, nth: nth.max(1), point: point.to_owned() });
        self
    }

    /// How long each wait of the [`Child`] may take. By default it is a minute: far beyond what any step takes on a busy
    /// machine, and short enough to see the test fail.
    pub fn patience(mut self, longest: Duration) -> Program {
        self.patience = longest;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Program`] if the binary can't be run, [`Error::File`].
    pub fn start(mut self) -> Result<Child, Error> {
        let place = Place::new()?;
        let (guard, mut output) = (Guard::start(place.directory())?, Output::default());
        let process = self.spawn(&place, &guard, &mut output)?;
        Ok(Child { program: self, place, guard, process, output, ended: None, holds: 0 })
    }

    pub(super) fn spawn(
        &mut self,
        place: &Place,
        guard: &Guard,
        output: &mut Output,
    ) -> Result<process::Child, Error> {
        let name = self.name.clone();
        let failed = |error: io::Error| Error::Program { program: name.clone(), reason: error.to_string() };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let second = writer.try_clone().map_err(failed)?;
        let faults = self.faults();
        self.command.env(DIRECTORY, place.directory()).env(FAULTS, faults);
        self.command.stdin(Stdio::null()).stdout(writer).stderr(second);
        guard.adopt(&mut self.command);
        let spawned = self.command.spawn();
        // The command would keep the pipe open.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = spawned.map_err(failed)?;
        output.listen(reader);
        Ok(process)
    }

    fn faults(&self) -> String {
        let point = self.kill.as_ref().and_then(Kill::point);
        let kill = point.map(|(point, nth)| Fault { action: Action::Kill, nth, point: point.to_owned() });
        self.holds.iter().chain(&kill).map(Fault::line).collect()
    }

    pub(super) fn armed(&self) -> Option<&Kill> {
        self.kill.as_ref()
    }

    /// From here on nothing happens to it.
    pub(super) fn disarm(&mut self) {
        self.kill = None;
        self.holds.clear();
    }

    pub(super) fn is_test_function(&self) -> bool {
        self.is_test_function
    }

    pub(super) fn longest_wait(&self) -> Duration {
        self.patience
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        self.kill.as_ref().map_or(Ok(()), |kill| write!(f, " (to be killed: {kill})"))
    }
}

//! Where one server lives: its directory, the account that runs it, and the processes that its files name.

mod background;

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, account::Account, process};

/// Starting includes crash recovery, stopping a last checkpoint; both are seconds for test data.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A server is up some milliseconds after its start: a test should not wait longer for it than it takes.
const GLANCE: Duration = Duration::from_millis(5);
/// The processes that a test has stopped with SIGSTOP; the keeper wakes them before it ends them.
const PAUSED: &str = "paused";

/// The directory of a server. Everything in it is done by the one who holds the instance's lock.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) account: Account,
    /// Whether what the server has acknowledged survives the machine's crash; that of a throw-away server need not.
    pub(crate) durable: bool,
    /// Whether the data outlives the users.
    pub(crate) kept: bool,
}

impl Site {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What the server tells of itself.
    pub(crate) fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// One log for each start, the last two kept: a log of years has no bound.
    pub(crate) fn turn_log(&self) {
        let _ = fs::rename(self.log(), self.path("log.old"));
    }

    pub(crate) fn read(&self, name: &str) -> Result<String, Error> {
        let path = self.path(name);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        Ok(text.trim().to_owned())
    }

    /// Writes a file that only the account may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path(name);
        let attempt = || Error::file("write", &path);
        let mut options = fs::File::options();
        let mut file =
            options.mode(0o600).write(true).create(true).truncate(true).open(&path).map_err(attempt())?;
        file.write_all(text.as_bytes()).map_err(attempt())?;
        self.account.own(&path)
    }

    /// The port that the server listens on, or listened on last.
    pub(crate) fn port(&self) -> Option<u16> {
        self.read("port").ok()?.parse().ok()
    }

    /// The server's password, made with its first start.
    pub(crate) fn password(&self) -> Result<String, Error> {
        self.read("password")
    }

    /// The live process whose id is in the first line of a file. Its arguments tell it from another one that got the
    /// id later: every server is started with a path in its directory.
    pub(crate) fn process(&self, pid_file: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.path(pid_file)).ok()?;
        let pid = text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)?;
        let arguments = process::arguments(pid)?;
        arguments.contains(&self.directory.display().to_string()).then_some(pid)
    }

    /// The live processes of these files, each once.
    fn processes(&self, pid_files: &[&str]) -> Vec<Pid> {
        let mut pids: Vec<_> = pid_files.iter().filter_map(|file| self.process(file)).collect();
        pids.dedup();
        pids
    }

    /// Kills the processes of these files and their children with SIGKILL, and waits until they are gone.
    pub(crate) fn kill(&self, pid_files: &[&str]) -> Result<(), Error> {
        // Stopped, they start no more of them while they are counted.
        let doomed = self.signal_all(pid_files, Signal::STOP);
        signal(&doomed, Signal::KILL);
        let _ = fs::remove_file(self.path(PAUSED));
        wait_until(|| doomed.iter().all(|pid| process::has_ended(*pid)))
            .then_some(())
            .ok_or_else(|| self.failed("kill", "some of its processes live on".to_owned()))
    }

    /// Stops the processes of these files and their children with SIGSTOP.
    pub(crate) fn pause(&self, pid_files: &[&str]) -> Result<(), Error> {
        let stopped = self.signal_all(pid_files, Signal::STOP);
        let lines: String = stopped.iter().map(|pid| format!("{}\n", pid.as_raw_nonzero())).collect();
        self.write(PAUSED, &lines)
    }

    /// Wakes the processes that [`Site::pause`] has stopped, with SIGCONT.
    pub(crate) fn resume(&self) {
        let lines = self.read(PAUSED).unwrap_or_default();
        let paused: Vec<_> =
            lines.lines().filter_map(|line| line.trim().parse().ok().and_then(Pid::from_raw)).collect();
        signal(&paused, Signal::CONT);
        let _ = fs::remove_file(self.path(PAUSED));
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.path(PAUSED).exists()
    }

    /// Sends a signal to the processes of these files alone, and waits until they have ended.
    pub(crate) fn end(&self, pid_files: &[&str], by: Signal) -> Result<(), Error> {
        let pids = self.processes(pid_files);
        signal(&pids, by);
        wait_until(|| pids.iter().all(|pid| process::has_ended(*pid)))
            .then_some(())
            .ok_or_else(|| self.failed("stop", "it is still up after a minute".to_owned()))
    }

    /// Cuts bytes off the end of a file, as a crash in the middle of a write does. Not while a process of these files lives.
    pub(crate) fn truncate(&self, path: &Path, bytes: u64, pid_files: &[&str]) -> Result<(), Error> {
        if pid_files.iter().any(|file| self.process(file).is_some()) {
            return Err(self.failed("truncate a file of", "it runs; kill or stop it first".to_owned()));
        }
        let cut = || {
            let file = fs::File::options().write(true).open(path)?;
            file.set_len(file.metadata()?.len().saturating_sub(bytes))
        };
        cut().map_err(Error::file("truncate", path))
    }

    /// Parents first, so that no child is missed.
    fn signal_all(&self, pid_files: &[&str], sent: Signal) -> Vec<Pid> {
        let parents = self.processes(pid_files);
        signal(&parents, sent);
        let children: Vec<_> = parents.iter().flat_map(|parent| process::children(*parent)).collect();
        signal(&children, sent);
        [parents, children].concat()
    }

    pub(crate) fn failed(&self, attempted: &'static str, reason: String) -> Error {
        Error::Server { attempted, directory: self.directory.clone(), reason }
    }
}

/// One that has ended meanwhile needs no signal.
fn signal(pids: &[Pid], sent: Signal) {
    for pid in pids {
        let _ = kill_process(*pid, sent);
    }
}

/// Looks again and again until it is so, or patience ends. Says whether it is so.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(GLANCE);
    }
    true
}

/// The last lines of what a program said, and before them its first that tells of an end: more may follow from it than
/// these lines hold.
pub(crate) fn end_of(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let (before, end) = lines.split_at(lines.len().saturating_sub(4));
    let first = before.iter().find(|line| line.contains("FATAL") || line.contains("PANIC"));
    let told: Vec<_> = first.into_iter().chain(end).copied().collect();
    if told.is_empty() { "it gave no reason".to_owned() } else { told.join(" | ") }
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

pub(crate) fn free_port() -> Result<u16, Error> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(Error::file("find a free port on", Path::new("127.0.0.1")))
}

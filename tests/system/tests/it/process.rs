//! A program of somebody else, in a directory of its own, which ends with the test.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use system_tests::Program;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

/// Far beyond what any of the programs needs to start or to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a condition that nobody announces.
const PAUSE: Duration = Duration::from_millis(50);

/// A directory for a program's files, and the account that owns it: where root runs the tests, not root, since servers
/// refuse it.
pub(crate) struct Place {
    directory: TempDir,
    account: Option<(u32, u32)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let account = (id("-u", &[]) == 0).then(|| (id("-u", &["nobody"]), id("-g", &["nobody"])));
        if let Some((user, group)) = account {
            chown(directory.path(), Some(user), Some(group)).expect("the directory is given away");
        }
        Self { directory, account }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file that the program may read.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect(name);
        if let Some((user, group)) = self.account {
            chown(&path, Some(user), Some(group)).expect(name);
        }
        path
    }

    /// A command that runs here, under the account.
    pub(crate) fn command(&self, program: &Program) -> tokio::process::Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program.path());
        command.current_dir(self.path()).env("HOME", self.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        command
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    _place: Place,
}

impl Server {
    /// Starts the command of this place. What it says is shown when it fails.
    pub(crate) fn start(mut command: tokio::process::Command, place: Place) -> Self {
        let log = place.path().join("said");
        let file = File::create(&log).expect("a log");
        command.stdout(file.try_clone().expect("a log")).stderr(file);
        Self { child: command.spawn().expect("the program starts"), log, _place: place }
    }

    /// Waits until the look finds something, and fails once the server has ended.
    pub(crate) async fn until<T>(&mut self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let ended = self.child.try_wait().expect("a child of ours");
            let said = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(ended.is_none(), "{what}: the server ended with {ended:?}: {}", said());
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}: {}", said());
            sleep(PAUSE).await; // a condition is polled
        }
    }
}

/// Runs a command to its end: whether it succeeded, and all that it said.
pub(crate) async fn run(command: &mut tokio::process::Command) -> (bool, String) {
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.expect("the program ends in time").expect("the program starts");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn id(which: &str, name: &[&str]) -> u32 {
    let output = Command::new("id").arg(which).args(name).output().expect("`id` runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("the account `nobody`")
}

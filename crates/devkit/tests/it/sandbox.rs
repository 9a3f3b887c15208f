//! A corner of the file system where a test's child processes find an own cache and an own temporary directory.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use shared_devkit::{Instance, Nats, Postgres, Redis};

pub(crate) struct Sandbox {
    root: PathBuf,
}

impl Sandbox {
    /// With an empty cache.
    pub(crate) fn empty() -> Sandbox {
        let root = env::temp_dir().join(format!("devkit test {}", uuid::Uuid::new_v4().simple()));
        for directory in [root.clone(), root.join("cache"), root.join("tmp")] {
            fs::create_dir(&directory).expect("a fresh directory");
            // The servers of root run under another account.
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("our directory");
        }
        Sandbox { root }
    }

    /// With the wheels that this user has already, and nothing else.
    pub(crate) async fn with_wheels() -> Sandbox {
        let sandbox = Sandbox::empty();
        // A child of another account cannot add to them.
        let filled = tokio::join!(Postgres::shared(), Redis::shared(), Nats::shared());
        assert!(filled.0.is_ok() && filled.1.is_ok() && filled.2.is_ok(), "{filled:?}");
        let instance = Instance::postgres("any").expect("a cache");
        let wheels = instance.directory().ancestors().nth(2).expect("the cache").join("wheels");
        if wheels.is_dir() {
            symlink(wheels, sandbox.cache().join("wheels")).expect("a link");
        }
        sandbox
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The directories of servers in the sandbox's temporary directory.
    pub(crate) fn servers(&self) -> Vec<PathBuf> {
        let users = list(&self.temporary());
        users.iter().flat_map(|user| list(user)).filter(|path| path.is_dir()).collect()
    }

    /// The environment of its processes: its own places, and no server of the user's own.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 6] {
        [
            ("DATABASE_URL", PathBuf::new()),
            ("NATS_URL", PathBuf::new()),
            ("REDIS_URL", PathBuf::new()),
            ("SHARED_DEVKIT_CACHE", self.cache()),
            ("SHARED_DEVKIT_LINGER", "1".into()),
            ("TMPDIR", self.temporary()),
        ]
    }

    fn adopt(&self, mut command: Command) -> Command {
        command.envs(self.environment()).stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// This test binary in another process, which plays a role of `child.rs`.
    pub(crate) fn child(&self, role: &str) -> Command {
        self.child_of(&env::current_exe().expect("this test binary"), role)
    }

    /// As [`Sandbox::child`], of a copy of this test binary.
    pub(crate) fn child_of(&self, program: &Path, role: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(["--exact", "child::the_shared_server_answers", "--nocapture"])
            .env("DEVKIT_ROLE", role)
            .stderr(Stdio::null());
        self.adopt(command)
    }

    /// The program `shared-devkit`.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shared-devkit"));
        command.args(arguments).stderr(Stdio::piped());
        self.adopt(command)
    }
}

impl Drop for Sandbox {
    /// A server would outlive the directory, and nobody could find it any more.
    fn drop(&mut self) {
        if !thread::panicking() {
            wait_until("no process of the sandbox is left", || !is_mentioned(&self.root));
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// What a child says to its parent, once it has.
pub(crate) fn said(child: &mut Child) -> String {
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let said = find_said(output.by_ref());
    // Closed, it would fail the child's next line.
    child.stdout = Some(output.into_inner());
    said
}

/// What a child says that then ends by itself.
pub(crate) fn answer(mut command: Command) -> String {
    find_said(command.output().expect("a child").stdout.as_slice())
}

fn find_said(output: impl BufRead) -> String {
    let lines = output.lines().map_while(Result::ok);
    let said = lines.filter_map(|line| Some(line.split_once("child says: ")?.1.to_owned())).next();
    said.expect("the child to say something")
}

/// Kills a child as a crash would.
pub(crate) fn kill(mut child: Child) {
    child.kill().expect("our child");
    child.wait().expect("our child");
}

pub(crate) fn kill_id(id: i32) {
    kill_process(Pid::from_raw(id).expect("an id"), Signal::KILL).expect("a process to kill");
}

/// The postmaster of the server in a directory.
pub(crate) fn postmaster(directory: &Path) -> i32 {
    process_id(&directory.join("data/postmaster.pid"))
}

/// The process whose id is in the first line of a file.
pub(crate) fn process_id(file: &Path) -> i32 {
    let text = fs::read_to_string(file).expect("a server that runs");
    text.lines().next().expect("an id").parse().expect("an id")
}

/// The keeper of the server in a directory.
pub(crate) fn keeper(directory: &Path) -> i32 {
    let script = directory.join("keeper.sh").display().to_string();
    let processes = processes();
    let (id, _) = processes.iter().find(|(_, command)| command.contains(&script)).expect("a keeper");
    *id
}

/// Whether a process has the directory among its arguments, as the server and its keeper have.
pub(crate) fn is_mentioned(directory: &Path) -> bool {
    let directory = directory.display().to_string();
    processes().iter().any(|(_, command)| command.contains(&directory))
}

/// Whether a process lives. One that has ended and was not collected has no arguments any more.
#[cfg(feature = "faults")]
pub(crate) fn is_alive(id: i32) -> bool {
    processes().iter().any(|(found, command)| *found == id && !command.is_empty())
}

/// Every process with its arguments. Small systems have /proc and no `ps`; macOS has `ps` and no /proc.
fn processes() -> Vec<(i32, String)> {
    if Path::new("/proc/self").exists() {
        let id = |path: &Path| path.file_name()?.to_str()?.parse().ok();
        let command = |path: &Path| fs::read(path.join("cmdline")).ok();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
        return list(Path::new("/proc"))
            .iter()
            .filter_map(|path| Some((id(path)?, text(command(path)?))))
            .collect();
    }
    let output = Command::new("ps").args(["-axww", "-o", "pid=", "-o", "args="]).output().expect("ps");
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let parsed = |line: &str| {
        let (id, command) = line.trim().split_once(' ')?;
        Some((id.parse().ok()?, command.to_owned()))
    };
    listing.lines().filter_map(parsed).collect()
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited a minute until {what}");
        thread::sleep(Duration::from_millis(20)); // a condition is polled
    }
}

fn list(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

//! One PostgreSQL server in one directory: initialise, start, look after, kill.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{Error, account::Account, installation::Installation, process};

/// Starting includes crash recovery, stopping a last checkpoint; both are seconds for test data.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(20);
/// Between choosing a free port and listening on it another program may take it.
const PORT_ATTEMPTS: usize = 5;
/// Our part of the configuration, a file beside the one that `initdb` wrote.
const SETTINGS: &str = "devkit.conf";

/// The files and the process of a server. Everything is done by the one who holds the instance's lock.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The instance's directory.
    pub(crate) directory: PathBuf,
    pub(crate) account: Account,
    /// Whether commits survive the machine's crash; those of a throw-away server need not.
    pub(crate) durable: bool,
}

impl Server {
    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The major version that wrote the data, where there is any.
    pub(crate) fn major(&self) -> Option<u32> {
        fs::read_to_string(self.data().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The superuser's URL of the maintenance database.
    pub(crate) fn url(&self) -> Result<String, Error> {
        let port = self.read("port")?;
        Ok(format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", self.password()?))
    }

    /// The superuser's password, made with the cluster.
    pub(crate) fn password(&self) -> Result<String, Error> {
        self.read("password")
    }

    fn read(&self, name: &str) -> Result<String, Error> {
        let path = self.directory.join(name);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        Ok(text.trim().to_owned())
    }

    /// The port that it listens on, or listened on last.
    pub(crate) fn port(&self) -> Option<u16> {
        self.read("port").ok()?.parse().ok()
    }

    /// Whether the server runs and has come up.
    pub(crate) fn is_running(&self) -> bool {
        self.postmaster().is_some_and(|postmaster| postmaster.ready)
    }

    /// Brings the server up, from whatever state its last user or a crash has left.
    pub(crate) fn ensure_running(&self, installation: &Installation) -> Result<(), Error> {
        // Whoever began to start it may have been killed meanwhile; the server comes up all the same.
        wait_until(|| self.postmaster().is_none_or(|postmaster| postmaster.ready));
        if self.is_running() {
            return Ok(());
        }
        if self.major().is_none() {
            self.initialise(installation)?;
        }
        let mut port = self.port().filter(|port| is_free(*port));
        let mut reason = String::new();
        for _ in 0..PORT_ATTEMPTS {
            self.configure(port.take().map_or_else(free_port, Ok)?)?;
            match self.start(installation)? {
                Started::Yes => return Ok(()),
                Started::PortTaken => "no free port".clone_into(&mut reason),
                Started::No(why) => {
                    reason = why;
                    break;
                }
            }
        }
        Err(self.failed("start", reason))
    }

    /// Makes an empty cluster. A cluster that was interrupted half-way is never used.
    fn initialise(&self, installation: &Installation) -> Result<(), Error> {
        let (password, fresh) = (self.directory.join("password"), self.directory.join("data.new"));
        let _ = fs::remove_dir_all(&fresh);
        self.write("password", &uuid::Uuid::new_v4().simple().to_string())?;
        let mut initdb = self.account.command(installation.program("initdb"));
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        if installation.major >= 17 {
            // Unicode's rules for letters, the same on every system, without a collation library.
            initdb.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
        }
        if !self.durable {
            initdb.arg("--no-sync");
        }
        initdb.arg("--pwfile").arg(password).arg("--pgdata").arg(&fresh);
        run(&mut initdb, "initdb")?;
        let settings = fresh.join("postgresql.conf");
        let include = |mut file: fs::File| writeln!(file, "include '{SETTINGS}'");
        fs::File::options()
            .append(true)
            .open(&settings)
            .and_then(include)
            .map_err(Error::file("write", &settings))?;
        fs::rename(&fresh, self.data()).map_err(Error::file("create", &self.data()))
    }

    /// Writes our settings anew, so that an older server gets the present ones.
    fn configure(&self, port: u16) -> Result<(), Error> {
        self.write("port", &port.to_string())?;
        let durable = if self.durable { "on" } else { "off" };
        // Connections: 32 test processes with a small pool each, and one session for each test's database.
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n\
             max_connections = 300\nshared_buffers = '128MB'\n\
             fsync = {durable}\nfull_page_writes = {durable}\n\
             timezone = 'UTC'\nlog_timezone = 'UTC'\n"
        );
        self.write(&format!("data/{SETTINGS}"), &settings)
    }

    /// Starts the postmaster and waits until it takes connections.
    fn start(&self, installation: &Installation) -> Result<Started, Error> {
        self.forget_the_dead();
        let (log, old) = (self.directory.join("log"), self.directory.join("log.old"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            // One log for each start, the last two kept: a log of years has no bound.
            let _ = fs::rename(&log, &old);
            let status = self
                .account
                .command(installation.program("pg_ctl"))
                .args(["start", "--wait", "--timeout", &PATIENCE.as_secs().to_string(), "--pgdata"])
                .arg(self.data())
                .arg("--log")
                .arg(&log)
                .status()
                .map_err(|error| self.failed("start", error.to_string()))?;
            if status.success() {
                return Ok(Started::Yes);
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            // The processes of a killed postmaster take a moment to notice, and the next one waits for them.
            let stragglers = said.contains("still in use");
            if said.contains("could not bind") {
                return Ok(Started::PortTaken);
            } else if !stragglers || Instant::now() > deadline {
                return Ok(Started::No(end_of(&said)));
            }
            sleep(GLANCE);
        }
    }

    /// PostgreSQL refuses to start while the process in its lock file lives, even where the process id has since
    /// gone to another program or its parent has not yet collected it. Another id keeps the rest of the file, by which
    /// it finds processes that a killed postmaster has left.
    fn forget_the_dead(&self) {
        let path = self.data().join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&path) else { return };
        let Some((pid, rest)) = text.split_once('\n') else { return };
        let exists =
            pid.trim().parse().ok().and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid).is_ok());
        if exists && self.postmaster().is_none() {
            let _ = fs::write(&path, format!("{}\n{rest}", i32::MAX));
        }
    }

    /// Kills every process of the server with SIGKILL and waits until they are gone.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        let Some(postmaster) = self.postmaster() else { return Ok(()) };
        // Stopped, it starts no more of them while they are counted.
        let _ = kill_process(postmaster.pid, Signal::STOP);
        let mut doomed = process::children(postmaster.pid);
        doomed.push(postmaster.pid);
        for pid in &doomed {
            let _ = kill_process(*pid, Signal::KILL);
        }
        wait_until(|| doomed.iter().all(|pid| process::arguments(*pid).is_none()))
            .then_some(())
            .ok_or_else(|| self.failed("kill", "some of its processes live on".to_owned()))
    }

    /// The live process that the server's lock file names. Its arguments tell it from another one that got the id later.
    fn postmaster(&self) -> Option<Postmaster> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().and_then(Pid::from_raw)?;
        let ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
        let arguments = process::arguments(pid)?;
        arguments.contains(&self.data().display().to_string()).then_some(Postmaster { pid, ready })
    }

    /// Writes a file that only the account may read.
    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.directory.join(name);
        let attempt = || Error::file("write", &path);
        let mut options = fs::File::options();
        let mut file =
            options.mode(0o600).write(true).create(true).truncate(true).open(&path).map_err(attempt())?;
        file.write_all(text.as_bytes()).map_err(attempt())?;
        self.account.own(&path)
    }

    pub(crate) fn failed(&self, attempted: &'static str, reason: String) -> Error {
        Error::Server { attempted, directory: self.directory.clone(), reason }
    }
}

struct Postmaster {
    pid: Pid,
    ready: bool,
}

enum Started {
    Yes,
    PortTaken,
    No(String),
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

fn run(command: &mut Command, program: &str) -> Result<(), Error> {
    let failed = |reason| Error::Program { program: program.to_owned(), reason };
    let output =
        command.stderr(std::process::Stdio::piped()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(end_of(&String::from_utf8_lossy(&output.stderr))))
}

/// The last lines of what a program said.
fn end_of(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.get(lines.len().saturating_sub(4)..) {
        Some(end) if !end.is_empty() => end.join(" | "),
        _ => "it gave no reason".to_owned(),
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16, Error> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(Error::file("find a free port on", Path::new("127.0.0.1")))
}

//! PostgreSQL in a directory: configure, start, recover.

use std::{
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};

use super::{cluster, installation::Installation, options::PostgresOptions};
use crate::{
    Error,
    site::{PATIENCE, Site, end_of, free_port, is_free, wait_until},
    software::Software,
};

/// Between two attempts to start where the last server's processes are on their way out.
const GLANCE: Duration = Duration::from_millis(20);
/// Between choosing a free port and listening on it another program may take it.
const PORT_ATTEMPTS: usize = 5;
/// Our part of the configuration, a file beside the one that `initdb` wrote.
pub(super) const SETTINGS: &str = "devkit.conf";
pub(super) const PID_FILE: &str = "data/postmaster.pid";
/// The process that was started last, which may end before it writes a file of its own.
const LAUNCHED: &str = "launched.pid";

/// How devkit runs PostgreSQL.
#[derive(Debug, Default)]
pub(crate) struct Server {
    options: PostgresOptions,
    /// The server that it is a copy of, and follows.
    primary: Option<Site>,
}

impl Server {
    pub(super) fn with(options: PostgresOptions) -> Server {
        Server { options, primary: None }
    }

    /// A standby, which must be the same PostgreSQL with the same settings.
    pub(super) fn copy_of(primary: Site, options: PostgresOptions) -> Server {
        Server { options, primary: Some(primary) }
    }

    /// The programs for data that is there already, or for data to come.
    fn installation(&self, site: &Site) -> Result<Installation, Error> {
        let written_by = major(site).or_else(|| major(self.primary.as_ref()?));
        let wanted = PostgresOptions { version: written_by.or(self.options.version), ..self.options.clone() };
        match (Installation::find(&wanted), written_by) {
            (Err(Error::NoSuchPostgres { .. }), Some(major)) => Err(Error::Program {
                program: "postgres".to_owned(),
                reason: format!(
                    "the data was written by PostgreSQL {major}, which is no longer installed; install it, or purge the instance"
                ),
            }),
            (found, _) => found,
        }
    }

    /// Writes our settings anew, so that an older server gets the present ones.
    fn configure(&self, site: &Site, port: u16) -> Result<(), Error> {
        site.write("port", &port.to_string())?;
        let durable = if site.durable { "on" } else { "off" };
        let mut settings = USUAL.to_owned() + &format!("fsync = {durable}\nfull_page_writes = {durable}\n");
        if let Some(primary) = &self.primary {
            let (port, password) = (primary.read("port")?, primary.password()?);
            settings += &format!(
                "primary_conninfo = 'host=127.0.0.1 port={port} user=postgres password={password}'\n\
                 primary_slot_name = '{}'\n",
                cluster::slot(site)
            );
        }
        if let Some(tls) = &self.options.tls {
            site.write("data/server.crt", &tls.certificate)?;
            site.write("data/server.key", &tls.key)?;
            settings += "ssl = on\n";
        }
        settings += &self.options.lines();
        settings += &format!("port = {port}\n");
        site.write(&format!("data/{SETTINGS}"), &(settings + FIXED))
    }
}

/// Connections: 32 test processes with a small pool each, and one session for each test's database. A slot whose replica
/// is gone keeps no more than the given size.
const USUAL: &str = "max_connections = 300\nshared_buffers = '128MB'\nunix_socket_directories = ''\n\
     max_slot_wal_keep_size = '1GB'\ntimezone = 'UTC'\n";
/// What devkit itself relies on: no option changes it. Shared memory lies in the data's directory, so that what a killed
/// server leaves goes with it.
const FIXED: &str = "dynamic_shared_memory_type = mmap\nlisten_addresses = '127.0.0.1'\nlog_destination = 'stderr'\nlogging_collector = off\n\
     log_timezone = 'UTC'\nlog_line_prefix = '%m [%p] %d '\n";

impl Software for Server {
    fn name(&self) -> &'static str {
        "postgres"
    }

    /// The second one is there from the beginning.
    fn pid_files(&self) -> &'static [&'static str] {
        &[PID_FILE, LAUNCHED]
    }

    /// A fast shutdown with a checkpoint, or an immediate one.
    fn stop_signal(&self, keep_data: bool) -> &'static str {
        if keep_data { "INT" } else { "QUIT" }
    }

    fn is_running(&self, site: &Site) -> bool {
        is_ready(site) == Some(true)
    }

    fn forget(&self, site: &Site) {
        if let Some(id) = memory(site) {
            remove_memory(site, &id);
        }
    }

    fn url(&self, site: &Site) -> Result<String, Error> {
        let port = site.read("port")?;
        Ok(format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", site.password()?))
    }

    fn terminal(&self, site: &Site) -> Result<Command, Error> {
        let program = self.installation(site)?.program("psql");
        // Some systems package the client apart.
        let mut psql = Command::new(if program.is_file() { program } else { "psql".into() });
        // Not as arguments, which every user of the machine can read.
        psql.env("PGHOST", "127.0.0.1")
            .env("PGPORT", site.port().unwrap_or_default().to_string())
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", site.password()?)
            .env("PGDATABASE", "postgres");
        Ok(psql)
    }

    fn ensure_running(&self, site: &Site) -> Result<(), Error> {
        // Whoever began to start it may have been killed meanwhile; the server comes up all the same.
        wait_until(|| is_ready(site) != Some(false));
        if self.is_running(site) {
            return Ok(());
        }
        let installation = self.installation(site)?;
        if major(site).is_none() {
            cluster::make(site, &installation, self.primary.as_ref())?;
        }
        let memory = memory(site);
        let mut port = site.port().filter(|port| is_free(*port));
        let mut reason = String::new();
        for _ in 0..PORT_ATTEMPTS {
            self.configure(site, port.take().map_or_else(free_port, Ok)?)?;
            match start(site, &installation)? {
                Started::Yes => return Ok(()),
                Started::PortTaken => "no free port".clone_into(&mut reason),
                Started::No(why) => {
                    reason = why;
                    break;
                }
            }
        }
        // The lock file of a server that fails does not name what its killed predecessor has left.
        if let Some(id) = memory {
            remove_memory(site, &id);
        }
        Err(site.failed("start", reason))
    }
}

/// The id of a piece of shared memory, by which a server sees whether its data is in use: line 7 of the lock file has it,
/// behind a key.
fn memory(site: &Site) -> Option<String> {
    site.read(PID_FILE).ok()?.lines().nth(6)?.split_whitespace().nth(1).map(str::to_owned)
}

/// Fails where it is gone.
fn remove_memory(site: &Site, id: &str) {
    let _ = site.account.command("ipcrm").args(["-m", id]).status();
}

/// The major version that wrote the data, where there is any.
fn major(site: &Site) -> Option<u32> {
    site.read("data/PG_VERSION").ok()?.parse().ok()
}

/// Whether the running server takes connections. `None` where none runs.
fn is_ready(site: &Site) -> Option<bool> {
    site.process(PID_FILE)?;
    let text = site.read(PID_FILE).ok()?;
    Some(text.lines().nth(7).is_some_and(|status| status.trim() == "ready"))
}

/// Starts the postmaster and waits until it takes connections.
fn start(site: &Site, installation: &Installation) -> Result<Started, Error> {
    forget_the_dead(site);
    let (program, data) = (installation.program("postgres"), site.path("data"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Not by `pg_ctl`, which looks only every 100 ms whether it is up.
        site.launch(&[&program, "-D".as_ref(), &data], LAUNCHED)?;
        wait_until(|| is_ready(site) == Some(true) || site.process(LAUNCHED).is_none());
        if is_ready(site) == Some(true) {
            return Ok(Started::Yes);
        }
        let said = site.said();
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
fn forget_the_dead(site: &Site) {
    let path = site.path(PID_FILE);
    let Ok(text) = fs::read_to_string(&path) else { return };
    let Some((pid, rest)) = text.split_once('\n') else { return };
    let exists =
        pid.trim().parse().ok().and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid).is_ok());
    if exists && site.process(PID_FILE).is_none() {
        let _ = fs::write(&path, format!("{}\n{rest}", i32::MAX));
    }
}

enum Started {
    Yes,
    PortTaken,
    No(String),
}

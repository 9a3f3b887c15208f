//! Redis in a directory: configure, start.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    address::Address,
    installation::{Installation, Version, parse},
    options::RedisOptions,
    wire::Connection,
};
use crate::{
    Error, cache,
    site::{Site, end_of, free_port, is_free},
    software::Software,
};

/// Between choosing a free port and listening on it another program may take it.
const PORT_ATTEMPTS: usize = 5;
pub(super) const PID_FILE: &str = "pid";
const SETTINGS: &str = "redis.conf";
/// The version that the data may have been written by.
const VERSION: &str = "version";

/// What the server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Shared,
    Named,
    Exclusive,
    ClusterNode,
    Sentinel,
}

/// How devkit runs Redis.
#[derive(Debug)]
pub(crate) struct Server {
    role: Role,
    options: RedisOptions,
}

impl Server {
    pub(super) fn new(role: Role, options: RedisOptions) -> Server {
        Server { role, options }
    }

    pub(crate) fn named() -> Server {
        Server::new(Role::Named, RedisOptions::new())
    }
}

impl Software for Server {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn pid_files(&self) -> &'static [&'static str] {
        &[PID_FILE]
    }

    /// An end that flushes the append-only file, or a quick one.
    fn stop_signal(&self, keep_data: bool) -> &'static str {
        if keep_data { "TERM" } else { "KILL" }
    }

    fn is_running(&self, site: &Site) -> bool {
        site.is_ready(PID_FILE)
    }

    /// With TLS, the port without it is known to devkit alone.
    fn url(&self, site: &Site) -> Result<String, Error> {
        let (scheme, port) =
            if self.options.tls.is_some() { ("rediss", "tls-port") } else { ("redis", "port") };
        // The user is named because `redis-cli` does not take a URL with a password alone.
        Ok(format!("{scheme}://default:{}@127.0.0.1:{}/0", site.password()?, site.read(port)?))
    }

    fn terminal(&self, site: &Site) -> Result<Command, Error> {
        let mut client = Command::new(self.installation(site)?.client());
        // Not as an argument, which every user of the machine can read.
        client.env("REDISCLI_AUTH", site.password()?);
        client.args(["-h", "127.0.0.1", "-p", &site.read("port")?]);
        Ok(client)
    }

    fn ensure_running(&self, site: &Site) -> Result<(), Error> {
        // Whoever began to start it may have been killed meanwhile; the server comes up all the same.
        if site.comes_up(PID_FILE, || answers(site))? {
            return Ok(());
        }
        self.start(site, &self.installation(site)?)
    }
}

impl Server {
    pub(super) fn installation(&self, site: &Site) -> Result<Installation, Error> {
        let written_by = site.read(VERSION).ok().as_deref().and_then(parse);
        Installation::find(&self.options, &site.account, written_by)
    }

    pub(super) fn start(&self, site: &Site, installation: &Installation) -> Result<(), Error> {
        let (major, minor) = installation.version;
        site.write(VERSION, &format!("{major}.{minor}"))?;
        if !site.password().is_ok_and(|password| !password.is_empty()) {
            site.write("password", &uuid::Uuid::new_v4().simple().to_string())?;
        }
        cache::private(&site.path("data"), &site.account)?;
        for _ in 0..PORT_ATTEMPTS {
            self.configure(site, installation.version)?;
            let (program, settings) = (&installation.program, &site.path(SETTINGS));
            match self.role {
                Role::Sentinel => site.launch(&[program, settings, Path::new("--sentinel")], PID_FILE)?,
                _ => site.launch(&[program, settings], PID_FILE)?,
            }
            if site.comes_up(PID_FILE, || answers(site))? {
                return Ok(());
            }
            let said = site.said();
            if !said.contains("Address already in use") {
                return Err(site.failed("start", end_of(&said)));
            }
        }
        Err(site.failed("start", "no free port".to_owned()))
    }

    /// Writes the settings anew, so that an older site gets the present ones.
    fn configure(&self, site: &Site, version: Version) -> Result<(), Error> {
        let password = site.password()?;
        let mut settings = format!(
            "bind 127.0.0.1\nport {}\ndir {}\nset-proc-title no\nsave \"\"\nrequirepass {password}\n",
            self.port(site, "port")?,
            quoted(&site.path("data")),
        );
        settings += &self.role.settings(&password);
        if self.role != Role::Shared && version >= (7, 0) {
            settings += "enable-debug-command yes\n";
        }
        if let Some(tls) = &self.options.tls {
            site.write("certificate.pem", &tls.certificate)?;
            site.write("key.pem", &tls.key)?;
            settings += &format!(
                "tls-port {}\ntls-auth-clients no\ntls-cert-file {}\ntls-key-file {}\n",
                self.port(site, "tls-port")?,
                quoted(&site.path("certificate.pem")),
                quoted(&site.path("key.pem")),
            );
        }
        site.write(SETTINGS, &(settings + &self.options.lines()))
    }

    /// The port of the last start where that is free, or another.
    fn port(&self, site: &Site, file: &str) -> Result<u16, Error> {
        let last = site.read(file).ok().and_then(|port| port.parse().ok());
        let port = match last.filter(|port| is_free(*port)) {
            Some(port) => port,
            None if self.role == Role::ClusterNode => free_port_with_bus()?,
            None => free_port()?,
        };
        site.write(file, &port.to_string())?;
        Ok(port)
    }
}

impl Role {
    fn settings(self, password: &str) -> String {
        match self {
            // What would reach into the databases of others is refused, with the command's name.
            Role::Shared => format!(
                "databases 512\nappendonly no\n\
                 user default on >{password} ~* &* +@all -flushall -swapdb -shutdown -debug\n"
            ),
            Role::Named => "databases 512\nappendonly yes\nappendfsync everysec\n".to_owned(),
            // With `everysec` a write may be acknowledged before it has left the process, where the disk is slow.
            Role::Exclusive => "databases 512\nappendonly yes\nappendfsync always\n".to_owned(),
            // Nodes agree after two seconds that one is gone: long for a busy machine, short for a test.
            Role::ClusterNode => format!(
                "appendonly yes\nappendfsync always\nmasterauth {password}\nrepl-diskless-sync-delay 0\n\
                 cluster-enabled yes\ncluster-node-timeout 2000\ncluster-announce-ip 127.0.0.1\n\
                 cluster-allow-replica-migration no\n"
            ),
            // All that it is told is which master to watch.
            Role::Sentinel => String::new(),
        }
    }
}

/// Nodes talk to each other on the port that is ten thousand higher.
fn free_port_with_bus() -> Result<u16, Error> {
    loop {
        let port = free_port()?;
        if port.checked_add(10_000).is_some_and(is_free) {
            return Ok(port);
        }
    }
}

/// How devkit itself reaches the server.
pub(super) fn address(site: &Site) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port: site.port().unwrap_or_default(),
        user: None,
        password: site.password().ok(),
        database: 0,
    }
}

/// Another server on the port does not know the password, and one that still loads its data says so.
fn answers(site: &Site) -> bool {
    Connection::open(&address(site)).and_then(|mut connection| connection.call(&["PING"])).is_ok()
}

/// Cuts bytes off the end of the append-only file.
pub(super) fn truncate(site: &Site, bytes: u64) -> Result<(), Error> {
    // As of Redis 7 a directory with a base and what was appended to it: `appendonly.aof.12.incr.aof`, of which the
    // highest number is written to.
    let parts = cache::files_starting_with(&site.path("data/appendonlydir"), "").unwrap_or_default();
    let numbered = |path: PathBuf| {
        let name = path.to_str()?.strip_suffix(".incr.aof")?;
        Some((name.rsplit_once('.')?.1.parse::<u64>().ok()?, path))
    };
    let newest = parts.into_iter().filter_map(numbered).max();
    let file = newest.map_or_else(|| site.path("data/appendonly.aof"), |(_, path)| path);
    site.truncate(&file, bytes, &[PID_FILE])
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

//! NATS in a directory: configure, start.

use std::{path::PathBuf, process::Command};

use super::{
    installation::{Installation, Version, parse},
    options::NatsOptions,
    session::Session,
};
use crate::{
    Error, cache, fingerprint,
    options::Identity,
    site::{Site, end_of, free_port, is_free},
    software::Software,
};

/// Between choosing a free port and listening on it another program may take it.
const PORT_ATTEMPTS: usize = 5;
const PID_FILE: &str = "nats.pid";
const SETTINGS: &str = "nats.conf";
/// The version that the data may have been written by.
const VERSION: &str = "version";
/// Acknowledged means flushed to disk.
const FLUSHED_FOR_EACH: Version = (2, 10);

/// How devkit runs NATS.
#[derive(Debug, Default)]
pub(crate) struct Server {
    options: NatsOptions,
}

impl Server {
    pub(super) fn with(options: NatsOptions) -> Server {
        Server { options }
    }
}

impl Software for Server {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn pid_files(&self) -> &'static [&'static str] {
        &[PID_FILE]
    }

    /// A clean end, or a quick one.
    fn stop_signal(&self, keep_data: bool) -> &'static str {
        if keep_data { "TERM" } else { "KILL" }
    }

    fn is_running(&self, site: &Site) -> bool {
        site.is_ready(PID_FILE)
    }

    fn url(&self, site: &Site) -> Result<String, Error> {
        let (scheme, port) = (if self.options.tls.is_some() { "tls" } else { "nats" }, site.read("port")?);
        Ok(format!("{scheme}://devkit:{}@127.0.0.1:{port}", site.password()?))
    }

    fn terminal(&self, site: &Site) -> Result<Command, Error> {
        let mut nats = Command::new("nats");
        // Not as an argument, which every user of the machine can read.
        nats.env("NATS_URL", self.url(site)?);
        Ok(nats)
    }

    fn ensure_running(&self, site: &Site) -> Result<(), Error> {
        // Whoever began to start it may have been killed meanwhile; the server comes up all the same.
        if self.comes_up(site)? {
            return Ok(());
        }
        let written_by = site.read(VERSION).ok().as_deref().and_then(parse);
        let installation = Installation::find(&site.account, self.options.source, written_by)?;
        site.write(VERSION, &format!("{}.{}", installation.version.0, installation.version.1))?;
        if !site.password().is_ok_and(|password| !password.is_empty()) {
            site.write("password", &uuid::Uuid::new_v4().simple().to_string())?;
        }
        let mut port = site.port().filter(|port| is_free(*port));
        for _ in 0..PORT_ATTEMPTS {
            self.configure(site, port.take().map_or_else(free_port, Ok)?, installation.version)?;
            site.launch(&[&installation.program, "--config".as_ref(), &site.path(SETTINGS)], PID_FILE)?;
            if self.comes_up(site)? {
                return Ok(());
            }
            let said = site.said();
            if !said.contains("address already in use") {
                return Err(site.failed("start", end_of(&said)));
            }
        }
        Err(site.failed("start", "no free port".to_owned()))
    }
}

impl Server {
    /// Waits until the server that was started answers. `false` where it has ended.
    fn comes_up(&self, site: &Site) -> Result<bool, Error> {
        let answers = || self.url(site).is_ok_and(|url| Session::is_ready(&url, &server_name(site)));
        site.comes_up(PID_FILE, answers)
    }

    /// Writes the settings anew, so that an older site gets the present ones.
    fn configure(&self, site: &Site, port: u16, version: Version) -> Result<(), Error> {
        site.write("port", &port.to_string())?;
        let flush = site.durable && version >= FLUSHED_FOR_EACH;
        let mut settings = self.options.lines();
        settings += &format!(
            "server_name: {}\nlisten: \"127.0.0.1:{port}\"\n\
             authorization {{ user: devkit, password: {} }}\n\
             jetstream {{ store_dir: {}{} }}\n",
            quoted(&server_name(site)),
            quoted(&site.password()?),
            quoted(&site.path("data").display().to_string()),
            if flush { ", sync_interval: always" } else { "" },
        );
        if let Some(Identity { certificate, key }) = &self.options.tls {
            site.write("certificate.pem", certificate)?;
            site.write("key.pem", key)?;
            let path = |name: &str| quoted(&site.path(name).display().to_string());
            settings +=
                &format!("tls {{ cert_file: {}, key_file: {} }}\n", path("certificate.pem"), path("key.pem"));
        }
        site.write(SETTINGS, &settings)
    }
}

/// By which an answering server is known to be this one: on the port may be another, that takes every password.
fn server_name(site: &Site) -> String {
    format!("devkit-{}", fingerprint(&site.directory.display().to_string()))
}

/// Cuts bytes off the end of what a stream has last: `msgs/12.blk`, of which the highest number is written to.
pub(super) fn truncate(site: &Site, stream: &str, bytes: u64) -> Result<(), Error> {
    let messages = site.path("data/jetstream/$G/streams").join(stream).join("msgs");
    let blocks = cache::files_starting_with(&messages, "").unwrap_or_default();
    let numbered = |path: PathBuf| {
        let number = path.file_name()?.to_str()?.strip_suffix(".blk")?.parse::<u64>().ok()?;
        Some((number, path))
    };
    let newest = blocks.into_iter().filter_map(numbered).max();
    let file = newest.map_or_else(|| messages.join("1.blk"), |(_, path)| path);
    site.truncate(&file, bytes, &[PID_FILE])
}

/// A string of the configuration file.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

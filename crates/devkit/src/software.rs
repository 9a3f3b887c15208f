//! What devkit must know of a program to run it as a server.

use std::{fmt, process::Command};

use crate::{Error, site::Site};

/// PostgreSQL, Redis, a set of them, or NATS. Every method blocks.
pub(crate) trait Software: fmt::Debug + Send + Sync + 'static {
    /// The program's name in directories, such as `postgres`.
    fn name(&self) -> &'static str;

    /// Tells servers of the same program apart that cannot stand in for each other; empty for the usual one.
    fn variant(&self) -> String {
        String::new()
    }

    /// The files below the site's directory in whose first line the server writes the ids of its processes.
    /// Each process must have a path below the directory in its arguments.
    fn pid_files(&self) -> &'static [&'static str];

    /// The signal after which it ends, as `kill -s` takes it; it loses nothing where its data is to be kept.
    fn stop_signal(&self, keep_data: bool) -> &'static str;

    /// Whether it runs and takes connections.
    fn is_running(&self, site: &Site) -> bool;

    /// Finds or fetches the programs and brings the server up, from whatever state its last user or a crash has left.
    /// The site's directory is there.
    fn ensure_running(&self, site: &Site) -> Result<(), Error>;

    /// Removes what a killed server leaves outside of the site's directory. No process of it lives.
    fn forget(&self, _site: &Site) {}

    /// The URL with which everything is allowed. The server has been up once.
    fn url(&self, site: &Site) -> Result<String, Error>;

    /// The program's own terminal client, connected to the running server.
    fn terminal(&self, site: &Site) -> Result<Command, Error>;
}

//! Servers that belong together: each a process of its own, in a directory of its own.

use std::io;

use super::{
    server::{PID_FILE, address},
    wire::Connection,
};
use crate::{Error, handle::blocking, site::Site};

const PID_FILES: &[&str] =
    &["node-0/pid", "node-1/pid", "node-2/pid", "node-3/pid", "node-4/pid", "node-5/pid"];

/// The files with the ids of the processes of so many, of at most six.
pub(super) fn pid_files(count: usize) -> &'static [&'static str] {
    &PID_FILES[..count]
}

/// They are counted from 0.
#[derive(Clone)]
pub(super) struct Nodes(Vec<Site>);

impl Nodes {
    pub(super) fn of(site: &Site, count: usize) -> Nodes {
        let directory = |number: usize| site.path(&format!("node-{number}"));
        Nodes((0..count).map(|number| Site { directory: directory(number), ..site.clone() }).collect())
    }

    pub(super) fn all(&self) -> &[Site] {
        &self.0
    }

    pub(super) fn get(&self, node: usize) -> Result<Site, Error> {
        self.0.get(node).cloned().ok_or(Error::NoNode { node, count: self.0.len() })
    }

    pub(super) async fn kill(&self, node: usize) -> Result<(), Error> {
        let site = self.get(node)?;
        blocking(move || site.kill(&[PID_FILE])).await
    }

    pub(super) async fn pause(&self, node: usize) -> Result<(), Error> {
        let site = self.get(node)?;
        blocking(move || site.pause(&[PID_FILE])).await
    }

    pub(super) async fn resume(&self, node: usize) -> Result<(), Error> {
        let site = self.get(node)?;
        blocking(move || {
            site.resume();
            Ok(())
        })
        .await
    }
}

/// Whether a node can answer.
pub(super) fn is_awake(node: &Site) -> bool {
    node.process(PID_FILE).is_some() && !node.is_paused()
}

pub(super) fn connect(node: &Site) -> io::Result<Connection> {
    Connection::open(&address(node))
}

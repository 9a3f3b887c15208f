//! The handle of a Redis that sentinels watch: a master, its replica, and those who let the replica take over.

mod server;

use std::{fmt, io};

use super::{
    nodes::{Nodes, connect, is_awake},
    wire::Reply,
};
use crate::{
    Error,
    handle::{Handle, blocking},
    site::Site,
};
use server::{MASTER, SERVERS, Set};

/// A master with a replica, and three sentinels that watch them, for this handle alone. Gone when the handle is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let set = shared_devkit::RedisSentinels::exclusive().await?;
/// let (servers, sentinels, name) = (set.urls(), set.sentinel_urls(), set.master_name());
/// set.kill(set.master().await?).await?; // the other server takes over some seconds later
/// # Ok(())
/// # }
/// ```
///
/// Nodes are counted from 0: the servers 0 and 1, of which 0 is the master at first, then the sentinels 2 to 4. A master
/// counts as dead after one second; the replica takes over about a second later. It has what it was sent by then, so the
/// last writes may be lost.
///
/// Dropping the future of a fault, or of a start, does not take it back: what has begun is done.
pub struct RedisSentinels {
    nodes: Nodes,
    urls: Vec<String>,
    sentinel_urls: Vec<String>,
    handle: Handle,
}

impl RedisSentinels {
    /// All five, when each sentinel knows the others and both servers.
    ///
    /// # Errors
    /// [`Error::NoRedis`] where there is none to run, [`Error::Server`] where they have not found each other within a minute.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive() -> Result<RedisSentinels, Error> {
        let handle = Handle::exclusive(Set).await?;
        let nodes = server::nodes(handle.site());
        let (servers, sentinels) = nodes.all().split_at(SERVERS);
        let urls = servers.iter().map(server::url).collect::<Result<_, _>>()?;
        let sentinel_urls = sentinels.iter().map(server::sentinel_url).collect::<Result<_, _>>()?;
        Ok(RedisSentinels { nodes, urls, sentinel_urls, handle })
    }

    /// The URLs of the two servers, with the password that all have.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The URLs of the sentinels, with the same password. They have no databases.
    pub fn sentinel_urls(&self) -> &[String] {
        &self.sentinel_urls
    }

    /// The name by which the sentinels know the master.
    pub fn master_name(&self) -> &'static str {
        MASTER
    }

    /// The number of the server that the sentinels take for the master, as the first of them says that is neither dead nor
    /// paused.
    ///
    /// # Errors
    /// [`Error::Request`] where none says so.
    pub async fn master(&self) -> Result<usize, Error> {
        let nodes = self.nodes.clone();
        blocking(move || master(nodes.all()).map_err(Error::request("find the master"))).await
    }

    /// Kills a node as a crash would, with SIGKILL, and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none with this number.
    pub async fn kill(&self, node: usize) -> Result<(), Error> {
        self.nodes.kill(node).await
    }

    /// Stops a node's process with SIGSTOP, until [`RedisSentinels::resume`]: connections stay open, and nothing answers.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none with this number.
    pub async fn pause(&self, node: usize) -> Result<(), Error> {
        self.nodes.pause(node).await
    }

    /// Wakes a node after [`RedisSentinels::pause`], with SIGCONT. A former master learns that it is a replica now.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none with this number.
    pub async fn resume(&self, node: usize) -> Result<(), Error> {
        self.nodes.resume(node).await
    }
}

impl fmt::Debug for RedisSentinels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.handle.directory();
        formatter.debug_struct("RedisSentinels").field("directory", &directory).finish_non_exhaustive()
    }
}

fn master(nodes: &[Site]) -> io::Result<usize> {
    let (servers, sentinels) = nodes.split_at(SERVERS);
    let port = sentinels.iter().filter(|node| is_awake(node)).find_map(|node| master_port(node).ok());
    let port = port.ok_or_else(|| io::Error::other("no sentinel answers"))?;
    let found = servers.iter().position(|node| node.port() == Some(port));
    found.ok_or_else(|| io::Error::other("the sentinels name a stranger"))
}

fn master_port(sentinel: &Site) -> io::Result<u16> {
    let place = connect(sentinel)?.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER])?;
    let port = place.into_array()?.pop().unwrap_or(Reply::Nothing).into_text()?;
    port.parse().map_err(io::Error::other)
}

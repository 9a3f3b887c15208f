//! The handle of a running Redis Cluster.

mod formation;
mod server;
mod slots;

use std::{fmt, io};

use super::{
    nodes::{Nodes, is_awake},
    options::RedisOptions,
    server::{Role, Server},
};
use crate::{
    Error,
    handle::{Handle, blocking},
    site::{Site, wait_until},
    software::Software,
};

/// How many copies a [`RedisCluster`] keeps of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replicas {
    /// Three nodes: what a dead one held is out of reach.
    None,
    /// Six nodes: each of the three primaries has a replica, which takes over some seconds after its death.
    OneEach,
}

/// A Redis Cluster for this handle alone: three primaries, on request with a replica for each. Gone when the handle is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let mut cluster = shared_devkit::RedisCluster::exclusive().await?;
/// let first = cluster.owner(0).await?; // the node with slot 0
/// cluster.move_slot(0, (first + 1) % 3).await?; // clients that ask the old one are sent on: MOVED
/// cluster.kill(first).await?;
/// cluster.start(first).await?;
/// cluster.ready().await?;
/// # Ok(())
/// # }
/// ```
///
/// Nodes are counted from 0: the primaries 0 to 2, then their replicas in the same order. A node counts as dead after two
/// seconds (`cluster-node-timeout`). Writes are flushed to disk before they are acknowledged; a replica has them a moment later,
/// so a failover may lose the last ones.
///
/// A start takes somewhat more than two seconds: a node of Redis refuses to write for so long, to hear from others first.
///
/// Dropping the future of a fault, or of a start, does not take it back: what has begun is done.
pub struct RedisCluster {
    nodes: Nodes,
    urls: Vec<String>,
    options: RedisOptions,
    handle: Handle,
}

impl RedisCluster {
    /// Three primaries, each with a third of the slots.
    ///
    /// # Errors
    /// [`Error::NoRedis`] where there is none to run, [`Error::Server`] where the cluster does not become whole within a minute.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive() -> Result<RedisCluster, Error> {
        RedisCluster::exclusive_with(Replicas::None, RedisOptions::new()).await
    }

    /// With replicas, of a certain version, or with settings, which are those of each node.
    ///
    /// # Errors
    /// As [`RedisCluster::exclusive`], and [`Error::NoRedis`] for options with TLS.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive_with(replicas: Replicas, options: RedisOptions) -> Result<RedisCluster, Error> {
        let cluster = server::Cluster::new(replicas, options.clone())?;
        let handle = Handle::exclusive(cluster).await?;
        let nodes = server::nodes(handle.site(), replicas);
        let node = Server::new(Role::ClusterNode, options.clone());
        let urls = nodes.all().iter().map(|site| node.url(site)).collect::<Result<_, _>>()?;
        Ok(RedisCluster { nodes, urls, options, handle })
    }

    /// The URL of each node, with the password that all have.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Waits until each node that runs says that the cluster is whole, and each replica has its primary's data.
    ///
    /// They say so for two more seconds after a death: for a failover, wait until [`RedisCluster::owner`] is another.
    ///
    /// # Errors
    /// [`Error::Server`] where that takes longer than a minute, such as where a primary without a replica is dead.
    pub async fn ready(&self) -> Result<(), Error> {
        let (nodes, site) = (self.nodes.clone(), self.handle.site().clone());
        blocking(move || {
            let is_whole = |node: &Site| !is_awake(node) || formation::is_whole(node);
            wait_until(|| nodes.all().iter().all(is_whole))
                .then_some(())
                .ok_or_else(|| site.failed("wait for", "the cluster is not whole after a minute".to_owned()))
        })
        .await
    }

    /// Kills a node as a crash would, with SIGKILL, and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none with this number.
    pub async fn kill(&self, node: usize) -> Result<(), Error> {
        self.nodes.kill(node).await
    }

    /// Stops a node's process with SIGSTOP, until [`RedisCluster::resume`]: connections stay open, and nothing answers.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none with this number.
    pub async fn pause(&self, node: usize) -> Result<(), Error> {
        self.nodes.pause(node).await
    }

    /// Wakes a node after [`RedisCluster::pause`], with SIGCONT.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none with this number.
    pub async fn resume(&self, node: usize) -> Result<(), Error> {
        self.nodes.resume(node).await
    }

    /// Starts a node again after [`RedisCluster::kill`], and returns when it answers; [`RedisCluster::ready`] waits until it
    /// has found the others. Does nothing where it runs. Its URL stays, unless another program has taken the port.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none with this number, [`Error::Server`] where it does not start.
    pub async fn start(&mut self, node: usize) -> Result<(), Error> {
        let (site, server) = (self.nodes.get(node)?, Server::new(Role::ClusterNode, self.options.clone()));
        let url = blocking(move || {
            server.ensure_running(&site)?;
            server.url(&site)
        });
        self.urls[node] = url.await?;
        Ok(())
    }

    /// The number of the node that serves a slot (0 to 16383), as that node itself says. Of nodes that are dead or paused
    /// nothing is asked.
    ///
    /// # Errors
    /// [`Error::Request`] where no node says so, such as in the midst of a failover.
    pub async fn owner(&self, slot: u16) -> Result<usize, Error> {
        let nodes = self.nodes.clone();
        blocking(move || slots::owner(nodes.all(), slot).map_err(Error::request("find the owner of a slot")))
            .await
    }

    /// Begins to move a slot: keys that its owner has stay there, for others it sends clients to the node `to` (`ASK`). Does
    /// nothing where that has the slot.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is no node `to`, [`Error::Request`] where a node refuses, as replicas do.
    pub async fn begin_move(&self, slot: u16, to: usize) -> Result<(), Error> {
        self.move_with(slot, to, slots::begin).await
    }

    /// Moves a slot's keys and then the slot to the node `to`, where [`RedisCluster::begin_move`] has begun it. From then on
    /// its former owner sends clients there (`MOVED`).
    ///
    /// # Errors
    /// As [`RedisCluster::begin_move`]. The slot is then where it was, or half-way, and may be moved again.
    pub async fn finish_move(&self, slot: u16, to: usize) -> Result<(), Error> {
        self.move_with(slot, to, slots::finish).await
    }

    /// Moves a slot with its keys to the node `to`.
    ///
    /// # Errors
    /// As [`RedisCluster::finish_move`].
    pub async fn move_slot(&self, slot: u16, to: usize) -> Result<(), Error> {
        self.begin_move(slot, to).await?;
        self.finish_move(slot, to).await
    }

    async fn move_with(
        &self,
        slot: u16,
        to: usize,
        step: fn(&[Site], u16, usize) -> io::Result<()>,
    ) -> Result<(), Error> {
        self.nodes.get(to)?;
        let nodes = self.nodes.clone();
        blocking(move || step(nodes.all(), slot, to).map_err(Error::request("move a slot"))).await
    }
}

impl fmt::Debug for RedisCluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.handle.directory();
        formatter.debug_struct("RedisCluster").field("directory", &directory).finish_non_exhaustive()
    }
}

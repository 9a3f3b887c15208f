//! A Redis Cluster in a directory: its nodes, each in a directory of its own.

use std::process::Command;

use super::{Replicas, formation};
use crate::{
    Error, cache,
    redis::{
        nodes::{Nodes, pid_files},
        options::RedisOptions,
        server::{PID_FILE, Role, Server},
    },
    site::Site,
    software::Software,
};

/// Fewer could not agree on the death of one.
pub(super) const PRIMARIES: usize = 3;
/// Says that the nodes have become a cluster; they remember it themselves.
const FORMED: &str = "formed";

#[derive(Debug)]
pub(super) struct Cluster {
    replicas: Replicas,
    node: Server,
}

impl Cluster {
    pub(super) fn new(replicas: Replicas, options: RedisOptions) -> Result<Cluster, Error> {
        if options.tls.is_some() {
            let reason = "devkit's clusters have no TLS".to_owned();
            let source = Error::Program { program: "redis-server".to_owned(), reason };
            return Err(Error::NoRedis { wanted: format!("cluster of {options}"), source: Box::new(source) });
        }
        Ok(Cluster { replicas, node: Server::new(Role::ClusterNode, options) })
    }
}

/// The directories of the nodes: primaries first.
pub(super) fn nodes(site: &Site, replicas: Replicas) -> Nodes {
    Nodes::of(site, replicas.nodes())
}

impl Replicas {
    fn nodes(self) -> usize {
        match self {
            Replicas::None => PRIMARIES,
            Replicas::OneEach => 2 * PRIMARIES,
        }
    }
}

impl Software for Cluster {
    fn name(&self) -> &'static str {
        "redis-cluster"
    }

    fn pid_files(&self) -> &'static [&'static str] {
        pid_files(self.replicas.nodes())
    }

    fn stop_signal(&self, keep_data: bool) -> &'static str {
        self.node.stop_signal(keep_data)
    }

    fn is_running(&self, site: &Site) -> bool {
        nodes(site, self.replicas).all().iter().all(|node| node.is_ready(PID_FILE))
    }

    fn ensure_running(&self, site: &Site) -> Result<(), Error> {
        let nodes = nodes(site, self.replicas);
        let nodes = nodes.all();
        let installation = self.node.installation(&nodes[0])?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        for node in nodes {
            cache::private(&node.directory, &node.account)?;
            if node.password().is_err() {
                node.write("password", &password)?;
            }
            if !node.is_ready(PID_FILE) {
                self.node.start(node, &installation)?;
            }
        }
        if site.path(FORMED).exists() {
            return Ok(());
        }
        formation::form(nodes).map_err(|error| site.failed("form", error.to_string()))?;
        site.write(FORMED, "")
    }

    fn url(&self, site: &Site) -> Result<String, Error> {
        self.node.url(&nodes(site, self.replicas).all()[0])
    }

    fn terminal(&self, site: &Site) -> Result<Command, Error> {
        let mut client = self.node.terminal(&nodes(site, self.replicas).all()[0])?;
        // Follows where the nodes send it.
        client.arg("-c");
        Ok(client)
    }
}

//! How nodes become a cluster.

use std::io;

use super::server::PRIMARIES;
use crate::{
    redis::{nodes::connect, wire::Connection},
    site::{Site, wait_until},
};

/// Gives each primary its share of the slots, makes all known to each other, and waits until the cluster is whole.
pub(super) fn form(nodes: &[Site]) -> io::Result<()> {
    let mut connections: Vec<_> = nodes.iter().map(connect).collect::<Result<_, _>>()?;
    let (primaries, replicas) = connections.split_at_mut(PRIMARIES);
    let mut ids = Vec::new();
    for (number, primary) in primaries.iter_mut().enumerate() {
        // Different from the beginning, so that no two have to settle whose is newer.
        primary.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
        primary.call(&add_slots(number))?;
        ids.push(primary.text(&["CLUSTER", "MYID"])?);
    }
    for node in &nodes[1..] {
        primaries[0].call(&["CLUSTER", "MEET", "127.0.0.1", &node.port().unwrap_or_default().to_string()])?;
    }
    for (replica, id) in replicas.iter_mut().zip(&ids) {
        // Refused until it has heard of its primary.
        let follows = wait_until(|| replica.call(&["CLUSTER", "REPLICATE", id]).is_ok());
        awaited(follows, "a replica does not find its primary")?;
    }
    awaited(wait_until(|| nodes.iter().all(is_whole)), "its nodes have not agreed after a minute")
}

/// Whether the node knows who serves each slot, and a replica has what its primary has.
pub(super) fn is_whole(node: &Site) -> bool {
    let ask = || {
        let mut connection = connect(node)?;
        let state = connection.text(&["CLUSTER", "INFO"])?;
        // Where a cluster goes on without some of its slots, it is `ok` before the node has heard of them all.
        let knows_all =
            ["cluster_state:ok", "cluster_slots_assigned:16384"].iter().all(|said| state.contains(said));
        Ok::<_, io::Error>(knows_all && has_its_data(&mut connection)?)
    };
    ask().unwrap_or(false)
}

fn has_its_data(connection: &mut Connection) -> io::Result<bool> {
    let said = connection.text(&["INFO", "replication"])?;
    Ok(said.contains("role:master") || said.contains("master_link_status:up"))
}

/// One by one: ranges came with Redis 7.
fn add_slots(primary: usize) -> Vec<String> {
    let end = |part: usize| part * 16384 / PRIMARIES;
    let slots = (end(primary)..end(primary + 1)).map(|slot| slot.to_string());
    ["CLUSTER", "ADDSLOTS"].map(str::to_owned).into_iter().chain(slots).collect()
}

fn awaited(is_so: bool, otherwise: &'static str) -> io::Result<()> {
    if is_so { Ok(()) } else { Err(io::Error::new(io::ErrorKind::TimedOut, otherwise)) }
}

//! Who serves a slot, and how it comes to another.

use std::io;

use crate::{
    redis::{
        nodes::{connect, is_awake},
        wire::{Connection, Reply},
    },
    site::Site,
};

/// The node that says that it serves the slot.
pub(super) fn owner(nodes: &[Site], slot: u16) -> io::Result<usize> {
    let claims = |node: &Site| {
        let known = connect(node).and_then(|mut node| node.text(&["CLUSTER", "NODES"]));
        known.is_ok_and(|known| known.lines().any(|line| is_own_claim(line, slot)))
    };
    let owner = nodes.iter().position(|node| is_awake(node) && claims(node));
    owner.ok_or_else(|| io::Error::other(format!("no node that answers serves slot {slot}")))
}

/// From `ID 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460 9000 [93->-ID]`.
fn is_own_claim(line: &str, slot: u16) -> bool {
    let mut words = line.split(' ');
    let flags = words.nth(2).unwrap_or_default();
    let is_in = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse().ok().zip(last.parse().ok());
        bounds.is_some_and(|(first, last): (u16, u16)| (first..=last).contains(&slot))
    };
    flags.starts_with("myself") && words.skip(5).any(is_in)
}

/// Tells both nodes of the slot that moves.
pub(super) fn begin(nodes: &[Site], slot: u16, to: usize) -> io::Result<()> {
    let from = owner(nodes, slot)?;
    if from == to {
        return Ok(());
    }
    let (mut source, mut target) = (connect(&nodes[from])?, connect(&nodes[to])?);
    let (source_id, target_id) = (id(&mut source)?, id(&mut target)?);
    set_slot(&mut target, slot, &["IMPORTING", &source_id])?;
    set_slot(&mut source, slot, &["MIGRATING", &target_id])
}

/// Moves the keys, and then the slot: the new owner learns it first, so that there is always one.
pub(super) fn finish(nodes: &[Site], slot: u16, to: usize) -> io::Result<()> {
    let from = owner(nodes, slot)?;
    if from == to {
        return Ok(());
    }
    let (mut source, mut target) = (connect(&nodes[from])?, connect(&nodes[to])?);
    move_keys(&mut source, slot, &nodes[to])?;
    let target_id = id(&mut target)?;
    set_slot(&mut target, slot, &["NODE", &target_id])?;
    set_slot(&mut source, slot, &["NODE", &target_id])
}

fn move_keys(source: &mut Connection, slot: u16, target: &Site) -> io::Result<()> {
    let (port, password) = (target.port().unwrap_or_default().to_string(), target.password());
    let password = password.map_err(io::Error::other)?;
    loop {
        let keys = source.call(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"])?.into_array()?;
        let keys: Vec<_> = keys.into_iter().filter_map(Reply::into_bytes).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH", &password, "KEYS"];
        let migrate = migrate.map(|word| word.as_bytes().to_vec());
        source.call(&[&migrate[..], &keys].concat())?;
    }
}

fn id(node: &mut Connection) -> io::Result<String> {
    node.text(&["CLUSTER", "MYID"])
}

fn set_slot(node: &mut Connection, slot: u16, state: &[&str]) -> io::Result<()> {
    node.call(&[&["CLUSTER", "SETSLOT", &slot.to_string()], state].concat()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::is_own_claim;

    #[test]
    fn a_node_claims_ranges_and_single_slots_of_its_own_line() {
        let own = "e1 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-99 200 [300->-e2]";
        let other = own.replace("myself,", "");
        let claimed: Vec<_> = (0..400).filter(|slot| is_own_claim(own, *slot)).collect();
        assert_eq!(claimed, (0..100).chain([200]).collect::<Vec<_>>());
        assert!(!(0..400).any(|slot| is_own_claim(&other, slot)));
    }
}

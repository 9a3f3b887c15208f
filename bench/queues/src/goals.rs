//! What we want to reach beside each peer. A goal judges nothing: machines differ.

use bench_report::Goal;

use crate::contestants::Contestant;
use crate::drive::Settings;
use crate::protocol::How;
use crate::scenarios::Scenario;
use crate::servers::Server;

/// Of ours with limits and fairness on, divided by ours without; nothing for any other two.
pub(crate) fn of_flow(work: u64, one: &Contestant, other: &Contestant) -> Option<Goal> {
    let compared = one.settings != Settings::Best && other.settings == Settings::Best;
    compared.then_some(Goal::AtLeast(if work == 0 { 0.5 } else { 0.9 }))
}

/// Of a queue's figure with the append-only file, divided by that without.
pub(crate) fn of_file(contestant: &Contestant) -> Option<Goal> {
    contestant.is_ours().then_some(Goal::AtLeast(0.8))
}

/// Of our figure divided by the peer's, both at their defaults or both at their best, with payloads of 100 bytes.
pub(crate) fn beside(server: Server, scenario: Scenario, peer: &str) -> Option<Goal> {
    let (name, settings) = peer.split_once(", ").unwrap_or((peer, ""));
    if matches!(scenario, Scenario::Enqueue { bytes, .. } | Scenario::Drain { bytes, .. } if bytes > 100) {
        return None;
    }
    match server {
        Server::Redis => on_redis(scenario, name, settings),
        Server::RedisAof => None,
        Server::Postgres => on_postgres(scenario, name, settings),
    }
}

fn on_redis(scenario: Scenario, name: &str, settings: &str) -> Option<Goal> {
    match (scenario, name, settings) {
        (Scenario::Drain { at_once: 50, .. }, "BullMQ", _) => Some(Goal::AtLeast(8.0)),
        (Scenario::Drain { at_once: 50, .. }, "apalis-redis", "best") => Some(Goal::AtLeast(2.0)),
        (Scenario::Drain { at_once: 1, .. }, "BullMQ", _) => Some(Goal::AtLeast(10.0)),
        (Scenario::Enqueue { how: How::Bulk, .. }, "BullMQ", _) => Some(Goal::AtLeast(15.0)),
        (Scenario::Enqueue { how: How::Concurrent, .. }, "BullMQ", _) => Some(Goal::AtLeast(3.5)),
        (Scenario::Latency, "BullMQ", _) => Some(Goal::AtMost(0.2)),
        _ => None,
    }
}

fn on_postgres(scenario: Scenario, name: &str, settings: &str) -> Option<Goal> {
    match (scenario, name, settings) {
        (Scenario::Drain { .. }, _, "defaults") => Some(Goal::AtLeast(5.0)),
        (Scenario::Drain { .. }, "the floor", _) => Some(Goal::AtLeast(1.2)),
        (Scenario::Drain { .. }, "graphile_worker", _) => Some(Goal::AtLeast(2.0)),
        (Scenario::Drain { .. }, "riverqueue", _) => Some(Goal::AtLeast(3.0)),
        (Scenario::Drain { .. }, "apalis-postgres", _) => Some(Goal::AtLeast(6.0)),
        (Scenario::Enqueue { how: How::Concurrent, .. }, "the floor", _) => Some(Goal::AtLeast(0.8)),
        (Scenario::Enqueue { .. }, "the floor", _) => None,
        (Scenario::Enqueue { how: How::Concurrent, .. }, ..) => Some(Goal::AtLeast(4.0)),
        (Scenario::Enqueue { how: How::Bulk, .. }, ..) => Some(Goal::AtLeast(2.5)),
        _ => None,
    }
}

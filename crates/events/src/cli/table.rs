//! What there is, in columns.

use std::time::Duration;

use shared_core::command_line::{columns, date, lines, none, plain};

use crate::explain::words;
use crate::{Delayed, KeptDays, Kind, LaneStatus, Parked, ProjectionStatus, SubscriptionStatus};

pub(super) fn subscriptions(all: &[SubscriptionStatus]) -> String {
    let row = |one: &SubscriptionStatus| {
        let marks = [(one.paused, "paused"), (one.replay, "replay"), (one.is_over(), "over")];
        let marks: Vec<&str> = marks.into_iter().filter(|mark| mark.0).map(|mark| mark.1).collect();
        [
            one.name.clone(),
            one.kind.as_str().to_owned(),
            if one.kind == Kind::Group { none() } else { one.waiting.to_string() },
            age(one.oldest),
            one.parked.to_string(),
            one.dead.to_string(),
            one.relays.to_string(),
            one.held.to_string(),
            marks.join(" "),
        ]
    };
    let header =
        ["subscription", "kind", "waiting", "oldest", "parked", "dead keys", "relays", "lanes held", ""];
    columns(&header, all.iter().map(row))
}

pub(super) fn lanes(all: &[LaneStatus]) -> String {
    let row = |lane: &LaneStatus| {
        [
            lane.lane.to_string(),
            lane.place.map(|place| place.to_string()).or_else(|| lane.mark.clone()).unwrap_or_else(none),
            lane.waiting.to_string(),
            age(lane.oldest),
            words(lane.still),
            lane.holder.as_ref().map_or_else(none, ToString::to_string),
        ]
    };
    columns(&["lane", "place", "waiting", "oldest", "unmoved", "relay"], all.iter().map(row))
}

pub(super) fn parked(all: &[Parked]) -> String {
    let row = |one: &Parked| {
        [
            one.subscription.clone(),
            one.consumer.clone(),
            one.event.clone(),
            one.id.to_string(),
            one.tenant.to_string(),
            one.key.clone(),
            one.state.as_str().to_owned(),
            one.attempts.to_string(),
            one.next_at.map_or_else(none, date),
            one.reason.clone().unwrap_or_default(),
        ]
    };
    let header =
        ["subscription", "consumer", "event", "id", "tenant", "key", "state", "attempts", "next", "reason"];
    columns(&header, all.iter().map(row))
}

pub(super) fn days(kept: &KeptDays) -> String {
    let days = kept.days.iter().map(|day| format!("{day}\n")).collect::<String>();
    let held = kept.held.as_deref().map(|held| format!("can't be shorter: {}\n", plain(held)));
    days + held.as_deref().unwrap_or_default()
}

pub(super) fn delayed(all: &[Delayed]) -> String {
    let row = |one: &Delayed| {
        let (due, id) = (date(one.due), one.id.to_string());
        [due, one.name.clone(), one.tenant.to_string(), one.key.clone(), id]
    };
    columns(&["due", "event", "tenant", "key", "id"], all.iter().map(row))
}

/// All that is known of a projection, a line each.
pub(super) fn projection(status: &ProjectionStatus) -> String {
    lines([
        ("live", Some(status.live.to_string())),
        ("fed by", Some(status.fed_by.clone())),
        ("building", status.building.map(|building| building.to_string())),
        ("switched", status.switched.map(date)),
    ])
}

fn age(age: Option<Duration>) -> String {
    age.map_or_else(none, words)
}

//! What there is, in columns.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::explain::words;
use crate::{Delayed, KeptDays, LaneStatus, Parked, ProjectionStatus, SubscriptionStatus};

pub(super) fn subscriptions(all: &[SubscriptionStatus]) -> String {
    let row = |one: &SubscriptionStatus| {
        let marks = [(one.paused, "paused"), (one.replay, "replay"), (one.is_over(), "over")];
        let marks: Vec<&str> = marks.into_iter().filter(|mark| mark.0).map(|mark| mark.1).collect();
        vec![
            one.name.clone(),
            one.kind.as_str().to_owned(),
            one.waiting.to_string(),
            age(one.oldest),
            one.parked.to_string(),
            one.dead.to_string(),
            one.relays.to_string(),
            one.held.to_string(),
            marks.join(" "),
        ]
    };
    let header =
        ["subscription", "to", "waiting", "oldest", "parked", "dead keys", "relays", "lanes held", ""];
    columns(&header, all.iter().map(row))
}

pub(super) fn lanes(all: &[LaneStatus]) -> String {
    let row = |lane: &LaneStatus| {
        vec![
            lane.lane.to_string(),
            lane.place.to_string(),
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
        vec![
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
        vec![due, one.name.clone(), one.tenant.to_string(), one.key.clone(), id]
    };
    columns(&["due", "event", "tenant", "key", "id"], all.iter().map(row))
}

/// All that is known of a projection, a line each.
pub(super) fn projection(status: &ProjectionStatus) -> String {
    let lines = [
        ("live", Some(status.live.to_string())),
        ("fed by", Some(status.fed_by.clone())),
        ("building", status.building.map(|building| building.to_string())),
        ("switched", status.switched.map(date)),
    ];
    let known = lines.into_iter().filter_map(|(name, value)| Some(format!("{name:9} {}\n", plain(&value?))));
    known.collect()
}

fn none() -> String {
    "-".to_owned()
}

fn age(age: Option<Duration>) -> String {
    age.map_or_else(none, words)
}

fn date(moment: OffsetDateTime) -> String {
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    whole.format(&Rfc3339).unwrap_or_else(|_| none())
}

/// Reasons and keys are others' words: what a terminal would obey is left out.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn columns<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = Vec<String>>) -> String {
    let header = header.iter().map(|&word| word.to_owned()).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(header).chain(rows.map(|row| row.iter().map(|cell| plain(cell)).collect())).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

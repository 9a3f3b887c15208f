//! What every sink promises, on real servers: the same tests for each.

#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "nats")]
pub(crate) mod nats;
mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use shared_core::{Actor, Context, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Accepted, Capabilities, Dedup, Guarantee, Refusal, Sink};
use crate::{Envelope, Lane, Place};

const LANE: Lane = Lane::new(3).unwrap();

/// So many events of one tick, in its order.
fn events(tick: i64, positions: impl IntoIterator<Item = i64>) -> Vec<Envelope> {
    positions.into_iter().map(|pos| event(Place::new(tick, pos))).collect()
}

fn event(place: Place) -> Envelope {
    let tenant = TenantId::from_uuid(Uuid::from_u128(7));
    Envelope {
        id: Uuid::from_u64_pair(place.tick.unsigned_abs(), place.pos.unsigned_abs()),
        name: "note.created".to_owned(),
        version: 2,
        key: "a key, 100 % \"ünïcode\"".to_owned(),
        tenant,
        at: OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(place.pos),
        context: Context::new(tenant, Actor::new("Zoë")).with_correlation("request-7".parse().unwrap()),
        payload: format!("{{\"n\":{},\"text\":\"line\\nbreak ✓\"}}", place.pos),
        lane: LANE,
        place,
        replay: false,
        xid: None,
    }
}

fn places(events: &[Envelope]) -> Vec<Place> {
    events.iter().map(|event| event.place).collect()
}

fn all(accepted: &Accepted, count: usize) {
    assert!(accepted.refusal.is_none() && accepted.count == count, "{accepted:?}");
}

fn fenced(accepted: &Accepted) {
    assert!(matches!(accepted.refusal, Some(Refusal::Fenced(_))), "{accepted:?}");
}

/// All of it, each on a sink that has nothing yet, and with what keeps its server.
async fn keeps_what_sinks_promise<S: Sink, K>(
    open: impl AsyncFn() -> (S, K),
    read: impl AsyncFn(&S, &K) -> Vec<Envelope>,
) {
    let (sink, kept) = open().await;
    what_is_sent_again_is_known(&sink, async || read(&sink, &kept).await).await;
    let (sink, kept) = open().await;
    the_order_is_that_of_the_places(&sink, async || read(&sink, &kept).await).await;
    let (sink, kept) = open().await;
    a_relay_that_is_behind_the_times_changes_nothing(&sink, async || read(&sink, &kept).await).await;
    let (sink, kept) = open().await;
    nothing_is_taken_behind_what_was_lost(&sink, async || read(&sink, &kept).await).await;
    let (sink, kept) = open().await;
    nothing_counts_as_there_that_the_relay_does_not_know(&sink, async || read(&sink, &kept).await).await;
    let (sink, kept) = open().await;
    two_relays_at_once_bring_each_event(&sink, async || read(&sink, &kept).await).await;
}

/// What a page that is sent again, in part or whole, comes to; `read` is what the sink has.
async fn what_is_sent_again_is_known(sink: &dyn Sink, read: impl AsyncFn() -> Vec<Envelope>) {
    assert_eq!(sink.last(LANE).await.unwrap(), None);
    let page = events(4, 1..=10);
    all(&sink.send(LANE, None, &page[..6]).await, 6);
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(4, 6)));
    all(&sink.send(LANE, Some(Place::new(4, 6)), &page).await, 10);
    all(&sink.send(LANE, Some(Place::new(4, 10)), &page[..3]).await, 3);
    all(&sink.send(LANE, Some(Place::new(4, 10)), &[]).await, 0);
    assert_eq!(read().await, page);
    assert_eq!(sink.last(Lane::new(4).unwrap()).await.unwrap(), None);
}

/// Later ticks have greater places, also with smaller positions and with a digit more.
async fn the_order_is_that_of_the_places(sink: &dyn Sink, read: impl AsyncFn() -> Vec<Envelope>) {
    let sent = [events(9, [99, 100]), events(10, [5, 11]), events(100, [1])].concat();
    all(&sink.send(LANE, None, &sent).await, 5);
    all(&sink.send(LANE, Some(Place::new(100, 1)), &events(99, [200])).await, 1);
    assert_eq!(read().await, sent);
}

/// A relay that was away for long sends what others have sent meanwhile, and nothing of it counts.
async fn a_relay_that_is_behind_the_times_changes_nothing(
    sink: &dyn Sink,
    read: impl AsyncFn() -> Vec<Envelope>,
) {
    let page = events(1, 1..=20);
    all(&sink.send(LANE, None, &page[..5]).await, 5);
    all(&sink.send(LANE, Some(Place::new(1, 5)), &page).await, 20);
    let late = sink.send(LANE, Some(Place::new(1, 5)), &page[5..12]).await;
    assert!(late.refusal.is_some() || late.count == 7, "{late:?}");
    assert_eq!(read().await, page);
}

/// What is behind a hole is not taken: what was lost could not come back in its order.
async fn nothing_is_taken_behind_what_was_lost(sink: &dyn Sink, read: impl AsyncFn() -> Vec<Envelope>) {
    let page = events(1, 1..=10);
    all(&sink.send(LANE, None, &page[..4]).await, 4);
    let refused = sink.send(LANE, Some(Place::new(1, 7)), &page[7..]).await;
    fenced(&refused);
    assert_eq!(refused.count, 0);
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 4)));
    all(&sink.send(LANE, Some(Place::new(1, 4)), &page[4..]).await, 6);
    assert_eq!(read().await, page);
}

/// Somebody else may have brought it there: what comes before it is not taken for sent.
async fn nothing_counts_as_there_that_the_relay_does_not_know(
    sink: &dyn Sink,
    read: impl AsyncFn() -> Vec<Envelope>,
) {
    let page = events(1, 1..=10);
    all(&sink.send(LANE, None, &page[..6]).await, 6);
    for known in [None, Some(Place::new(1, 3))] {
        let refused = sink.send(LANE, known, &page[3..5]).await;
        fenced(&refused);
        assert_eq!(refused.count, 0);
    }
    all(&sink.send(LANE, Some(Place::new(1, 6)), &page).await, 10);
    assert_eq!(read().await, page);
}

/// Two relays that both believe the lane to be theirs send the same events, each in portions of its own. Where the late one is not refused,
/// what it brings again is behind what it brings for the first time.
async fn two_relays_at_once_bring_each_event(sink: &dyn Sink, read: impl AsyncFn() -> Vec<Envelope>) {
    let page = events(1, 1..=300);
    let one = deliver(sink, &page, 7);
    let other = deliver(sink, &page, 11);
    futures_util::future::join(one, other).await;
    let read = read().await;
    match sink.capabilities() {
        Capabilities { dedup: Dedup::Exact, fencing: true, .. } => assert_eq!(places(&read), places(&page)),
        _ => assert_eq!(firsts(&read), places(&page)),
    }
}

/// The places without those that were there before.
fn firsts(events: &[Envelope]) -> Vec<Place> {
    let mut known = std::collections::HashSet::new();
    places(events).into_iter().filter(|place| known.insert(*place)).collect()
}

#[test]
fn a_sink_gives_what_it_can() {
    use Guarantee::{AtLeastOnce, Exact, Restored};
    let gives = |dedup, fencing, readable, ordered| {
        let can = Capabilities::new(dedup, fencing, readable, ordered);
        [AtLeastOnce, Restored, Exact].map(|asked| can.lacks(asked).is_empty())
    };
    assert_eq!(gives(Dedup::Exact, true, true, true), [true, true, true]);
    assert_eq!(gives(Dedup::Window, true, true, true), [true, true, false]);
    assert_eq!(gives(Dedup::Exact, false, true, true), [true, true, false]);
    assert_eq!(gives(Dedup::Exact, true, false, true), [true, false, false]);
    assert_eq!(gives(Dedup::Exact, true, true, false), [true, false, false]);
}

/// As a relay does it: what is refused is asked for, and goes on from there.
async fn deliver(sink: &dyn Sink, page: &[Envelope], portion: usize) {
    let mut after = ask(sink).await;
    loop {
        let left: Vec<Envelope> =
            page.iter().filter(|event| Some(event.place) > after).take(portion).cloned().collect();
        if left.is_empty() {
            return;
        }
        let accepted = sink.send(LANE, after, &left).await;
        if let Some(last) = accepted.count.checked_sub(1).and_then(|last| left.get(last)) {
            after = after.max(Some(last.place));
        }
        if accepted.refusal.is_some() {
            after = ask(sink).await;
        }
    }
}

async fn ask(sink: &dyn Sink) -> Option<Place> {
    for _ in 0..1000 {
        if let Ok(last) = sink.last(LANE).await {
            return last;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await; // a condition is polled
    }
    panic!("it never answered");
}

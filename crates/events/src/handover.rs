//! From the log to a broker, and back: the way of a program's events changes, and what its consumers have done stays known.
//!
//! An event has the same place in the log and at a sink. So the subscription of the one becomes that of the other, cursors and all: nothing
//! is left out, and what comes both ways for a moment is known.

use shared_db::{Db, Tx, statements};

use crate::intake::{self, Source};
use crate::relay::tick;
use crate::{Config, Error};

statements! {
    // The rows are locked, so that no relay starts on them meanwhile.
    const STANDS: Statement<(String, String), (i64, i64)> = "
        select (select count(*) from shared_events.relay as r where r.subscription = s.name and r.expires > clock_timestamp()) as relays,
               (select count(*) from shared_events.parked as p where p.subscription = s.name and p.state <> 'sent') as parked
          from shared_events.subscription as s where s.name = $1 and s.kind = $2 and s.filter is null for update";
    const BEGIN: Statement<(String, String), ()> = "
        insert into shared_events.subscription (name, kind) values ($1, $2)";
    const GO_ON: Statement<(String, String), ()> = "
        insert into shared_events.cursor (subscription, lane, tick, pos)
        select $2, lane, tick, pos from shared_events.cursor where subscription = $1 for update";
    // As far back as ticks are kept: what the sink had, and lost before anybody read it, is behind its cursor.
    const GO_BACK: Statement<(String, String), ()> = "
        insert into shared_events.cursor (subscription, lane, tick, pos)
        select $2, c.lane, least(c.tick, k.tick), case when c.tick <= k.tick then c.pos else 0 end
          from shared_events.cursor as c
         cross join (select case when u.pruned = 0 then 0
                                 else coalesce((select min(tick) from shared_events.tick where tick > 0), 0) end as tick
                       from shared_events.upkeep as u) as k
         where c.subscription = $1 for update of c";
    // What a sink refused at first has a later place there than in the log. Consumers that have passed the place in the log, or begin behind it,
    // and not the later one, would not get it: it was sent, and lost before it was read. It is put aside for them, to be done at once. That
    // it was read is known by the consumer that is furthest in its lane: whoever reads a place has read those before it. Where a sink's name has
    // changed the same may have been sent under both: it was had if it was by the first. The tick that first sees a transaction is looked for from
    // the first on that ends behind its id: there are many ticks, and the one is not far from the other.
    const PUT_ASIDE: Statement<(String, String), ()> = "
        with kept as (
            select case when u.pruned = 0 then 0 else coalesce((select min(tick) from shared_events.tick where tick > 0), 0) end as tick
              from shared_events.upkeep as u),
        sent as (
            select distinct on (p.tenant_id, p.key, p.pos) p.tenant_id, p.lane, p.key, p.tick, p.pos, p.xid, p.event_id, p.name
              from shared_events.parked as p
             where p.subscription = $1 and p.state = 'sent' and p.tick is not null
             order by p.tenant_id, p.key, p.pos, p.tick),
        lost as materialized (
            select s.tenant_id, s.lane, s.key, s.tick, s.pos, s.xid, s.event_id, s.name from sent as s
             where not exists (select from shared_events.position as o
                                where o.tenant_id = s.tenant_id and o.subscription = $2 and o.lane = s.lane and (o.tick, o.pos) >= (s.tick, s.pos))),
        ahead as (
            select xid, tick is null as is_lost, min(tick) over (order by xid desc, tick nulls first rows unbounded preceding) as tick
              from (select distinct xid, null::int8 as tick from lost
                    union all select pg_snapshot_xmax(snap), tick from shared_events.tick where tick > 0) as x),
        seen as materialized (
            select a.xid, (select t.tick from shared_events.tick as t
                            where t.tick >= a.tick and pg_visible_in_snapshot(a.xid, t.snap) order by t.tick limit 1) as first
              from ahead as a where a.is_lost),
        unread as (
            select l.tenant_id, l.lane, l.key, l.tick, l.pos, l.xid, l.event_id, l.name, seen.first from lost as l left join seen on seen.xid = l.xid),
        of as (
            select u.tenant_id, u.lane, u.key, u.pos, u.xid, u.event_id, u.name, c.consumer, row_number() over (partition by u.tenant_id, c.consumer, u.key order by u.tick, u.pos) = 1
                   and not exists (select from shared_events.parked as before
                                    where (before.tenant_id, before.subscription, before.consumer, before.key) = (u.tenant_id, $2, c.consumer, u.key)) as is_first
              from unread as u
             cross join kept
             cross join (select distinct consumer from shared_events.position where subscription = $2) as c
              left join shared_events.position as o
                on (o.tenant_id, o.subscription, o.consumer, o.lane) = (u.tenant_id, $2, c.consumer, u.lane)
             where u.first <= kept.tick or (u.first, u.pos) <= (o.tick, o.pos))
        insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, xid, event_id, name, state, next_at)
        select tenant_id, $2, consumer, lane, key, pos, xid, event_id, name,
               case when is_first then 'retrying' else 'waiting' end, case when is_first then clock_timestamp() end
          from of
            on conflict do nothing";
    const FORGET_SENT: Statement<(String,), ()> = "
        delete from shared_events.parked where subscription = $1 and state = 'sent'";
    const END: Statement<(String,), ()> = "delete from shared_events.subscription where name = $1";
    const SINK: Statement<(Vec<String>,), Option<String>> = "
        select min(name) from shared_events.subscription where name = any ($1) and kind = 'sink'";
}

/// Lets the subscription `sink` begin where that of the consumers is, which ends: from now on they read from the sink, by
/// [`Intake::of_own_log`](crate::Intake::of_own_log). Relays that still work for them lose their lanes. Where the consumers have no
/// subscription, nothing happens. Returns whether they had one.
///
/// # Errors
/// [`Error::Unsafe`] if both are there; [`Error::Database`]. If the future is dropped, it was done whole or not at all.
pub async fn to_sink(db: &Db, consumers: &str, sink: &str) -> Result<bool, Error> {
    db.system()
        .tx(async |tx| match tx.opt(&STANDS, (consumers, "consumers")).await? {
            None => Ok(false),
            Some(_) if tx.opt(&STANDS, (sink, "sink")).await?.is_some() => Err(Error::Unsafe(format!(
                "both `{consumers}` and its sink `{sink}` are there; one of them has to be retired"
            ))),
            Some(_) => become_the_other(tx, consumers, sink, "sink").await.map(|()| true),
        })
        .await
}

/// Lets the consumers read the log again, whose sink's subscription ends. They begin as far back as a rewind reaches: what the broker lost
/// before it was read is there, and of the rest they know that they had it. What it lost earlier than that is not brought again. Nothing may be on its way: no relay works for
/// the sink, nothing is parked for it, and an intake with these settings has read all that `source` has, and ended; its subscription goes too. Where the sink has no
/// subscription, nothing happens. Returns whether it had one.
///
/// What was discarded for the sink is in the log: consumers get it that have not come so far.
///
/// # Errors
/// [`Error::Unsafe`], with what is on its way; [`Error::Broker`] and [`Error::Database`]. If the future is dropped, it was done
/// whole or not at all.
pub async fn to_consumers(db: &Db, sink: &str, source: &dyn Source, config: &Config) -> Result<bool, Error> {
    let on_its_way = |what: String| Err(Error::Unsafe(format!("`{sink}` can't be left: {what}")));
    let intake = intake::named(source.name(), config.clone())?.subscription;
    db.system()
        .tx(async |tx| {
            let Some((relays, parked)) = tx.opt(&STANDS, (sink, "sink")).await? else { return Ok(false) };
            if relays + parked > 0 {
                return on_its_way(format!("{relays} relays work for it, and {parked} events are parked"));
            }
            let readers = tx.opt(&STANDS, (&intake, "intake")).await?.map_or(0, |(readers, _)| readers);
            if readers > 0 {
                return on_its_way(format!("{readers} intakes read from there"));
            }
            match intake::unread(db, source, config).await?.waiting {
                0 => {
                    become_the_other(tx, sink, &config.subscription, "consumers").await?;
                    tx.execute(&END, (&intake,)).await?;
                    Ok(true)
                }
                waiting => on_its_way(format!("{waiting} events have yet to be read from there")),
            }
        })
        .await
}

/// The first of these that is the subscription of a sink: consumers that read the log beside it would get events twice, or not at all.
///
/// # Errors
/// [`Error::Database`].
pub async fn sink_among(db: &Db, names: &[String]) -> Result<Option<String>, Error> {
    Ok(db.system().one(&SINK, (names.to_vec(),)).await?)
}

async fn become_the_other(tx: &mut Tx, from: &str, to: &str, kind: &str) -> Result<(), Error> {
    tick::hold(tx).await?;
    tx.execute(&BEGIN, (to, kind)).await?;
    if kind == "sink" {
        tx.execute(&GO_ON, (from, to)).await?;
    } else {
        tx.execute(&GO_BACK, (from, to)).await?;
        tx.execute(&PUT_ASIDE, (from, to)).await?;
    }
    tx.execute(&FORGET_SENT, (from,)).await?;
    tx.execute(&END, (from,)).await?;
    Ok(())
}

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
/// the sink, nothing is parked for it, and an intake with these settings has read all that `source` has. Where the sink has no
/// subscription, nothing happens. Returns whether it had one.
///
/// # Errors
/// [`Error::Unsafe`], with what is on its way; [`Error::Broker`] and [`Error::Database`]. If the future is dropped, it was done
/// whole or not at all.
pub async fn to_consumers(db: &Db, sink: &str, source: &dyn Source, config: &Config) -> Result<bool, Error> {
    let on_its_way = |what: String| Err(Error::Unsafe(format!("`{sink}` can't be left: {what}")));
    db.system()
        .tx(async |tx| {
            let Some((relays, parked)) = tx.opt(&STANDS, (sink, "sink")).await? else { return Ok(false) };
            if relays + parked > 0 {
                return on_its_way(format!("{relays} relays work for it, and {parked} events are parked"));
            }
            match intake::unread(db, source, config).await?.waiting {
                0 => become_the_other(tx, sink, &config.subscription, "consumers").await.map(|()| true),
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
    let go = if kind == "sink" { &GO_ON } else { &GO_BACK };
    tx.execute(go, (from, to)).await?;
    tx.execute(&FORGET_SENT, (from,)).await?;
    tx.execute(&END, (from,)).await?;
    Ok(())
}

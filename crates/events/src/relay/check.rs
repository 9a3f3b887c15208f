//! What must hold before a relay may read a database.

use shared_db::{Db, cut, statements};
use validator::Validate;

use super::tick;
use crate::sink::Sink;
use crate::{Config, Error};

statements! {
    const SUBSCRIBE: Statement<(String, String), ()> = "
        with new as (
            insert into shared_events.subscription (name, kind) values ($1, $2) on conflict do nothing)
        insert into shared_events.cursor (subscription, lane) select $1, generate_series(0, 15) on conflict do nothing";
    const KIND: Statement<(String,), String> = "select kind from shared_events.subscription where name = $1";
    const AHEAD: Statement<(String,), Option<bool>> = "
        select bool_or(coalesce(pg_snapshot_xmax(tick.snap) > pg_snapshot_xmax(pg_current_snapshot()), true)) as is_ahead
          from shared_events.cursor left join shared_events.tick on tick.tick = cursor.tick
         where cursor.subscription = $1";
    const IS_ITS_OWN: Statement<(), bool> = "
        select server = (select system_identifier from pg_control_system()) from shared_events.tick_lock";
    // One policy shows this role every row, and none takes any away.
    const SEES_ALL: Statement<(), bool> = "
        select not row_security_active('shared_events.log')
            or (exists (select 1 from pg_policies
                         where schemaname = 'shared_events' and tablename = 'log' and permissive = 'PERMISSIVE'
                           and cmd in ('SELECT', 'ALL') and qual = 'true' and roles && array[current_user, 'public'::name])
                and not exists (select 1 from pg_policies
                                 where schemaname = 'shared_events' and tablename = 'log' and permissive = 'RESTRICTIVE'
                                   and cmd in ('SELECT', 'ALL') and roles && array[current_user, 'public'::name]))";
}

pub(crate) fn config(config: &Config) -> Result<(), Error> {
    // The validator's own words quote the values.
    config.validate().map_err(|errors| {
        let fields: Vec<String> = errors.errors().keys().map(ToString::to_string).collect();
        Error::Config(format!("these settings are outside of their range: {}", fields.join(", ")))
    })
}

/// The sink can give the guarantee that is asked for.
pub(crate) fn sink(sink: &dyn Sink, config: &Config) -> Result<(), Error> {
    let lacks = sink.capabilities().lacks(config.guarantee);
    if lacks.is_empty() {
        return Ok(());
    }
    Err(Error::Config(format!(
        "sink `{}` does not {}, as `guarantee` asks; ask for `restored` or `at_least_once`, or take another sink",
        sink.name(),
        lacks.join(", nor "),
    )))
}

/// The log can be read by cuts, and all of it.
pub(crate) async fn database(db: &Db) -> Result<(), Error> {
    cut::check(&db.system(), "shared_events.log").await.map_err(Error::uncut)?;
    if !db.system().one(&IS_ITS_OWN, ()).await? {
        return Err(Error::Unsafe(tick::ELSEWHERE.to_owned()));
    }
    match db.system().one(&SEES_ALL, ()).await? {
        true => Ok(()),
        false => Err(Error::Unsafe(
            "the system role does not see every tenant's events; restore the policy `system_reads` on shared_events.log, and remove restrictive ones".to_owned(),
        )),
    }
}

/// The subscription is there, and has not seen transactions that this server has yet to make.
pub(crate) async fn subscription(db: &Db, name: &str, kind: &str) -> Result<(), Error> {
    db.system()
        .tx(async |tx| {
            tick::hold(tx).await?;
            tx.execute(&SUBSCRIBE, (name, kind)).await?;
            Ok::<_, Error>(())
        })
        .await?;
    let found = db.system().one(&KIND, (name,)).await?;
    if found != kind {
        return Err(Error::Config(format!(
            "subscription `{name}` is one of kind `{found}`, and not `{kind}`; use another name"
        )));
    }
    match db.system().one(&AHEAD, (name,)).await? {
        Some(false) => Ok(()),
        _ => Err(Error::Unsafe(format!(
            "subscription `{name}` is ahead of the server's transactions, as after a restore into another server, or its tick is gone; events would be lost"
        ))),
    }
}

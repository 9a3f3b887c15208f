//! What must hold before a relay may read a database.

use shared_db::{Db, cut, statements};
use validator::Validate;

use crate::{Config, Error};

statements! {
    const SUBSCRIBE: Statement<(String,), ()> = "
        insert into shared_events.subscription (name) values ($1) on conflict do nothing";
    const AHEAD: Statement<(String,), bool> = "
        select pg_snapshot_xmax(tick.snap) > pg_snapshot_xmax(pg_current_snapshot())
          from shared_events.subscription
          join shared_events.tick on tick.tick = subscription.tick
         where subscription.name = $1";
}

pub(crate) fn config(config: &Config) -> Result<(), Error> {
    // The validator's own words quote the values.
    config.validate().map_err(|errors| {
        let fields: Vec<String> = errors.errors().keys().map(ToString::to_string).collect();
        Error::Config(format!("these settings are outside of their range: {}", fields.join(", ")))
    })
}

/// The log can be read by cuts.
pub(crate) async fn database(db: &Db) -> Result<(), Error> {
    cut::check(&db.system(), "shared_events.log").await.map_err(Error::uncut)
}

/// The subscription is there, and has not seen transactions that this server has yet to make.
pub(crate) async fn subscription(db: &Db, name: &str) -> Result<(), Error> {
    db.system().execute(&SUBSCRIBE, (name,)).await?;
    match db.system().opt(&AHEAD, (name,)).await? {
        Some(false) => Ok(()),
        Some(true) => Err(Error::Unsafe(format!(
            "subscription `{name}` is ahead of the server's transactions, as after a restore into another server; events would be lost"
        ))),
        None => Err(Error::Unsafe(format!("the tick that subscription `{name}` has reached is gone"))),
    }
}

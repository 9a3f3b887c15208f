//! The days of the log that are kept.

use shared_db::statements;
use time::Date;

use super::Subscriptions;
use crate::Error;

statements! {
    const DAYS: Statement<(), Date> = "
        select generate_series(day, last, '1 day')::date as one from shared_events.days() order by 1";
    const HELD: Statement<(), Option<String>> = "select held from shared_events.upkeep";
}

/// The days (UTC) that the log has, and why it can't be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptDays {
    /// In their order, with those that were made ahead.
    pub days: Vec<Date>,
    /// What keeps the oldest day that is due from being dropped, by name; `None` if nothing does.
    pub held: Option<String>,
}

impl Subscriptions {
    /// The days that the log has.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn days(&self) -> Result<KeptDays, Error> {
        let days = self.db.system().all(&DAYS, ()).await?;
        Ok(KeptDays { days, held: self.db.system().one(&HELD, ()).await? })
    }
}

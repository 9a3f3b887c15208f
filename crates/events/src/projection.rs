//! Building what consumers have made of the log anew, beside what is in use, and switching to it.

#[cfg(test)]
mod tests;

use shared_db::{Row, TenantTx, statements};
use time::OffsetDateTime;

use crate::Error;
use crate::operate::{Subscriptions, refuse};

statements! {
    const STATUS: Statement<(String,), StatusRow> = "
        select live, fed_by, building, switched from shared_events.projection where name = $1";
    const LIVE: Statement<(String,), i32> = "select live from shared_events.projection where name = $1";
    const KNOW: Statement<(String, String), ()> = "
        insert into shared_events.projection (name, fed_by) values ($1, $2) on conflict do nothing";
    const BUILD: Statement<(String,), i32> = "
        update shared_events.projection set building = live + 1 where name = $1 and building is null returning live + 1";
    const ABANDON: Statement<(String,), ()> = "update shared_events.projection set building = null where name = $1 and building is not null";
    // Whoever switches has the row; then nobody abandons it.
    const LOCK: Statement<(String,), StatusRow> = "
        select live, fed_by, building, switched from shared_events.projection where name = $1 for update";
    // How many lanes of the first subscription are not as far as those of the second, and keys that are parked for the first.
    const BEHIND: Statement<(String, String), (i64, i64)> = "
        select (select count(*) from generate_series(0, 15) as l (lane)
                  left join shared_events.cursor as new on new.subscription = $1 and new.lane = l.lane
                  left join shared_events.cursor as old on old.subscription = $2 and old.lane = l.lane
                 where new.lane is null or (new.tick, new.pos) < (old.tick, old.pos)),
               (select count(*) from shared_events.parked where subscription = $1 and state in ('dead', 'retrying'))";
    const SWITCH: Statement<(String, String), ()> = "
        update shared_events.projection set live = building, fed_by = $2, building = null, switched = clock_timestamp() where name = $1";
    // What comes from now on comes for the first time.
    const NO_REPLAY: Statement<(String,), ()> = "update shared_events.subscription set filter = null, rate = null where name = $1";
}

/// What consumers have made of the log, in generations: one is live, and another may be built beside it. Made by
/// [`Subscriptions::projection`].
///
/// Each generation has tables, or rows, of its own, and a subscription that feeds it. [`rebuild`](Self::rebuild) makes the subscription of
/// the next one, which begins with the log as far as it is kept; a program reads it with the consumer that writes that generation. Both go
/// on, until [`switch`](Self::switch) makes the new one live: at one commit, for all who ask [`generation`] in their own transactions. The old
/// one goes on too, until its consumer is taken out of its program or its subscription is retired.
///
/// ```no_run
/// # use shared_db::TenantTx;
/// # use shared_events::{Error, Subscriptions, generation};
/// # async fn rebuild(subscriptions: &Subscriptions) -> Result<(), Error> {
/// let digest = subscriptions.projection("digest");
/// let next = digest.rebuild("main").await?; // read it as subscription `digest.2`
/// // .. when it has caught up:
/// digest.switch().await?;
/// # Ok(()) }
/// # async fn read(tx: &mut TenantTx) -> Result<(), Error> {
/// let live = generation(tx, "digest").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Projection {
    subscriptions: Subscriptions,
    name: String,
}

/// How a projection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// The generation that is in use.
    pub live: u32,
    /// The subscription that feeds it.
    pub fed_by: String,
    /// The generation that is built beside it.
    pub building: Option<u32>,
    /// When the live one became so; `None` for the first.
    pub switched: Option<OffsetDateTime>,
}

#[derive(Row)]
struct StatusRow {
    live: i32,
    fed_by: String,
    building: Option<i32>,
    switched: Option<OffsetDateTime>,
}

impl Subscriptions {
    /// The projection of this name: 1 to 50 characters.
    pub fn projection(&self, name: impl Into<String>) -> Projection {
        Projection { subscriptions: self.clone(), name: name.into() }
    }
}

impl Projection {
    /// How it stands; `None` if it was never rebuilt, and so is in its first generation.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn status(&self) -> Result<Option<ProjectionStatus>, Error> {
        self.check("looking at a projection")?;
        let row = self.subscriptions.db.system().opt(&STATUS, (&self.name,)).await?;
        Ok(row.map(ProjectionStatus::from))
    }

    /// The name of the subscription that feeds a generation from the second on, such as `digest.2`.
    pub fn subscription(&self, generation: u32) -> String {
        format!("{}.{generation}", self.name)
    }

    /// Begins to build the next generation, and returns its number: makes its [subscription](Self::subscription), a [replay](crate::Replay)
    /// of the log as far as it is kept that goes on with what comes. `fed_by` is the subscription that feeds the first generation; later it
    /// is known.
    ///
    /// # Errors
    /// [`Error::Conflict`] while one is being built, or if there is a subscription of that name; [`Error::NotDone`] for a name out of bounds;
    /// [`Error::Database`]. If the future is dropped in between, [`abandon`](Self::abandon) it, and begin again.
    pub async fn rebuild(&self, fed_by: &str) -> Result<u32, Error> {
        const ATTEMPTED: &str = "rebuilding a projection";
        self.check(ATTEMPTED)?;
        crate::operate::check_name(ATTEMPTED, fed_by)?;
        let door = self.subscriptions.db.system();
        door.execute(&KNOW, (&self.name, fed_by)).await?;
        let building = door.opt(&BUILD, (&self.name,)).await?;
        let building = building.ok_or_else(|| {
            Error::conflict(
                ATTEMPTED,
                "a generation of it is being built already; switch to it, or abandon it",
            )
        })?;
        let building = building.unsigned_abs();
        match self.subscriptions.replay(self.subscription(building)).await {
            Ok(()) => Ok(building),
            Err(error) => {
                self.abandon().await?;
                Err(error)
            }
        }
    }

    /// Makes the generation that was built the live one, in one transaction, and returns its number. It must be as far as the live one in
    /// every lane, so that no reader sees less than before; and none of its keys may be parked.
    ///
    /// Under constant load the two are seldom equally far: [pause](crate::Subscription::pause) the live one's subscription for the moment.
    ///
    /// # Errors
    /// [`Error::Conflict`] if nothing is built, or it is not that far: ask again later. [`Error::Database`]. If the future is dropped, it
    /// was done whole or not at all.
    pub async fn switch(&self) -> Result<u32, Error> {
        const ATTEMPTED: &str = "switching a projection";
        self.check(ATTEMPTED)?;
        let none = || Error::conflict(ATTEMPTED, "no generation of it is being built");
        self.subscriptions
            .db
            .system()
            .tx(async |tx| {
                let row = tx.opt(&LOCK, (&self.name,)).await?.ok_or_else(none)?;
                let building = row.building.ok_or_else(none)?.unsigned_abs();
                let new = self.subscription(building);
                match tx.one(&BEHIND, (&new, &row.fed_by)).await? {
                    (0, 0) => {}
                    (0, parked) => {
                        let why = format!("{parked} of its keys are parked; redrive or discard them first");
                        return Err(Error::conflict(ATTEMPTED, why));
                    }
                    (lanes, _) => {
                        let why = format!("{lanes} of its lanes are behind the live one's; ask again later");
                        return Err(Error::conflict(ATTEMPTED, why));
                    }
                }
                tx.execute(&SWITCH, (&self.name, &new)).await?;
                tx.execute(&NO_REPLAY, (&new,)).await?;
                Ok(building)
            })
            .await
    }

    /// Gives up what is being built; [retire](crate::Subscription::retire) its subscription then. Returns whether anything was.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn abandon(&self) -> Result<bool, Error> {
        self.check("abandoning a projection")?;
        Ok(self.subscriptions.db.system().execute(&ABANDON, (&self.name,)).await? == 1)
    }

    fn check(&self, attempted: &'static str) -> Result<(), Error> {
        let sound = (1..=50).contains(&self.name.chars().count()) && !self.name.contains('\0');
        refuse(attempted, (!sound).then_some("a projection's name has 1 to 50 characters"))
    }
}

/// The generation of a projection that is live, as of this transaction: 1 until the first [switch](Projection::switch).
///
/// # Errors
/// [`Error::Database`].
pub async fn generation(tx: &mut TenantTx, projection: &str) -> Result<u32, Error> {
    Ok(tx.opt(&LIVE, (projection,)).await?.map_or(1, i32::unsigned_abs))
}

impl From<StatusRow> for ProjectionStatus {
    fn from(row: StatusRow) -> Self {
        Self {
            live: row.live.unsigned_abs(),
            fed_by: row.fed_by,
            building: row.building.map(i32::unsigned_abs),
            switched: row.switched,
        }
    }
}

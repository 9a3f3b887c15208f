//! What a broker has that was not read yet.

use std::time::Duration;

use shared_db::{Db, statements};
use time::OffsetDateTime;

use super::{Core, Source, named};
use crate::{Config, Error, Lane};

/// Events of a lane that are counted at most when somebody asks: they are read for it.
const COUNTED: u64 = 10_000;

/// And at most when an intake looks by itself: each of its lanes at the gauges' pace is a thousand events at most, which a broker does not feel.
const GLIMPSED: u64 = 1_000;

/// Events that are read at once.
const PORTION: usize = 500;

statements! {
    const MARKS: Statement<(String,), (i16, Option<String>)> = "
        select lane, mark from shared_events.intake where subscription = $1 order by lane";
    const AGE: Statement<(OffsetDateTime,), f64> = "
        select greatest(0, extract(epoch from clock_timestamp() - $1))::float8 as age";
}

/// What a broker has, and a group of readers has yet to read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Unread {
    /// So many events; of each lane some ten thousand are counted.
    pub waiting: u64,
    /// How old the oldest of them is, by the server's clock.
    pub oldest: Option<Duration>,
}

/// Looks at what an [`Intake`](crate::Intake) with these settings has yet to read of its source. It reads what it counts: fine for a
/// person, a test, or a probe every some seconds. Before the intake was started for the first time there is nothing.
///
/// # Errors
/// [`Error::Broker`], also where ten thousand entries of a lane that were not read are no events: what lies behind them is not known.
/// [`Error::Database`].
pub async fn unread(db: &Db, source: &dyn Source, config: &Config) -> Result<Unread, Error> {
    let group = named(source.name(), config.clone())?.subscription;
    let (mut waiting, mut first) = (0, None::<OffsetDateTime>);
    for (lane, mark) in db.system().all(&MARKS, (group,)).await? {
        let Some(lane) = u8::try_from(lane).ok().and_then(Lane::new) else { continue };
        let Some(saw) = count(source, lane, mark, COUNTED).await? else {
            let what = format!(
                "whether anything waits in lane {lane} is not known: {COUNTED} entries that were not read are no events"
            );
            return Err(Error::Broker(what));
        };
        waiting += saw.waiting;
        first = [first, saw.oldest].into_iter().flatten().min();
    }
    let oldest = match first {
        Some(at) => Some(Duration::from_secs_f64(db.system().one(&AGE, (at,)).await?)),
        None => None,
    };
    Ok(Unread { waiting, oldest })
}

/// Looks at what the broker has of the lanes of this reader, and writes it down for those who ask how the subscription stands. Returns whether it
/// has any lane.
pub(super) async fn look(core: &Core) -> Result<bool, Error> {
    let (group, held) = (core.config.subscription.as_str(), core.held.get());
    for (lane, mark) in core.db.system().all(&MARKS, (group,)).await? {
        let lane = u8::try_from(lane).ok().and_then(Lane::new);
        if let Some(lane) = lane.filter(|lane| held.contains(lane))
            && let Some(saw) = count(&*core.source, lane, mark, GLIMPSED).await?
        {
            core.reader.saw(&core.db, group, lane, saw).await?;
        }
    }
    Ok(!held.is_empty())
}

/// What was seen of a lane: how many there are behind the mark, and when the first of them was published.
#[derive(Default)]
pub(super) struct Saw {
    pub(super) waiting: u64,
    pub(super) oldest: Option<OffsetDateTime>,
}

/// `None` where that is not known: there are more, and those that were looked at are no events.
async fn count(
    source: &dyn Source,
    lane: Lane,
    mut mark: Option<String>,
    most: u64,
) -> Result<Option<Saw>, Error> {
    let mut saw = Saw::default();
    let mut read = 0;
    while read < most {
        let taken = source.read(lane, mark.as_deref(), PORTION).await?.taken;
        let Some(last) = taken.last() else { return Ok(Some(saw)) };
        read += taken.len() as u64;
        // What is no event does not wait for anybody.
        saw.waiting += taken.iter().filter(|taken| taken.event.is_ok()).count() as u64;
        mark = Some(last.mark.clone());
        let first = || taken.iter().find_map(|taken| Some(taken.event.as_ref().ok()?.at));
        saw.oldest = saw.oldest.or_else(first);
    }
    Ok((saw.waiting > 0).then_some(saw))
}

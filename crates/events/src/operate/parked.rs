//! What is parked: which events, looked for by what is known of them.

use shared_core::TenantId;
use shared_db::{Row, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{MAX_LISTED, Subscriptions, refuse};
use crate::Error;

/// `$1` subscription, `$2` consumer, `$3` tenant, `$4` key, `$5` name, `$6` a part of the reason; each or null.
macro_rules! meant {
    () => {
        "($1::text is null or p.subscription = $1) and ($2::text is null or p.consumer = $2)
         and ($3::uuid is null or p.tenant_id = $3) and ($4::text is null or p.key = $4) and ($5::text is null or p.name = $5)
         and ($6::text is null or strpos(p.reason, $6) > 0)"
    };
}
pub(super) use meant;

statements! {
    // `$7` the state or null; `$8` to `$11` behind which one; `$12` how many at most.
    const PARKED: Statement<(Option<String>, Option<String>, Option<TenantId>, Option<String>, Option<String>, Option<String>, Option<String>,
                             Option<i64>, Option<TenantId>, Option<String>, Option<String>, i64), ParkedRow> = concat!("
        select p.tenant_id, p.subscription, p.consumer, p.lane, p.key, p.pos, p.event_id, p.name, p.reason, p.attempts, p.state, p.next_at, p.at
          from shared_events.parked as p
         where p.state <> 'sent' and ", meant!(), " and ($7::text is null or p.state = $7)
           and ($8::bigint is null or (p.pos, p.tenant_id, p.subscription, p.consumer) > ($8, $9::uuid, $10::text, $11::text))
         order by p.pos, p.tenant_id, p.subscription, p.consumer limit $12");
}

/// Where a parked event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParkedState {
    /// The first of its key: it is tried again by itself.
    Retrying,
    /// It waits behind the first of its key.
    Waiting,
    /// The first of its key: it waits for an operator.
    Dead,
}

impl ParkedState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Retrying, Self::Waiting, Self::Dead];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        }
    }

    /// The state of this word.
    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Which parked events. Everything that is said narrows it down.
///
/// ```
/// use shared_events::ParkedFilter;
///
/// let timed_out = ParkedFilter::new().consumer("digest").reason("took longer than");
/// # let _ = timed_out;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedFilter {
    pub(crate) subscription: Option<String>,
    pub(crate) consumer: Option<String>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) key: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) state: Option<ParkedState>,
    /// Those behind this one, in a list of the oldest first.
    pub(crate) after: Option<ParkedPlace>,
}

/// A parked event's place in a list: its position, tenant, subscription and consumer.
pub(crate) type ParkedPlace = (i64, TenantId, String, String);

impl ParkedFilter {
    /// All of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of a subscription.
    pub fn subscription(mut self, name: impl Into<String>) -> Self {
        self.subscription = Some(name.into());
        self
    }

    /// Those of a consumer, or of a sink by its name.
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.consumer = Some(name.into());
        self
    }

    /// Those of a tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Those of a key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Those of a type, such as `note.created`.
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.event = Some(name.into());
        self
    }

    /// Those whose reason has this text in it. What waits behind another event has none.
    pub fn reason(mut self, part: impl Into<String>) -> Self {
        self.reason = Some(part.into());
        self
    }

    /// Those in a state. It counts where they are listed: what is redriven or discarded is the first of its key.
    pub fn state(mut self, state: ParkedState) -> Self {
        self.state = Some(state);
        self
    }

    /// Those that stand behind this one in a list, which need not be there any more: the page that follows the one it ended.
    pub fn after(mut self, parked: &Parked) -> Self {
        self.after = Some(parked.place());
        self
    }

    /// Words that nothing has: the server could not read them.
    pub(super) fn is_vain(&self) -> bool {
        self.words().any(|word| word.contains('\0'))
    }

    /// An empty word is a slip, and what has it would not be what was meant: it is in every reason.
    pub(super) fn check(&self, attempted: &'static str) -> Result<(), Error> {
        let slip = self.words().any(String::is_empty);
        refuse(attempted, slip.then_some("expected words that are not empty"))
    }

    fn words(&self) -> impl Iterator<Item = &String> {
        [&self.subscription, &self.consumer, &self.key, &self.event, &self.reason].into_iter().flatten()
    }
}

/// An event that a consumer could not consume, or a sink not take, or that waits behind one of those. Its payload is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// Whose event it is.
    pub tenant: TenantId,
    /// The subscription that brought it.
    pub subscription: String,
    /// Who could not consume it.
    pub consumer: String,
    /// The name of the event.
    pub event: String,
    /// The event's identity.
    pub id: Uuid,
    /// What it is about: later events of the tenant with this key wait behind.
    pub key: String,
    /// Its position in the log.
    pub pos: i64,
    /// Where it is.
    pub state: ParkedState,
    /// Why it failed; `None` for one that waits behind another, and was not tried.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again, if it is by itself.
    pub next_at: Option<OffsetDateTime>,
    /// When it was parked, by the database's clock.
    pub at: OffsetDateTime,
}

#[derive(Row)]
struct ParkedRow {
    tenant_id: TenantId,
    subscription: String,
    consumer: String,
    key: String,
    pos: i64,
    event_id: Uuid,
    name: String,
    reason: Option<String>,
    attempts: i32,
    state: String,
    next_at: Option<OffsetDateTime>,
    at: OffsetDateTime,
}

impl Subscriptions {
    /// Parked events that match, the oldest first; at most this many, and at most [`MAX_LISTED`]. The next ones come with
    /// [`ParkedFilter::after`]. It looks through all that is parked.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn parked(&self, filter: &ParkedFilter, most: u32) -> Result<Vec<Parked>, Error> {
        if filter.is_vain() {
            return Ok(Vec::new());
        }
        let f = filter;
        let state = f.state.map(ParkedState::as_str);
        let (pos, tenant, subscription, consumer) =
            f.after.clone().map_or((None, None, None, None), |(pos, tenant, subscription, consumer)| {
                (Some(pos), Some(tenant), Some(subscription), Some(consumer))
            });
        let most = i64::from(most.min(MAX_LISTED));
        let params = (
            &f.subscription,
            &f.consumer,
            f.tenant,
            &f.key,
            &f.event,
            &f.reason,
            state,
            pos,
            tenant,
            subscription,
            consumer,
            most,
        );
        let rows: Vec<ParkedRow> = self.db.system().all(&PARKED, params).await?;
        Ok(rows.into_iter().map(Parked::from).collect())
    }
}

impl Parked {
    pub(crate) fn place(&self) -> ParkedPlace {
        (self.pos, self.tenant, self.subscription.clone(), self.consumer.clone())
    }
}

impl From<ParkedRow> for Parked {
    fn from(row: ParkedRow) -> Self {
        Self {
            tenant: row.tenant_id,
            subscription: row.subscription,
            consumer: row.consumer,
            event: row.name,
            id: row.event_id,
            key: row.key,
            pos: row.pos,
            state: ParkedState::read(&row.state).unwrap_or(ParkedState::Waiting),
            reason: row.reason,
            attempts: row.attempts.unsigned_abs(),
            next_at: row.next_at,
            at: row.at,
        }
    }
}

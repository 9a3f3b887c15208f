//! Who publishes, consumes and passes on which events: a table in which programs stand as long as they live.
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! # use shared_db::Db;
//! # use shared_events::{Error, Event};
//! # use shared_events::registry::{Change, Member, Registry, Role};
//! # #[derive(Serialize, Deserialize, Event)]
//! # #[event(name = "note.created", version = 1, key = "note")]
//! # struct NoteCreated { note: String }
//! # async fn example(db: Db) -> Result<(), Error> {
//! let registry = Registry::new(db);
//! let member = Member::producer("notes", "1.4.0").base_url("https://notes.example.com").event::<NoteCreated>();
//! let registration = registry.register(member).await?;
//!
//! for hub in registry.discover(Role::Hub).await? {
//!     println!("{} {} at {:?}", hub.name, hub.version, hub.base_url);
//! }
//! let mut watch = registry.watch();
//! if let Change::Left(gone) = watch.next().await {
//!     println!("{} has left", gone.name);
//! }
//! registration.leave().await
//! # }
//! ```
//!
//! A member is healthy as long as it has renewed its entry within the lease, by the clock of the database. Who is not is still listed
//! for a day. The registry tells who is there; it steers nothing.

mod member;
mod registration;
mod watch;

use std::time::Duration;

use shared_db::{Db, Row, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Error;
pub use member::{EventType, Member, Registered, Role};
pub use registration::Registration;
pub use watch::{Change, Watch};

/// How long a member is healthy without a sign of life: 15 s. It gives one every five, so two may be lost.
const LEASE: Duration = Duration::from_secs(15);

/// Members that are listed at most. It is some hundred times what one database has.
const MAX_LISTED: i64 = 10_000;

/// The signal by which members of this process wake its watchers.
const SIGNAL: &str = "shared_events.registry";

statements! {
    // Types in their order: two programs that come at once would else wait for each other. Who was away for long comes back by this too.
    const RENEW: Statement<(Uuid, String, String, String, Option<String>, Vec<String>, Vec<String>, Vec<i32>, f64), ()> = "
        with known as (
            insert into shared_events.event_type (name, version)
            select e.name, e.version from unnest($7::text[], $8::int4[]) as e (name, version) order by e.name, e.version
                on conflict do nothing)
        insert into shared_events.member
               (instance, role, name, version, base_url, capabilities, event_names, event_versions, expires)
        values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(secs => $9))
            on conflict (instance) do update set beat = clock_timestamp(), expires = excluded.expires";
    const LEAVE: Statement<(Uuid,), ()> = "delete from shared_events.member where instance = $1";
    const FORGET: Statement<(), ()> = "
        delete from shared_events.member where expires < statement_timestamp() - interval '1 day'";
    const MEMBERS: Statement<(i64,), MemberRow> = "
        select instance, role, name, version, base_url, capabilities, event_names, event_versions, since, beat,
               expires > clock_timestamp() as is_healthy
          from shared_events.member order by role, name, since, instance limit $1";
    const TYPES: Statement<(i64,), (String, i32, OffsetDateTime)> = "
        select name, version, since from shared_events.event_type order by name, version limit $1";
}

/// The registry of a database. Clones share nothing but the database.
#[derive(Clone, Debug)]
pub struct Registry {
    db: Db,
    lease: Duration,
}

impl Registry {
    /// The registry in this database, with a lease of 15 s.
    pub fn new(db: Db) -> Self {
        Self { db, lease: LEASE }
    }

    /// The same with another lease for members that are registered here, at least 100 ms: they give a sign of life three times within it.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(100));
        self
    }

    /// Enters the member, and keeps it healthy in a task of its own, until it [leaves](Registration::leave) or is dropped.
    ///
    /// # Errors
    /// [`Error::Unregistrable`] for a member with too much or too little to say; [`Error::Database`].
    pub async fn register(&self, member: Member) -> Result<Registration, Error> {
        member.checked()?;
        self.db.system().execute(&FORGET, ()).await?;
        Registration::start(self.db.clone(), member, self.lease).await
    }

    /// The healthy members of this role, by name.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn discover(&self, role: Role) -> Result<Vec<Registered>, Error> {
        let all = self.members().await?.into_iter();
        Ok(all.filter(|member| member.is_healthy && member.role == role).collect())
    }

    /// All members, by role and name; at most 10,000. Those that are not healthy have ended without leaving, or can't reach the database.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn members(&self) -> Result<Vec<Registered>, Error> {
        let rows: Vec<MemberRow> = self.db.system().all(&MEMBERS, (MAX_LISTED,)).await?;
        Ok(rows.into_iter().filter_map(MemberRow::read).collect())
    }

    /// The types of events that members ever had, by name and version; at most 10,000.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn event_types(&self) -> Result<Vec<EventType>, Error> {
        let rows: Vec<(String, i32, OffsetDateTime)> = self.db.system().all(&TYPES, (MAX_LISTED,)).await?;
        let types = rows.into_iter();
        Ok(types
            .map(|(name, version, since)| EventType { name, version: version.unsigned_abs(), since })
            .collect())
    }

    /// What changes among the healthy members from now on, beginning with those that are there.
    pub fn watch(&self) -> Watch {
        Watch::new(self.clone())
    }
}

#[derive(Row)]
struct MemberRow {
    instance: Uuid,
    role: String,
    name: String,
    version: String,
    base_url: Option<String>,
    capabilities: Vec<String>,
    event_names: Vec<String>,
    event_versions: Vec<i32>,
    since: OffsetDateTime,
    beat: OffsetDateTime,
    is_healthy: bool,
}

impl MemberRow {
    /// A role that a later release knows is left out.
    fn read(self) -> Option<Registered> {
        let versions = self.event_versions.into_iter().map(i32::unsigned_abs);
        Some(Registered {
            instance: self.instance,
            role: Role::read(&self.role)?,
            name: self.name,
            version: self.version,
            base_url: self.base_url,
            capabilities: self.capabilities,
            events: self.event_names.into_iter().zip(versions).collect(),
            since: self.since,
            beat: self.beat,
            is_healthy: self.is_healthy,
        })
    }
}

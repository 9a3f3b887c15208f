use std::fmt;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Error, Event};

/// Words for what a member can do, at most.
const MAX_CAPABILITIES: usize = 64;
/// Types of events of one member, at most.
const MAX_EVENTS: usize = 1000;

/// What a member does with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It publishes.
    Producer,
    /// It consumes.
    Consumer,
    /// It passes on: a relay to a broker, a gateway.
    Hub,
}

impl Role {
    /// Its word: `producer`, `consumer` or `hub`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Hub => "hub",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        [Self::Producer, Self::Consumer, Self::Hub].into_iter().find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a program says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) base_url: Option<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) events: Vec<(&'static str, u16)>,
}

impl Member {
    /// A program that publishes: its name, and the version of its release.
    pub fn producer(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self::new(Role::Producer, name.into(), version.into())
    }

    /// A program that consumes.
    pub fn consumer(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self::new(Role::Consumer, name.into(), version.into())
    }

    /// A program that passes on.
    pub fn hub(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self::new(Role::Hub, name.into(), version.into())
    }

    fn new(role: Role, name: String, version: String) -> Self {
        Self { role, name, version, base_url: None, capabilities: Vec::new(), events: Vec::new() }
    }

    /// The same with an address at which it can be reached.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// The same with a word for something that it can do, such as `replay`.
    pub fn capability(mut self, word: impl Into<String>) -> Self {
        self.capabilities.push(word.into());
        self
    }

    /// The same with a type of event that it publishes, consumes or passes on, in the version that it knows.
    pub fn event<E: Event>(mut self) -> Self {
        self.events.push((E::NAME, E::VERSION));
        self
    }

    /// Refuses what the table has no room for.
    pub(super) fn checked(&self) -> Result<(), Error> {
        let refused = |why: &str| Err(Error::Unregistrable(why.to_owned()));
        let is_long = |text: &str, most: usize| {
            !(1..=most).contains(&text.chars().count()) || text.contains(char::is_control)
        };
        if is_long(&self.name, 63) {
            return refused("its name has not 1 to 63 characters");
        }
        if is_long(&self.version, 100) {
            return refused("its version has not 1 to 100 characters");
        }
        if self.base_url.as_ref().is_some_and(|url| is_long(url, 2000)) {
            return refused("its base URL has not 1 to 2,000 characters");
        }
        if self.capabilities.len() > MAX_CAPABILITIES
            || self.capabilities.iter().any(|word| is_long(word, 100))
        {
            return refused("it has more than 64 capabilities, or one without 1 to 100 characters");
        }
        if self.events.len() > MAX_EVENTS {
            return refused("it has more than 1,000 types of events");
        }
        Ok(())
    }
}

/// A member as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// This run of the program: there may be many of a name.
    pub instance: Uuid,
    /// What it does with events.
    pub role: Role,
    /// The program.
    pub name: String,
    /// The version of its release.
    pub version: String,
    /// Where it can be reached.
    pub base_url: Option<String>,
    /// What it can do, in its own words.
    pub capabilities: Vec<String>,
    /// The types of events that it deals with, each with the version that it knows.
    pub events: Vec<(String, u32)>,
    /// When it came, by the database's clock.
    pub since: OffsetDateTime,
    /// Its last sign of life, by the database's clock.
    pub beat: OffsetDateTime,
    /// Whether that was within its lease.
    pub is_healthy: bool,
}

impl Registered {
    /// Whether it deals with events of this name.
    pub fn knows(&self, event: &str) -> bool {
        self.events.iter().any(|(name, _)| name == event)
    }
}

/// A version of a type of event that some program had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventType {
    /// Its name, such as `note.created`.
    pub name: String,
    /// The version of its fields.
    pub version: u32,
    /// When the first program with it came, by the database's clock.
    pub since: OffsetDateTime,
}

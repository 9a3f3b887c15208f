use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Id, TenantId, TraceParent};

/// The longest accepted [`Actor`] and [`CorrelationId`], in bytes: room for any subject of a token, and small
/// enough to ride along in every row, log line and message.
pub const MAX_TEXT: usize = 255;

/// A part of a tenant, such as a location or a workspace.
#[derive(Debug)]
pub enum Site {}

/// Who acts, for whom, and in which conversation: it travels from the request to the row, the job, the event and
/// every log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<Id<Site>>,
    actor: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegate: Option<Actor>,
    correlation: CorrelationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<TraceParent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation: Option<Uuid>,
}

impl Context {
    /// A context with a correlation id of its own, without site, trace and cause.
    pub fn new(tenant: TenantId, actor: Actor) -> Self {
        Self {
            tenant,
            site: None,
            actor,
            delegate: None,
            correlation: CorrelationId::new(),
            traceparent: None,
            causation: None,
        }
    }

    /// The same within a site of the tenant.
    pub fn with_site(mut self, site: Id<Site>) -> Self {
        self.site = Some(site);
        self
    }

    /// The same with somebody else at the keyboard: an administrator who acts as a user, a service that acts for one.
    pub fn with_delegate(mut self, delegate: Actor) -> Self {
        self.delegate = Some(delegate);
        self
    }

    /// The same as part of a conversation that began elsewhere.
    pub fn with_correlation(mut self, correlation: CorrelationId) -> Self {
        self.correlation = correlation;
        self
    }

    /// The same as part of a trace; `None` takes it out of any.
    pub fn with_traceparent(mut self, traceparent: Option<TraceParent>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// The same because of an event, by its id; `None` where no event led to it.
    pub fn with_causation(mut self, event: Option<Uuid>) -> Self {
        self.causation = event;
        self
    }

    /// Whose data it is about.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The part of the tenant, if the caller is bound to one.
    pub fn site(&self) -> Option<Id<Site>> {
        self.site
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Who acts in the actor's place, if somebody does (the claim `act` of RFC 8693): an administrator, a service.
    pub fn delegate(&self) -> Option<&Actor> {
        self.delegate.as_ref()
    }

    /// The conversation, the same over all services, jobs and events that follow from one request.
    pub fn correlation(&self) -> &CorrelationId {
        &self.correlation
    }

    /// The span that caused this, if it was traced.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.traceparent
    }

    /// The event whose consumer acts, or acted before it enqueued the job that does: the cause of what is published now.
    pub fn causation(&self) -> Option<Uuid> {
        self.causation
    }
}

/// Who acts: the subject of a token, or the name of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// The actor with this name; what is longer than [`MAX_TEXT`] is cut at a character.
    pub fn new(name: impl Into<String>) -> Self {
        let mut name = name.into();
        name.truncate(name.floor_char_boundary(MAX_TEXT));
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One conversation, from the first request to its last effect: 1 to [`MAX_TEXT`] visible ASCII characters, so
/// that it fits a header, a log line and a metric's exemplar without escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CorrelationId(String);

impl CorrelationId {
    /// A conversation that begins here.
    #[allow(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that can't be a correlation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a correlation id has 1 to {MAX_TEXT} visible ASCII characters")]
pub struct InvalidCorrelationId;

impl FromStr for CorrelationId {
    type Err = InvalidCorrelationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for CorrelationId {
    type Error = InvalidCorrelationId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(InvalidCorrelationId) }
    }
}

impl From<CorrelationId> for String {
    fn from(id: CorrelationId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_as_json() {
        let context = Context::new(TenantId::new(), Actor::new("user:7"))
            .with_delegate(Actor::new("admin:1"))
            .with_correlation("req-1".parse().unwrap())
            .with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok())
            .with_causation(Some(Uuid::now_v7()));
        let json = serde_json::to_string(&context).unwrap();
        assert_eq!(serde_json::from_str::<Context>(&json).unwrap(), context);
    }

    #[test]
    fn what_was_stored_before_there_were_causes_is_read() {
        let context = Context::new(TenantId::new(), Actor::new("user:7"));
        let json = serde_json::to_string(&context).unwrap();
        assert!(!json.contains("causation"), "{json}");
        assert_eq!(serde_json::from_str::<Context>(&json).unwrap().causation(), None);
    }

    #[test]
    fn correlation_ids_fit_a_header() {
        for bad in ["", "two words", "new\nline", "ümlaut", &"x".repeat(256)] {
            assert_eq!(bad.parse::<CorrelationId>(), Err(InvalidCorrelationId));
        }
        assert!("a-b_c/1.2:3".parse::<CorrelationId>().is_ok());
    }

    #[test]
    fn long_actors_are_cut_at_a_character() {
        assert!(Actor::new("ü".repeat(200)).as_str().len() <= MAX_TEXT);
    }
}

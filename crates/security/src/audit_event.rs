use std::net::IpAddr;

use serde_json::{Map, Value};
use shared_core::{Actor, Context, CorrelationId, InTenant, Secret, TenantId, TraceParent, trace};

/// Most details of an event; a further one is left out, and `_left_out` counts them.
const DETAILS: usize = 16;
/// Names, ids, subjects and the text of a detail, in bytes: as long as an [`Actor`] may be.
pub(crate) const SHORT: usize = shared_core::MAX_TEXT;
/// A reason, in bytes: a few sentences.
const REASON: usize = 1000;
/// The name of an action, in bytes.
const ACTION: usize = 100;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was permitted, and done.
    Allowed,
    /// It was refused.
    Denied,
    /// It was permitted, and something went wrong.
    Failed,
}

impl Outcome {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// What is to be remembered: who did what to which, when, why, from where, and how it ended (ASVS 16.2.1). The time is the
/// server's, when it is written (ASVS 16.2.2).
///
/// ```
/// # use shared_core::{AssumedTenant, Secret, TenantId};
/// # use shared_security::AuditEvent;
/// # fn example(may: &impl shared_core::InTenant, password: &Secret) {
/// let event = AuditEvent::new("role.granted")
///     .within(may)                             // tenant, actor and conversation of the proof
///     .target("user", "user:9")
///     .because("joined the finance team")
///     .from_address([192, 0, 2, 7].into())
///     .detail("role", "accountant")
///     .detail("confirmed_with", password);     // stands there as ***
/// # }
/// ```
/// Nothing in it can fail: what is too long is cut at a character, control characters, which could forge a line of a log, become
/// `U+FFFD` (ASVS 16.4.1). Details are numbers, truth values and short texts, so that no payload ends up here; a [`Secret`] is
/// masked, and a type that has no conversion does not compile:
/// ```compile_fail
/// # use shared_security::AuditEvent;
/// let event = AuditEvent::new("order.placed").detail("body", serde_json::json!({ "card": "4111" }));
/// ```
#[derive(Clone, Debug)]
#[must_use = "an event that nobody records is forgotten"]
pub struct AuditEvent {
    pub(crate) tenant: Option<TenantId>,
    pub(crate) action: String,
    pub(crate) outcome: Outcome,
    pub(crate) actor: Option<String>,
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) target: Option<(String, String)>,
    pub(crate) reason: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
    pub(crate) correlation: Option<CorrelationId>,
    pub(crate) traceparent: Option<TraceParent>,
    pub(crate) details: Map<String, Value>,
}

impl AuditEvent {
    /// Something that was allowed, without a tenant, by nobody known, at the span that is current now. The action is
    /// `domain.verb` in lower case, as in `session.opened`.
    pub fn new(action: &'static str) -> Self {
        debug_assert!(is_action(action), "`{action}` is not `domain.verb` in lower case");
        Self {
            tenant: None,
            action: clean(action, ACTION),
            outcome: Outcome::Allowed,
            actor: None,
            on_behalf_of: None,
            target: None,
            reason: None,
            address: None,
            user_agent: None,
            correlation: None,
            traceparent: trace::current(),
            details: Map::new(),
        }
    }

    /// In the tenant of this proof, by its actor, in its conversation and trace; what was set before stays. Where somebody acts in
    /// another's place, it is by the one who acts, on behalf of the other.
    pub fn within(self, proof: &impl InTenant) -> Self {
        self.of(proof.context())
    }

    pub(crate) fn of(mut self, context: &Context) -> Self {
        self.tenant.get_or_insert(context.tenant());
        if self.actor.is_none() {
            let (by, place) = match context.delegate() {
                Some(delegate) => (delegate, Some(context.actor())),
                None => (context.actor(), None),
            };
            self.actor = Some(clean(by.as_str(), SHORT));
            self.on_behalf_of = self.on_behalf_of.or_else(|| place.map(|who| clean(who.as_str(), SHORT)));
        }
        self.correlation.get_or_insert_with(|| context.correlation().clone());
        self.traceparent = self.traceparent.or(context.traceparent());
        self
    }

    /// In this tenant, for events before there is a proof: a log-in that failed.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// By this actor.
    pub fn actor(mut self, actor: &Actor) -> Self {
        self.actor = Some(clean(actor.as_str(), SHORT));
        self
    }

    /// For somebody else: who is impersonated.
    pub fn on_behalf_of(mut self, subject: &Actor) -> Self {
        self.on_behalf_of = Some(clean(subject.as_str(), SHORT));
        self
    }

    /// What it was done to.
    pub fn target(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.target = Some((clean(kind, SHORT), clean(&id.to_string(), SHORT)));
        self
    }

    /// How it ended.
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// It was refused.
    pub fn denied(self) -> Self {
        self.outcome(Outcome::Denied)
    }

    /// It went wrong.
    pub fn failed(self) -> Self {
        self.outcome(Outcome::Failed)
    }

    /// Why, in the words of whoever did it, or of what refused it. Up to 1,000 bytes.
    pub fn because(mut self, reason: impl AsRef<str>) -> Self {
        self.reason = Some(clean(reason.as_ref(), REASON));
        self
    }

    /// From this address: the client's, behind as many proxies as are trusted.
    pub fn from_address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// What the client calls itself. Up to 255 bytes.
    pub fn user_agent(mut self, agent: impl AsRef<str>) -> Self {
        self.user_agent = Some(clean(agent.as_ref(), SHORT));
        self
    }

    /// In this conversation.
    pub fn correlation(mut self, id: CorrelationId) -> Self {
        self.correlation = Some(id);
        self
    }

    /// Something small that is worth remembering, up to 16 of them.
    pub fn detail(mut self, name: &'static str, value: impl Into<Detail>) -> Self {
        if self.details.len() < DETAILS || self.details.contains_key(name) {
            self.details.insert(clean(name, ACTION), value.into().0);
        } else {
            let left_out = self.details.get(LEFT_OUT).and_then(Value::as_u64).unwrap_or(0);
            self.details.insert(LEFT_OUT.to_owned(), Value::from(left_out + 1));
        }
        self
    }
}

/// The detail that counts those that found no room.
const LEFT_OUT: &str = "_left_out";

/// The value of a detail: a number, a truth value, or a text of up to 255 bytes. A [`Secret`] is `***`.
#[derive(Clone, Debug)]
pub struct Detail(Value);

macro_rules! details {
    ($($t:ty)*) => {$(
        impl From<$t> for Detail {
            fn from(value: $t) -> Self {
                Self(Value::from(value))
            }
        }
    )*};
}
details!(bool i32 i64 u32 u64);

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self(Value::String(clean(text, SHORT)))
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Secret> for Detail {
    fn from(_: &Secret) -> Self {
        Self(Value::String("***".to_owned()))
    }
}

impl From<Secret> for Detail {
    fn from(secret: Secret) -> Self {
        Self::from(&secret)
    }
}

/// Cut at a character, and without control characters.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let mut clean: String = text
        .chars()
        .take(most)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    clean.truncate(clean.floor_char_boundary(most));
    clean
}

/// `domain.verb`, in lower case, digits and underscores.
fn is_action(name: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.len() <= ACTION && name.contains('.') && name.split('.').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_can_t_forge_a_line() {
        let event = AuditEvent::new("a.b").because("one\ntwo\0").user_agent("ü".repeat(1000));
        assert_eq!(event.reason.as_deref(), Some("one\u{fffd}two\u{fffd}"));
        assert!(event.user_agent.is_some_and(|agent| agent.len() == 254));
    }

    #[test]
    fn details_are_few_and_small() {
        let names: &[&str] =
            &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
        let names = names.iter();
        let event = names.fold(AuditEvent::new("a.b"), |event, name| event.detail(name, "\"".repeat(10_000)));
        assert_eq!(event.details["_left_out"], 2);
        assert!(Value::Object(event.details).to_string().len() < 16_384);
    }

    #[test]
    fn a_secret_is_masked() {
        let secret = Secret::new("hunter2");
        let event = AuditEvent::new("a.b").detail("with", &secret).detail("and", secret);
        assert!(!format!("{event:?}").contains("hunter2"));
        assert_eq!(event.details["with"], "***");
    }
}

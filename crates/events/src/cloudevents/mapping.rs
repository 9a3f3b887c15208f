//! An event of the log in the words of CloudEvents, and back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use shared_core::{Actor, Context, TenantId};
#[cfg(any(feature = "redis", feature = "nats"))]
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::binary::PREFIX;
use super::{CloudEvent, Data, InvalidCloudEvent};
#[cfg(any(feature = "redis", feature = "nats"))]
use super::{Headers, SPEC};
use crate::publish::is_key;
use crate::{Envelope, Error, Lane, Place};

/// What payloads are.
const JSON: &str = "application/json";

/// Where a program's events come from, for those who read them elsewhere: the attribute `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(String);

impl Source {
    /// A URI, or a part of one: `https://notes.example.com`, `/notes`.
    ///
    /// # Errors
    /// [`Error::Config`] if it is empty, or has characters that no URI has.
    pub fn new(uri: impl Into<String>) -> Result<Self, Error> {
        let uri = uri.into();
        let is_uri = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if uri.is_empty() || !uri.bytes().all(is_uri) {
            return Err(Error::Config("the source of events is a URI, such as /notes".to_owned()));
        }
        Ok(Self(uri))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The event in the words of CloudEvents. See [the module](super) for what becomes what.
    pub fn cloud_event(&self, of: &Envelope) -> CloudEvent {
        let mut extensions = BTreeMap::new();
        extensions_of(of, |name, value| {
            extensions.insert(name.trim_start_matches(PREFIX).to_owned(), value.to_string());
        });
        CloudEvent {
            subject: Some(of.key.clone()),
            time: Some(of.at),
            datacontenttype: Some(JSON.to_owned()),
            dataschema: Some(format!("event:{}/{}", of.name, of.version)),
            extensions,
            data: Some(Data::Json(of.payload.clone())),
            ..CloudEvent::new(of.id.to_string(), &self.0, &of.name)
        }
    }

    /// Writes the headers of the event in the binary form, as [`CloudEvent::to_binary`] makes them; but without the steps between, since every
    /// event that is sent goes this way. The payload is the body.
    #[cfg(any(feature = "redis", feature = "nats"))]
    pub(crate) fn headers(&self, of: &Envelope, headers: &mut Headers) {
        let mut say = |name, value: &dyn Display| headers.say(name, value);
        say("ce-specversion", &SPEC);
        say("ce-id", &of.id);
        say("ce-source", &self.0);
        say("ce-type", &of.name);
        say("ce-subject", &of.key);
        if let Ok(time) = of.at.format(&Rfc3339) {
            say("ce-time", &time);
        }
        say("ce-dataschema", &format_args!("event:{}/{}", of.name, of.version));
        extensions_of(of, &mut say);
        say("content-type", &JSON);
    }
}

/// What is said about an event beyond what the specification knows, under the names of the headers, in their order.
fn extensions_of(of: &Envelope, mut say: impl FnMut(&'static str, &dyn Display)) {
    let context = &of.context;
    say("ce-actor", context.actor());
    if let Some(event) = context.causation() {
        say("ce-causationid", &event);
    }
    say("ce-correlationid", context.correlation());
    if let Some(delegate) = context.delegate() {
        say("ce-delegate", delegate);
    }
    say("ce-eventversion", &of.version);
    say("ce-lane", &of.lane);
    say("ce-place", &of.place);
    if of.replay {
        say("ce-replay", &true);
    }
    if let Some(site) = context.site() {
        say("ce-siteid", &site);
    }
    say("ce-tenantid", &of.tenant);
    if let Some(span) = context.traceparent() {
        say("ce-traceparent", &span);
    }
}

/// `/events`, for programs whose events nobody else's are mixed with: their ids are unique by themselves.
impl Default for Source {
    fn default() -> Self {
        Self("/events".to_owned())
    }
}

impl TryFrom<CloudEvent> for Envelope {
    type Error = InvalidCloudEvent;

    /// Events of this family alone: those of others have no tenant.
    fn try_from(event: CloudEvent) -> Result<Self, InvalidCloudEvent> {
        let said = Said(&event.extensions);
        let id = event.id.parse().map_err(|_| InvalidCloudEvent::attribute("id", "a UUID"))?;
        let tenant: TenantId = said.required("tenantid", "a UUID")?;
        let version: u32 = said.required("eventversion", "an integer from 1")?;
        if version == 0 {
            return Err(InvalidCloudEvent::attribute("eventversion", "an integer from 1"));
        }
        let lane = Lane::new(said.required("lane", "an integer below 16")?);
        let Some(Data::Json(payload)) = event.data else {
            return Err(InvalidCloudEvent::Data { expected: "JSON" });
        };
        let missing = |name: &'static str| InvalidCloudEvent::attribute(name, "it to be there");
        let key = event.subject.ok_or_else(|| missing("subject"))?;
        if !is_key(&key) {
            return Err(InvalidCloudEvent::attribute("subject", "1 to 255 characters, none of them NUL"));
        }
        // An offset may lead beyond the years that there are.
        let at = event.time.ok_or_else(|| missing("time"))?.checked_to_offset(time::UtcOffset::UTC);
        Ok(Self {
            id,
            name: event.kind,
            version,
            key,
            tenant,
            at: at.ok_or_else(|| InvalidCloudEvent::attribute("time", "a time of the years to 9999"))?,
            context: said.context(tenant)?,
            payload,
            lane: lane.ok_or_else(|| InvalidCloudEvent::attribute("lane", "an integer below 16"))?,
            place: said.required::<Place>("place", "two numbers, such as 12-345")?,
            replay: said.optional("replay", "`true` or `false`")?.unwrap_or(false),
            xid: None,
        })
    }
}

/// The extension attributes, by what they should be.
struct Said<'a>(&'a BTreeMap<String, String>);

impl Said<'_> {
    fn optional<T: FromStr>(
        &self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<T>, InvalidCloudEvent> {
        let text = self.0.get(name);
        text.map(|text| text.parse().map_err(|_| InvalidCloudEvent::attribute(name, expected))).transpose()
    }

    fn required<T: FromStr>(&self, name: &str, expected: &'static str) -> Result<T, InvalidCloudEvent> {
        self.optional(name, expected)?.ok_or_else(|| InvalidCloudEvent::attribute(name, expected))
    }

    fn context(&self, tenant: TenantId) -> Result<Context, InvalidCloudEvent> {
        let actor: String = self.required("actor", "a text")?;
        let correlation = self.required("correlationid", "1 to 255 visible ASCII characters")?;
        let mut context = Context::new(tenant, Actor::new(actor))
            .with_correlation(correlation)
            .with_causation(self.optional::<Uuid>("causationid", "a UUID")?)
            .with_traceparent(self.optional("traceparent", "a position in a trace")?);
        if let Some(site) = self.optional("siteid", "a UUID")? {
            context = context.with_site(site);
        }
        if let Some(delegate) = self.optional::<String>("delegate", "a text")? {
            context = context.with_delegate(Actor::new(delegate));
        }
        Ok(context)
    }
}

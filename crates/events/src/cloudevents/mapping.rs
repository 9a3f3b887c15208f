//! An event of the log in the words of CloudEvents, and back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use shared_core::{Actor, Context, TenantId};
use uuid::Uuid;

use super::{CloudEvent, Data, InvalidCloudEvent};
use crate::{Envelope, Error, Lane, Place};

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
        let context = &of.context;
        let mut extensions = BTreeMap::new();
        let mut say = |name: &str, value: Option<&dyn Display>| {
            if let Some(value) = value {
                extensions.insert(name.to_owned(), value.to_string());
            }
        };
        say("tenantid", Some(&of.tenant));
        say("siteid", context.site().as_ref().map(|site| site as &dyn Display));
        say("actor", Some(context.actor()));
        say("delegate", context.delegate().map(|delegate| delegate as &dyn Display));
        say("correlationid", Some(context.correlation()));
        say("causationid", context.causation().as_ref().map(|event| event as &dyn Display));
        say("traceparent", context.traceparent().as_ref().map(|span| span as &dyn Display));
        say("eventversion", Some(&of.version));
        say("lane", Some(&of.lane));
        say("place", Some(&of.place));
        say("replay", of.replay.then_some(&true as &dyn Display));
        CloudEvent {
            subject: Some(of.key.clone()),
            time: Some(of.at),
            datacontenttype: Some("application/json".to_owned()),
            dataschema: Some(format!("event:{}/{}", of.name, of.version)),
            extensions,
            data: Some(Data::Json(of.payload.clone())),
            ..CloudEvent::new(of.id.to_string(), &self.0, &of.name)
        }
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
        Ok(Self {
            id,
            name: event.kind,
            version,
            key: event.subject.ok_or_else(|| missing("subject"))?,
            tenant,
            at: event.time.ok_or_else(|| missing("time"))?.to_offset(time::UtcOffset::UTC),
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

//! The context of an event as its row has it: without the tenant, which is a column of its own.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shared_core::{Actor, Context, CorrelationId, Id, Site, TenantId, TraceParent};
use uuid::Uuid;

/// Every event carries it, and what is not said takes no room.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<Id<Site>>,
    actor: Cow<'a, Actor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegate: Option<Cow<'a, Actor>>,
    correlation: Cow<'a, CorrelationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<TraceParent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation: Option<Uuid>,
}

/// The context at this span, as JSON. It has to be one of the row's tenant.
pub(crate) fn write(context: &Context, traceparent: Option<TraceParent>) -> String {
    let stored = Stored {
        site: context.site(),
        actor: Cow::Borrowed(context.actor()),
        delegate: context.delegate().map(Cow::Borrowed),
        correlation: Cow::Borrowed(context.correlation()),
        traceparent,
        causation: context.causation(),
    };
    // Texts and ids: writing them can't fail. If it did, the empty text would be refused by the column, as it should.
    serde_json::to_string(&stored).unwrap_or_default()
}

/// The context of a row of this tenant, if it can be read.
pub(crate) fn read(tenant: TenantId, text: &str) -> Option<Context> {
    let stored: Stored<'_> = serde_json::from_str(text).ok()?;
    let mut context = Context::new(tenant, stored.actor.into_owned())
        .with_correlation(stored.correlation.into_owned())
        .with_traceparent(stored.traceparent)
        .with_causation(stored.causation);
    if let Some(site) = stored.site {
        context = context.with_site(site);
    }
    if let Some(delegate) = stored.delegate {
        context = context.with_delegate(delegate.into_owned());
    }
    Some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let tenant = TenantId::new();
        let span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok();
        let least = Context::new(tenant, Actor::new("user:7"));
        let most = least
            .clone()
            .with_site(Id::new())
            .with_delegate(Actor::new("admin:1"))
            .with_correlation("request-1".parse().unwrap())
            .with_causation(Some(Uuid::now_v7()))
            .with_traceparent(span);
        for context in [least, most] {
            let text = write(&context, context.traceparent());
            assert_eq!(read(tenant, &text), Some(context), "{text}");
            assert!(!text.contains(&tenant.to_string()) && !text.contains("null"), "{text}");
        }
    }

    #[test]
    fn what_is_no_context_is_none() {
        for text in ["", "{}", "[]", r#"{"actor":"user:7","correlation":"two words"}"#] {
            assert_eq!(read(TenantId::new(), text), None, "{text}");
        }
    }
}

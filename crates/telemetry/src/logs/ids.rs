//! The two ids that spans hand down to log lines.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::Metadata;
use tracing::field::{Field, Visit};

pub(super) const TENANT: &str = "tenant_id";
pub(super) const CORRELATION: &str = "correlation_id";

/// What the fields `tenant_id` and `correlation_id` of a span, or of an event, say.
#[derive(Default)]
pub(super) struct Ids {
    pub(super) tenant: Option<Arc<str>>,
    pub(super) correlation: Option<Arc<str>>,
}

impl Ids {
    /// The span has such a field, filled or to be filled.
    pub(super) fn declared_by(metadata: &Metadata<'_>) -> bool {
        metadata.fields().field(TENANT).is_some() || metadata.fields().field(CORRELATION).is_some()
    }

    pub(super) fn are_complete(&self) -> bool {
        self.tenant.is_some() && self.correlation.is_some()
    }

    /// Takes what is missing from a span further out.
    pub(super) fn fill_from(&mut self, outer: &Ids) {
        self.tenant = self.tenant.take().or_else(|| outer.tenant.clone());
        self.correlation = self.correlation.take().or_else(|| outer.correlation.clone());
    }

    fn slot(&mut self, field: &Field) -> Option<&mut Option<Arc<str>>> {
        match field.name() {
            TENANT => Some(&mut self.tenant),
            CORRELATION => Some(&mut self.correlation),
            _ => None,
        }
    }
}

impl Visit for Ids {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(slot) = self.slot(field) {
            *slot = Some(value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(slot) = self.slot(field) {
            let mut text = String::new();
            // A `Debug` that fails has no id to give; `format!` would panic.
            *slot = write!(text, "{value:?}").is_ok().then(|| text.into());
        }
    }
}

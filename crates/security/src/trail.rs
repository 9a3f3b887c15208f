//! The way by which every part of the crate says what an audit must know.

#[cfg(feature = "postgres")]
mod changes;
#[cfg(feature = "postgres")]
mod flood;

use std::net::IpAddr;

use crate::AuditEvent;
#[cfg(feature = "postgres")]
use {crate::Audit, flood::Flood, std::sync::Arc};

#[cfg(feature = "postgres")]
pub(crate) use changes::Recorded;

/// Leads to the audit log where one was given, and to the program's own log, with the target `audit`, where none was. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    #[cfg(feature = "postgres")]
    log: Option<Arc<Log>>,
    /// Where those are who leave it, if that is known.
    from: Option<IpAddr>,
}

#[cfg(feature = "postgres")]
#[derive(Debug)]
struct Log {
    audit: Audit,
    flood: Flood,
}

impl Trail {
    #[cfg(feature = "postgres")]
    pub(crate) fn to(audit: Audit) -> Self {
        Self { log: Some(Arc::new(Log { audit, flood: Flood::default() })), from: None }
    }

    /// The same, left by somebody at this address.
    pub(crate) fn left_from(&self, address: Option<IpAddr>) -> Self {
        Self { from: address, ..self.clone() }
    }

    /// Where those are who leave it.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.from
    }

    fn place(&self, mut event: AuditEvent) -> AuditEvent {
        event.address = event.address.or(self.from);
        event
    }

    /// Remembers what somebody did who is known.
    pub(crate) fn record(&self, event: AuditEvent) {
        let event = self.place(event);
        #[cfg(feature = "postgres")]
        if let Some(log) = &self.log {
            log.audit.record(event);
            return;
        }
        write_line(&event);
    }

    /// Remembers what anybody can cause as often as he likes. A flood of it fills neither the log nor the buffer that leads there:
    /// beyond so many a second they are summed, and the next one says how many there were.
    pub(crate) fn record_of_anybody(&self, event: AuditEvent) {
        let event = self.place(event);
        #[cfg(feature = "postgres")]
        if let Some(log) = &self.log {
            if let Some(summed) = log.flood.admit() {
                log.audit.record(if summed > 0 { event.detail("summed", summed) } else { event });
            }
            return;
        }
        write_line(&event);
    }
}

fn write_line(event: &AuditEvent) {
    let target = event.target.as_ref().map(|(kind, id)| format!("{kind} {id}"));
    tracing::info!(
        target: "audit",
        action = event.action,
        outcome = event.outcome.as_str(),
        tenant_id = event.tenant.map(tracing::field::display),
        actor = event.actor,
        on_behalf_of = event.on_behalf_of,
        subject = target,
        reason = event.reason,
        address = event.address.map(tracing::field::display),
        correlation_id = event.correlation.as_ref().map(tracing::field::display),
        details = (!event.details.is_empty()).then(|| tracing::field::display(serde_json::Value::Object(event.details.clone()))),
    );
}

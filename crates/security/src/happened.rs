//! What an audit has to know of authorisation.

use shared_core::Context;

/// Something was denied, or done with the power of the system. `target` is what it was done to, `reason` why.
pub(crate) fn happened(event: &'static str, context: &Context, target: &str, reason: &str) {
    tracing::info!(
        target: "audit",
        event,
        tenant_id = %context.tenant(),
        actor = %context.actor(),
        delegate = context.delegate().map(tracing::field::display),
        correlation_id = %context.correlation(),
        subject = target,
        reason,
    );
}

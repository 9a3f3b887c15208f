//! Finds the libraries' settings inside a program's own.

use std::any::TypeId;

use shared_core::schema::{Setting, from_pairs};

use crate::Config;

/// The settings of everything that a service starts. What the program does not embed takes its defaults; `None` where
/// there are none.
pub(crate) struct Parts {
    pub(crate) service: Option<Config>,
    pub(crate) db: Option<shared_db::Config>,
    pub(crate) security: Option<shared_security::Config>,
    pub(crate) queues: Option<shared_queues::Config>,
    pub(crate) events: Option<shared_events::Config>,
    pub(crate) telemetry: shared_telemetry::Config,
    pub(crate) audit: Option<shared_security::audit::Config>,
    pub(crate) tenants: Option<shared_security::TenantsConfig>,
    /// Only where the program embeds it.
    #[cfg(feature = "jwks")]
    pub(crate) issuer: Option<shared_security::RemoteIssuer>,
}

impl Parts {
    pub(crate) fn of<C: Setting>(settings: &C) -> Self {
        Self {
            service: part(settings),
            db: find(settings),
            security: part(settings),
            queues: part(settings),
            events: part(settings),
            telemetry: find(settings).unwrap_or_default(),
            audit: part(settings),
            tenants: part(settings),
            #[cfg(feature = "jwks")]
            issuer: find(settings),
        }
    }
}

fn part<C: Setting, P: Setting + Clone>(settings: &C) -> Option<P> {
    find(settings).or_else(|| from_pairs::<P>([]).ok())
}

fn find<C: Setting, P: Clone + 'static>(settings: &C) -> Option<P> {
    settings.part(TypeId::of::<P>())?.downcast_ref().cloned()
}

use std::sync::Arc;

use axum::extract::FromRef;
use shared_core::Failure;
use shared_db::Db;
use shared_queues::Queues;
use shared_security::{Audit, Revocations, Tenants};

use crate::guards::Guards;

/// What a service starts with, for the function that opens its state.
#[derive(Debug)]
#[non_exhaustive]
pub struct Start<C> {
    /// The settings, as they were loaded.
    pub settings: Arc<C>,
    /// The migrated database.
    pub db: Db,
    /// The queues: for jobs that are enqueued outside of transactions, for schedules and limits, and to look on.
    pub queues: Queues,
    audit: Option<Audit>,
    revocations: Option<Revocations>,
    tenants: Option<Tenants>,
}

impl<C> Start<C> {
    pub(crate) fn new(settings: Arc<C>, db: Db, queues: Queues, guards: &Guards) -> Self {
        Self {
            settings,
            db,
            queues,
            audit: guards.audit(),
            revocations: guards.revocations.clone(),
            tenants: guards.tenants.clone(),
        }
    }

    /// The audit log, of a service that [is audited](crate::Service::audited).
    ///
    /// # Errors
    /// If it is not.
    pub fn audit(&self) -> Result<Audit, Failure> {
        self.audit.clone().ok_or_else(|| without("audited"))
    }

    /// What is revoked, of a service with [revocations](crate::Service::revocations).
    ///
    /// # Errors
    /// If it has none.
    pub fn revocations(&self) -> Result<Revocations, Failure> {
        self.revocations.clone().ok_or_else(|| without("revocations"))
    }

    /// The tenants, of a service that [looks at them](crate::Service::tenants).
    ///
    /// # Errors
    /// If it does not.
    pub fn tenants(&self) -> Result<Tenants, Failure> {
        self.tenants.clone().ok_or_else(|| without("tenants"))
    }
}

fn without(method: &str) -> Failure {
    Failure::dead(format!("the service was built without `{method}`; call that method of `Service`"))
}

/// The state of a service that has none of its own: handlers may ask for `State<Db>`, `State<Queues>` and for the settings.
pub struct Provided<C> {
    settings: Arc<C>,
    db: Db,
    queues: Queues,
}

impl<C> Provided<C> {
    pub(crate) fn of(start: Start<C>) -> Self {
        Self { settings: start.settings, db: start.db, queues: start.queues }
    }
}

impl<C> Clone for Provided<C> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), db: self.db.clone(), queues: self.queues.clone() }
    }
}

impl<C> FromRef<Provided<C>> for Db {
    fn from_ref(provided: &Provided<C>) -> Self {
        provided.db.clone()
    }
}

impl<C> FromRef<Provided<C>> for Queues {
    fn from_ref(provided: &Provided<C>) -> Self {
        provided.queues.clone()
    }
}

impl<C> FromRef<Provided<C>> for Arc<C> {
    fn from_ref(provided: &Provided<C>) -> Self {
        provided.settings.clone()
    }
}

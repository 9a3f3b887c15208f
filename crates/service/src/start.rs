use std::sync::Arc;

use axum::extract::FromRef;
use shared_db::Db;

/// What a service starts with, for the function that opens its state.
#[derive(Debug)]
#[non_exhaustive]
pub struct Start<C> {
    /// The settings, as they were loaded.
    pub settings: Arc<C>,
    /// The migrated database.
    pub db: Db,
}

/// The state of a service that has none of its own: handlers may ask for `State<Db>` and for the settings.
pub struct Provided<C> {
    settings: Arc<C>,
    db: Db,
}

impl<C> Provided<C> {
    pub(crate) fn of(start: Start<C>) -> Self {
        Self { settings: start.settings, db: start.db }
    }
}

impl<C> Clone for Provided<C> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), db: self.db.clone() }
    }
}

impl<C> FromRef<Provided<C>> for Db {
    fn from_ref(provided: &Provided<C>) -> Self {
        provided.db.clone()
    }
}

impl<C> FromRef<Provided<C>> for Arc<C> {
    fn from_ref(provided: &Provided<C>) -> Self {
        provided.settings.clone()
    }
}

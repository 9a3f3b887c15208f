//! The PostgreSQL that the tests run on: the usual one. The same suites run on other versions with another file like this.

use shared_devkit::Postgres;

use crate::storm::{SHORT, Storm};

/// What is dropped on it.
pub(crate) const STORM: Storm = Storm { futures: 10_000, ..SHORT };

/// The one that all tests share.
pub(crate) type Shared = Postgres;

pub(crate) async fn shared() -> Shared {
    Postgres::shared().await.unwrap()
}

/// One for a test that breaks it.
pub(crate) async fn exclusive() -> Postgres {
    Postgres::exclusive().await.unwrap()
}

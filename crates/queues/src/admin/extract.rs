//! What handlers read from a request. What can't be read is answered by a problem that quotes no value.

use std::time::Duration;

use serde::Deserialize;
pub(super) use shared_core::admin::{At, Body, Params, word, wrong};
use shared_core::{Problem, admin};

use crate::MAX_LISTED;
use crate::cursor::Cursor;

/// A time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seconds {
    seconds: f64,
}

impl Seconds {
    pub(super) fn read(&self, expected: &str) -> Result<Duration, Problem> {
        Duration::try_from_secs_f64(self.seconds)
            .map_err(|_| wrong("/seconds", format!("expected {expected}")))
    }
}

/// Which part of a list is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) after: Option<String>,
    pub(super) most: Option<u32>,
}

/// How many things a list has, by the query.
pub(super) fn most(asked: Option<u32>) -> Result<u32, Problem> {
    admin::most("most", asked, MAX_LISTED)
}

/// How many things are changed at once, by the body.
pub(super) fn most_changed(asked: Option<u32>) -> Result<u32, Problem> {
    admin::most("/most", asked, MAX_LISTED)
}

/// Behind which place of its list a page begins.
pub(super) fn after<P>(
    word: Option<String>,
    read: impl Fn(Cursor) -> Option<P>,
) -> Result<Option<P>, Problem> {
    let Some(word) = word else { return Ok(None) };
    let place = Cursor::read(&word).and_then(read);
    place.map(Some).ok_or_else(|| wrong("after", "expected the `next` of a page of this list".to_owned()))
}

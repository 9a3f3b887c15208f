//! Where a page of a list ended, as a word: opaque to whoever carries it, and fit for an address and a command line.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Serialize};
use shared_core::TenantId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Delayed;
use crate::operate::{Parked, ParkedPlace, SubscriptionStatus};

/// A place in one of the lists: the next page begins behind it, whether or not it is still there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Cursor {
    Subscription(String),
    /// Its position, tenant, subscription and consumer.
    Parked(i64, TenantId, String, String),
    /// When it is due, in microseconds of Unix time, which is as fine as the server has it, and its id.
    Delayed(i64, Uuid),
}

impl Cursor {
    /// The word for the page behind this one, of which so many things were wanted; none if it has fewer.
    pub(crate) fn behind<'a, T>(page: &'a [T], most: u32) -> Option<String>
    where
        Self: From<&'a T>,
    {
        let last = page.last().filter(|_| page.len() >= most as usize)?;
        serde_json::to_vec(&Self::from(last)).ok().map(|place| BASE64_URL_SAFE_NO_PAD.encode(place))
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        let place = BASE64_URL_SAFE_NO_PAD.decode(word).ok()?;
        serde_json::from_slice(&place).ok()
    }

    pub(crate) fn subscription(self) -> Option<String> {
        if let Self::Subscription(name) = self { Some(name) } else { None }
    }

    /// One that somebody made up may have names that no server reads.
    pub(crate) fn parked(self) -> Option<ParkedPlace> {
        let Self::Parked(pos, tenant, subscription, consumer) = self else { return None };
        let sound = !subscription.contains('\0') && !consumer.contains('\0');
        sound.then_some((pos, tenant, subscription, consumer))
    }

    pub(crate) fn delayed(self) -> Option<(OffsetDateTime, Uuid)> {
        let Self::Delayed(due, id) = self else { return None };
        Some((OffsetDateTime::from_unix_timestamp_nanos(i128::from(due) * 1000).ok()?, id))
    }
}

impl From<&SubscriptionStatus> for Cursor {
    fn from(status: &SubscriptionStatus) -> Self {
        Self::Subscription(status.name.clone())
    }
}

impl From<&Parked> for Cursor {
    fn from(parked: &Parked) -> Self {
        let (pos, tenant, subscription, consumer) = parked.place();
        Self::Parked(pos, tenant, subscription, consumer)
    }
}

impl From<&Delayed> for Cursor {
    fn from(delayed: &Delayed) -> Self {
        let due = delayed.due.unix_timestamp_nanos() / 1000;
        Self::Delayed(i64::try_from(due).unwrap_or(i64::MAX), delayed.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_somebody_made_up_are_no_places() {
        for word in ["", "seven", "bnVsbA", "=", "\u{e4}"] {
            assert_eq!(Cursor::read(word), None, "{word}");
        }
        let parked = |name: &str| Cursor::Parked(1, TenantId::new(), name.to_owned(), String::new()).parked();
        assert!(parked("main").is_some() && parked("a\0").is_none());
        assert_eq!(Cursor::Subscription("main".to_owned()).parked(), None, "it is one of another list");
    }
}

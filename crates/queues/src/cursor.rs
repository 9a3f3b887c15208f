//! Where a page of a list ended, as a word: opaque to whoever carries it, and fit for an address and a command line.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::limit::LimitPlace;
use crate::name::is_sound;
use crate::new_job::unkeyed;
use crate::{DeadLetter, JobId, JobView, LimitStatus, QueueStatus, ScheduleView};

/// A place in one of the lists: the next page begins behind it, whether or not it is still there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Cursor {
    Queue(String),
    Job(JobId),
    /// When it died, in nanoseconds of Unix time, and which job it is.
    DeadLetter(i64, JobId),
    Limit(LimitPlace),
    /// Its queue and its name.
    Schedule(String, String),
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

    pub(crate) fn queue(self) -> Option<String> {
        if let Self::Queue(name) = self { Some(name) } else { None }
    }

    pub(crate) fn job(self) -> Option<JobId> {
        if let Self::Job(job) = self { Some(job) } else { None }
    }

    pub(crate) fn letter(self) -> Option<(OffsetDateTime, JobId)> {
        let Self::DeadLetter(died, job) = self else { return None };
        Some((OffsetDateTime::from_unix_timestamp_nanos(died.into()).ok()?, job))
    }

    /// One that somebody made up may have names that no backend takes.
    pub(crate) fn limit(self) -> Option<LimitPlace> {
        let Self::Limit(place) = self else { return None };
        (is_sound(&place.name) && place.key.as_deref().and_then(unkeyed).is_none()).then_some(place)
    }

    pub(crate) fn schedule(self) -> Option<(String, String)> {
        if let Self::Schedule(queue, name) = self { Some((queue, name)) } else { None }
    }
}

impl From<&QueueStatus> for Cursor {
    fn from(queue: &QueueStatus) -> Self {
        Self::Queue(queue.queue.clone())
    }
}

impl From<&JobView> for Cursor {
    fn from(job: &JobView) -> Self {
        Self::Job(job.job_id)
    }
}

impl From<&DeadLetter> for Cursor {
    fn from(letter: &DeadLetter) -> Self {
        let died = letter.died_at.unix_timestamp_nanos();
        Self::DeadLetter(i64::try_from(died).unwrap_or(i64::MAX), letter.job_id)
    }
}

impl From<&LimitStatus> for Cursor {
    fn from(limit: &LimitStatus) -> Self {
        Self::Limit(limit.place())
    }
}

impl From<&ScheduleView> for Cursor {
    fn from(schedule: &ScheduleView) -> Self {
        Self::Schedule(schedule.queue.clone(), schedule.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_and_back() {
        let status = LimitStatus {
            name: "host".to_owned(),
            key: Some("\u{e4} & ?".to_owned()),
            of_queue: false,
            limit: None,
            running: 0,
            tokens: None,
            held_for: None,
        };
        let word = Cursor::behind(std::slice::from_ref(&status), 1).unwrap();
        assert!(word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{word}");
        assert_eq!(Cursor::read(&word).and_then(Cursor::limit), Some(status.place()));
        assert_eq!(Cursor::read(&word).and_then(Cursor::job), None, "it is one of another list");
        assert_eq!(Cursor::behind(&[status], 2), None, "a page that is not full is the last");
        assert_eq!(Cursor::behind::<LimitStatus>(&[], 0), None);
    }

    #[test]
    fn words_that_somebody_made_up_are_no_places() {
        let name = |name: &str| {
            let place = LimitPlace { is_named: true, name: name.to_owned(), key: None };
            Cursor::Limit(place).limit()
        };
        assert!(name("host").is_some() && name("a\0").is_none());
        for word in ["", "seven", "bnVsbA", "=", "\u{e4}"] {
            assert_eq!(Cursor::read(word), None, "{word}");
        }
    }
}

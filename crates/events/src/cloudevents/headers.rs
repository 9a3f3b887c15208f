//! Events as headers: names, and values that are written one behind the other.

use std::fmt::Display;

use super::percent;

/// The headers of some events, in one text: of each there are some fifteen, and thousands of events are on their way at once.
#[derive(Default)]
pub(crate) struct Headers {
    names: Vec<&'static str>,
    /// Where each value ends.
    ends: Vec<usize>,
    text: String,
}

impl Headers {
    /// How many there are.
    #[cfg(feature = "redis")]
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The names, in their order.
    #[cfg(feature = "redis")]
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The value at this position.
    pub(crate) fn value(&self, at: usize) -> &str {
        let begin = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = begin.zip(self.ends.get(at).copied());
        range.and_then(|(begin, end)| self.text.get(begin..end)).unwrap_or_default()
    }

    /// Each with its value.
    #[cfg(any(feature = "nats", test))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.names.iter().enumerate().map(|(at, name)| (*name, self.value(at)))
    }

    /// Adds one, with the text of the value as a header has it.
    pub(super) fn say(&mut self, name: &'static str, value: &dyn Display) {
        percent::encode_to(&mut self.text, value);
        self.names.push(name);
        self.ends.push(self.text.len());
    }
}

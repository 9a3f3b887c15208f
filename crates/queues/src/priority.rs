use serde::{Deserialize, Serialize};

/// How urgent a job is. A worker takes the more urgent ones of a queue first; but one claim in sixteen begins with the least urgent,
/// so that none waits for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Somebody waits for it.
    High,
    /// What is not said otherwise.
    #[default]
    Normal,
    /// Bulk work.
    Low,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The word for it: `high`, `normal` or `low`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// As it is stored: 0, 1 or 2, the most urgent first.
    pub(crate) const fn band(self) -> i16 {
        self as i16
    }

    pub(crate) fn from_band(band: i16) -> Self {
        Self::ALL.into_iter().find(|priority| priority.band() == band).unwrap_or_default()
    }
}

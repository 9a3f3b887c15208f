use std::fmt;

use shared_core::TenantId;
use time::OffsetDateTime;

/// Something that is not as it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// An entry that says something else than when it was sealed.
    #[non_exhaustive]
    Altered {
        /// Whose.
        tenant: TenantId,
        /// The batch.
        number: i64,
        /// The entry.
        pos: i64,
    },
    /// An entry that was sealed and is gone, without having been pruned.
    #[non_exhaustive]
    Removed {
        /// Whose.
        tenant: TenantId,
        /// The batch.
        number: i64,
        /// The entry.
        pos: i64,
    },
    /// An entry that stands in another one's place.
    #[non_exhaustive]
    Reordered {
        /// Whose.
        tenant: TenantId,
        /// The batch.
        number: i64,
        /// The place.
        pos: i64,
    },
    /// An entry that was put where the sealer has already been.
    #[non_exhaustive]
    Inserted {
        /// Whose.
        tenant: TenantId,
        /// The entry.
        pos: i64,
    },
    /// An entry whose time lies ten minutes before the batch that it was sealed in, or after it: it was given its time by hand, or the
    /// server's clock was set.
    #[non_exhaustive]
    Misdated {
        /// Whose.
        tenant: TenantId,
        /// The batch.
        number: i64,
        /// The entry.
        pos: i64,
    },
    /// A batch whose root does not follow from what it is over: its seal was changed, or the one before.
    #[non_exhaustive]
    Broken {
        /// Whose.
        tenant: TenantId,
        /// The batch.
        number: i64,
    },
    /// A batch that must have been there.
    #[non_exhaustive]
    Missing {
        /// Whose.
        tenant: TenantId,
        /// The batch.
        number: i64,
    },
    /// A batch whose root is not the one that was exported: the chain was made anew.
    #[non_exhaustive]
    Rewritten {
        /// Whose.
        tenant: TenantId,
        /// The batch.
        number: i64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { tenant, number, pos } => {
                write!(f, "tenant {tenant}: entry {pos} of batch {number} was altered")
            }
            Self::Removed { tenant, number, pos } => {
                write!(f, "tenant {tenant}: entry {pos} of batch {number} was removed")
            }
            Self::Reordered { tenant, number, pos } => {
                write!(f, "tenant {tenant}: entry {pos} of batch {number} was put in another's place")
            }
            Self::Inserted { tenant, pos } => write!(f, "tenant {tenant}: entry {pos} was inserted later"),
            Self::Misdated { tenant, number, pos } => {
                write!(
                    f,
                    "tenant {tenant}: entry {pos} of batch {number} has a time at which it was not written"
                )
            }
            Self::Broken { tenant, number } => {
                write!(f, "tenant {tenant}: the chain is broken at batch {number}")
            }
            Self::Missing { tenant, number } => write!(f, "tenant {tenant}: batch {number} is missing"),
            Self::Rewritten { tenant, number } => {
                write!(f, "tenant {tenant}: batch {number} is not the one whose root was exported")
            }
        }
    }
}

/// What a verification has seen. Its `Display` says it on some lines, with what it can't have seen.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Chains that were checked.
    pub tenants: u64,
    /// Batches that were checked, pruned ones included.
    pub batches: u64,
    /// Entries that were checked.
    pub entries: u64,
    /// Entries that were pruned: their batches' roots still hold, and what they said is no longer known.
    pub pruned: u64,
    /// The time of the last batch that was pruned.
    pub pruned_until: Option<OffsetDateTime>,
    /// Entries that are not sealed yet: nothing would show that one of them is removed.
    pub unsealed: u64,
    /// Exported roots that were compared.
    pub anchors: u64,
    /// What was found, the first thousand.
    pub findings: Vec<Finding>,
    /// How much more was found.
    pub more: u64,
}

impl Report {
    /// Findings that are kept.
    pub(super) const MOST: usize = 1000;

    /// Nothing was found.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn add(&mut self, finding: Finding) {
        match self.findings.len() < Self::MOST {
            true => self.findings.push(finding),
            false => self.more += 1,
        }
    }

    pub(super) fn found(&self) -> u64 {
        self.findings.len() as u64 + self.more
    }

    pub(super) fn pruned(&mut self, entries: u64, until: OffsetDateTime) {
        self.pruned += entries;
        self.pruned_until = self.pruned_until.max(Some(until));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        if self.more > 0 {
            writeln!(f, "and {} more", self.more)?;
        }
        writeln!(
            f,
            "{} entries in {} batches of {} chains checked",
            self.entries, self.batches, self.tenants
        )?;
        if let Some(until) = self.pruned_until {
            writeln!(
                f,
                "{} entries up to {until} were pruned; the roots of their batches hold",
                self.pruned
            )?;
        }
        writeln!(
            f,
            "not seen: whether any of the {} entries without a seal was changed or removed",
            self.unsealed
        )?;
        match self.anchors {
            0 => writeln!(
                f,
                "not seen: whether somebody with the rights of the database's owner has made a chain anew, or cut off its end; \
                 compare with roots that were exported"
            )?,
            anchors => writeln!(
                f,
                "{anchors} exported roots compared; not seen: whether what came after the last of a chain was made anew"
            )?,
        }
        f.write_str(if self.is_intact() { "intact" } else { "NOT INTACT" })
    }
}

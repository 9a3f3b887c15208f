use std::fmt;

/// A way to reach for another tenant's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Verb {
    /// Reads all that it sees.
    Select,
    /// Reads all that it sees with no tenant set.
    Untenanted,
    /// Inserts a row of the other tenant's.
    Insert,
    /// Updates all that it sees.
    Update,
    /// Deletes all that it sees.
    Delete,
    /// Inserts the other tenant's row again, and its own with the same values, with ON CONFLICT.
    Upsert,
    /// Inserts, updates and deletes, and reads what was returned.
    Returning,
    /// COPY .. TO.
    CopyTo,
    /// COPY .. FROM.
    CopyFrom,
    /// Empties the table.
    Truncate,
    /// Gives a row of its own to the other tenant.
    Move,
    /// Inserts a row of its own with the other tenant's values: it must not be told that they are taken.
    Unique,
    /// Inserts a row of its own that refers to the other tenant's: it must be refused like one that refers to nothing.
    Reference,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Select,
        Self::Untenanted,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Upsert,
        Self::Returning,
        Self::CopyTo,
        Self::CopyFrom,
        Self::Truncate,
        Self::Move,
        Self::Unique,
        Self::Reference,
    ];
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Select => "select",
            Self::Untenanted => "untenanted",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Upsert => "upsert",
            Self::Returning => "returning",
            Self::CopyTo => "copy to",
            Self::CopyFrom => "copy from",
            Self::Truncate => "truncate",
            Self::Move => "move",
            Self::Unique => "unique",
            Self::Reference => "reference",
        })
    }
}

/// What came of an attempt. The later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// The table has nothing to try it on, such as a foreign key.
    Absent,
    /// It ran, and the other tenant's rows might as well not be there.
    Nothing,
    /// The server refused it, whatever rows there are.
    Refused,
    /// It failed, and is let pass for a reason.
    Exempt,
    /// The attempt itself was wrong, such as by a type that it can't handle: nobody knows.
    Untried,
    /// It was told that the other tenant's row is there.
    Told,
    /// It read or wrote a row of the other tenant.
    Touched,
}

impl Outcome {
    /// Whether it must not be.
    pub fn is_failure(self) -> bool {
        self >= Self::Untried
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Absent => "",
            Self::Nothing => "-",
            Self::Refused => "refused",
            Self::Exempt => "exempt",
            Self::Untried => "UNTRIED",
            Self::Told => "TOLD",
            Self::Touched => "TOUCHED",
        })
    }
}

/// What came of every attempt on every table. Shown, it is a matrix, with what failed below it.
#[derive(Clone, Debug, Default)]
pub struct Probed {
    tables: Vec<(String, Vec<(Verb, Outcome)>)>,
    needless: Vec<String>,
    remarks: Vec<String>,
}

impl Probed {
    /// The names of the tables, as `schema.table`.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }

    /// What came of one attempt; `None` for a table that was not probed.
    pub fn outcome(&self, table: &str, verb: Verb) -> Option<Outcome> {
        let (_, outcomes) = self.tables.iter().find(|(name, _)| name == table)?;
        Some(
            outcomes
                .iter()
                .find(|(tried, _)| *tried == verb)
                .map_or(Outcome::Absent, |(_, outcome)| *outcome),
        )
    }

    /// Whether nothing failed.
    pub fn is_isolated(&self) -> bool {
        self.failures().is_empty()
    }

    /// What failed, a line each: the table and the verb.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.needless.clone();
        for (table, outcomes) in &self.tables {
            for (verb, outcome) in outcomes.iter().filter(|(_, outcome)| outcome.is_failure()) {
                let what = match outcome {
                    Outcome::Untried => "could not be tried",
                    Outcome::Told => "tells one tenant of another's row",
                    _ => "touches another tenant's row",
                };
                failures.push(format!("{table}: {verb} {what}"));
            }
        }
        failures
    }

    /// The worse of this and what is known already.
    pub(super) fn add(&mut self, table: &str, verb: Verb, outcome: Outcome) {
        let at = self.tables.iter().position(|(name, _)| name == table).unwrap_or_else(|| {
            self.tables.push((table.to_owned(), Vec::new()));
            self.tables.len() - 1
        });
        let outcomes = &mut self.tables[at].1;
        match outcomes.iter_mut().find(|(tried, _)| *tried == verb) {
            Some((_, known)) => *known = outcome.max(*known),
            None => outcomes.push((verb, outcome)),
        }
    }

    /// Says more, below the matrix.
    pub(super) fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    pub(super) fn exempt(&mut self, table: &str, verb: Verb, reason: String) {
        let found = self.tables.iter_mut().find(|(name, _)| name == table);
        let outcome = found.and_then(|(_, outcomes)| outcomes.iter_mut().find(|(tried, _)| *tried == verb));
        match outcome {
            Some((_, outcome)) if outcome.is_failure() => {
                *outcome = Outcome::Exempt;
                self.remarks.push(format!("{table}: {verb} is exempt: {reason}"));
            }
            _ => self.needless.push(format!("{table}: {verb} is exempt, and does not fail")),
        }
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.tables().map(str::len).max().unwrap_or(0);
        write!(f, "{:longest$}", "")?;
        Verb::ALL.iter().try_for_each(|verb| write!(f, "  {verb:10}"))?;
        writeln!(f)?;
        for name in self.tables() {
            write!(f, "{name:longest$}")?;
            for verb in Verb::ALL {
                write!(f, "  {:10}", self.outcome(name, verb).unwrap_or(Outcome::Absent))?;
            }
            writeln!(f)?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "{remark}"))?;
        self.failures().iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))
    }
}

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// A tenant's rows can leak, or it can be told of another's.
    Alarm,
    /// One mistake away from that, or something will not work as it was meant.
    Warning,
    /// Good to know: slower than it looks.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alarm => "ALARM",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The table, index, role and so on.
    pub object: String,
    /// What is wrong with it.
    pub wrong: String,
    /// Why that matters.
    pub why: &'static str,
    /// The statement that mends it, for the owner of the object or a superuser.
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, object, wrong, why, mend } = self;
        write!(f, "{severity}: {object} {wrong}\n    why:  {why}\n    mend: {mend}")
    }
}

/// What [`doctor`](crate::doctor) found. Shown, it is for people: the worst first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self { findings }
    }

    /// All of it, the worst first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What must be mended before the database may serve tenants.
    pub fn alarms(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Alarm)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return f.write_str("the database is as it should be\n");
        }
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}\n"))?;
        let of = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let (alarms, warnings, notes) = (of(Severity::Alarm), of(Severity::Warning), of(Severity::Note));
        writeln!(f, "alarms: {alarms}, warnings: {warnings}, notes: {notes}")
    }
}

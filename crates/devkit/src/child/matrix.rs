//! A scenario, run once for each kill.

use std::{
    fmt, mem,
    ops::Range,
    time::{Duration, Instant},
};

use super::Kill;
use crate::Error;

/// A scenario that is run once for each [`Kill`], and what each run has counted.
///
/// ```no_run
/// # async fn run(server: &shared_devkit::Postgres) -> Result<(), shared_devkit::Error> {
/// use std::time::Duration;
/// use shared_devkit::child::{Child, Matrix, Outcome};
///
/// let kills = Matrix::new(["db.commit.sending", "db.commit.answered"])
///     .moments(8, Duration::ZERO..Duration::from_millis(500), 42);
/// let report = kills.run(async |kill| {
///     let mut child = Child::test_function("crash::writer").kill(kill).start().expect("it starts");
///     child.killed().await.expect("it is killed");
///     child.restart().await.expect("it starts again");
///     child.ended().await.expect("it ends");
///     let accepted = child.ledger().expect("a ledger").len();
///     let (lost, doubled) = (0, 0); // what the database says
///     Outcome::new().count("accepted", accepted).wrong("lost", lost).wrong("doubled", doubled)
/// });
/// assert!(report.await?.total("accepted") > 0);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "it runs when it is told to"]
pub struct Matrix {
    kills: Vec<Kill>,
}

impl Matrix {
    /// One run for each of these: the name of a point for its first arrival, or a [`Kill`].
    pub fn new(kills: impl IntoIterator<Item: Into<Kill>>) -> Matrix {
        Matrix { kills: kills.into_iter().map(Into::into).collect() }
    }

    /// Adds runs with kills at random moments of this range; the table names the seed of each.
    pub fn moments(mut self, runs: u64, range: Range<Duration>, seed: u64) -> Matrix {
        self.kills.extend((0..runs).map(|run| Kill::between(range.clone(), seed.wrapping_add(run))));
        self
    }

    /// Runs the scenario for one kill after the other, which it gives to its child with
    /// [`Program::kill`](super::Program::kill) and awaits with [`Child::killed`](super::Child::killed). At the end, and if the
    /// scenario panics, it prints a table of the counts. All runs are made, whatever they count.
    ///
    /// # Errors
    /// [`Error::Matrix`] if a run has counted something wrong, if a point was never reached, or if all random moments came
    /// too late.
    pub async fn run(self, scenario: impl AsyncFn(Kill) -> Outcome) -> Result<Report, Error> {
        let mut table = Table::default();
        for kill in &self.kills {
            table.under_way = Some(kill.clone());
            let start = Instant::now();
            let outcome = scenario(kill.clone()).await;
            table.report.runs.push(Run { kill: kill.clone(), outcome, took: start.elapsed() });
        }
        table.under_way = None;
        table.print();
        mem::take(&mut table.report).judged()
    }
}

/// What a run of a scenario has counted.
#[derive(Debug, Default)]
pub struct Outcome {
    counts: Vec<Count>,
}

#[derive(Debug)]
struct Count {
    name: &'static str,
    n: usize,
    /// It has to be none.
    is_wrong: bool,
}

impl Outcome {
    /// Nothing counted yet.
    pub fn new() -> Outcome {
        Outcome::default()
    }

    /// So many of this, for the table.
    pub fn count(mut self, name: &'static str, n: usize) -> Outcome {
        self.counts.push(Count { name, n, is_wrong: false });
        self
    }

    /// So many of what must not be, such as `lost` or `doubled`: any of it makes the matrix fail.
    pub fn wrong(mut self, name: &'static str, n: usize) -> Outcome {
        self.counts.push(Count { name, n, is_wrong: true });
        self
    }

    fn of(&self, name: &str) -> usize {
        self.counts.iter().filter(|count| count.name == name).map(|count| count.n).sum()
    }
}

/// What all runs of a [`Matrix`] have counted. Its `Display` is the table.
#[derive(Debug, Default)]
pub struct Report {
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    kill: Kill,
    outcome: Outcome,
    took: Duration,
}

impl Report {
    /// How many of this all runs have counted together.
    pub fn total(&self, name: &str) -> usize {
        self.runs.iter().map(|run| run.outcome.of(name)).sum()
    }

    /// How many of the kills came.
    pub fn kills(&self) -> usize {
        self.runs.iter().filter(|run| run.kill.has_come()).count()
    }

    fn judged(self) -> Result<Report, Error> {
        let mut failures: Vec<String> = self.runs.iter().flat_map(Run::failures).collect();
        let mut moments = self.runs.iter().filter(|run| run.kill.moment().is_some()).peekable();
        if moments.peek().is_some() && !moments.any(|run| run.kill.has_come()) {
            failures.push("every random moment came after the end of the child".to_owned());
        }
        if failures.is_empty() { Ok(self) } else { Err(Error::Matrix { failures }) }
    }

    /// The names of the counts, as they first came.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for count in self.runs.iter().flat_map(|run| &run.outcome.counts) {
            if !names.contains(&count.name) {
                names.push(count.name);
            }
        }
        names
    }
}

impl Run {
    fn failures(&self) -> Vec<String> {
        let kill = &self.kill;
        let wrong = self.outcome.counts.iter().filter(|count| count.is_wrong && count.n > 0);
        let wrong = wrong.map(|count| format!("{kill}: {} {}", count.n, count.name));
        let missed = kill.point().is_some() && !kill.has_come();
        let missed = missed.then(|| format!("{kill}: no child was killed there"));
        wrong.chain(missed).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        let kills: Vec<_> = self.runs.iter().map(|run| run.kill.to_string()).collect();
        let width = kills.iter().map(String::len).max().unwrap_or(0).max("total".len());
        write!(f, "{:width$}  killed", "kill")?;
        names.iter().try_for_each(|name| write!(f, "  {name}"))?;
        for (run, kill) in self.runs.iter().zip(&kills) {
            let killed = if run.kill.has_come() { "yes" } else { "no" };
            write!(f, "\n{kill:width$}  {killed:>6}")?;
            row(f, &names, |name| run.outcome.of(name))?;
            write!(f, "  {} ms", run.took.as_millis())?;
        }
        write!(f, "\n{:width$}  {:>6}", "total", self.kills())?;
        row(f, &names, |name| self.total(name))
    }
}

fn row(f: &mut fmt::Formatter<'_>, names: &[&str], of: impl Fn(&str) -> usize) -> fmt::Result {
    names.iter().try_for_each(|name| write!(f, "  {:>width$}", of(name), width = name.len()))
}

/// The report as it grows. It is printed as far as it came if the scenario panics.
#[derive(Default)]
struct Table {
    report: Report,
    under_way: Option<Kill>,
}

impl Table {
    #[expect(clippy::print_stdout, reason = "the table is for the person who runs the test")]
    fn print(&self) {
        println!("{}", self.report);
        if let Some(kill) = &self.under_way {
            println!("the scenario did not end: {kill}");
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.under_way.is_some() {
            self.print();
        }
    }
}

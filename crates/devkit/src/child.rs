//! Processes that a test starts, holds, kills and starts again, to prove what survives.
//!
//! ```no_run
//! use shared_devkit::child::{self, Child, Kill};
//!
//! #[tokio::test]
//! async fn what_was_accepted_survives_a_kill() -> Result<(), shared_devkit::Error> {
//!     if let Some(ledger) = child::enter()? {
//!         // This process is the child: the same test, started by the lines below.
//!         for order in 1.. {
//!             // .. commit the order ..
//!             ledger.append(format!("accepted {order}"))?;
//!         }
//!     }
//!     let mut child = Child::test_function("orders::what_was_accepted_survives_a_kill")
//!         .env("DATABASE_URL", "postgres://..")
//!         .kill(Kill::at("db.commit.answered", 3))
//!         .start()?;
//!     assert!(child.killed().await?);
//!     println!("{:?} must be in the database", child.ledger()?);
//!     Ok(())
//! }
//! ```
//!
//! # The ideas
//! - A [`Program`] is what runs: any binary, or a test's own function. A [`Child`] is one that runs.
//! - A *point* is a place in the code with a name, [`shared_core::fault::point`]. A child can be killed or held there, at its
//!   first arrival or a later one. A program of your own calls [`enter`] to obey; a service needs no change where a
//!   test function runs it.
//! - A [`Ledger`] is where a child writes down what it has promised. It outlives the child.
//! - A [`Matrix`] runs a scenario once for each [`Kill`] and counts what was lost and what was doubled.
//!
//! # What is guaranteed
//! - A child that is killed at a point does nothing after it; one that is held there does nothing until it is resumed.
//! - A point that is never reached is an error, and so is a test function that does not exist.
//! - No child outlives its handle, nor the test process, even where that one is killed with SIGKILL: a guard, which is a
//!   small shell script, waits for either end and kills the child's process group. What has left the group escapes.
//! - Every wait ends: after a minute, or after what [`Program::patience`] says, with an error that quotes the child.
//!
//! A kill is that of a process, not of a machine: what the child gave to the operating system is there afterwards.

mod enter;
mod guard;
mod kill;
mod matrix;
mod output;
mod program;
mod records;
mod wait;

use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{self, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

pub use enter::{Ledger, enter};
pub use kill::Kill;
pub use matrix::{Matrix, Outcome, Report};
pub use program::Program;

use crate::Error;
use guard::Guard;
use output::Output;
use records::{Place, Record};

/// Between two looks at a condition that nobody announces.
const GLANCE: Duration = Duration::from_millis(2);

/// A process that a test has started. It is killed when this is dropped, and its output shown if the test panics.
///
/// The futures of its waits can be dropped at any time; the process goes on.
#[derive(Debug)]
pub struct Child {
    program: Program,
    place: Place,
    guard: Guard,
    process: process::Child,
    output: Output,
    /// When its end was seen.
    ended: Option<Instant>,
    /// How many holds were waited for.
    holds: usize,
}

impl Child {
    /// A binary: of the crate's own, `env!("CARGO_BIN_EXE_name")`.
    pub fn program(path: impl Into<PathBuf>) -> Program {
        Program::binary(path.into())
    }

    /// A test of this test binary, by its path below the crate, such as `crash::a_worker`. In the child it has to call
    /// [`enter`], which tells it that it is one.
    ///
    /// Without a test of that name every wait fails.
    pub fn test_function(name: impl Into<String>) -> Program {
        Program::test_function(name.into())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line of its output or error output with this text in it, and returns the line.
    ///
    /// Each call looks at what comes after the line that the last one has found.
    ///
    /// # Errors
    /// [`Error::Child`] if it ends without, or takes longer than its patience.
    pub async fn line(&mut self, text: &str) -> Result<String, Error> {
        let awaited = format!("for a line with `{text}`");
        self.wait(&awaited, |child| Ok(child.output.find(text))).await
    }

    /// Waits until it has passed this point for the first time.
    ///
    /// # Errors
    /// [`Error::Child`] as in [`line`](Self::line).
    pub async fn reached(&mut self, point: &str) -> Result<(), Error> {
        let record = Record::Reached(point.to_owned());
        let awaited = format!("for the point `{point}`");
        self.wait(&awaited, |child| Ok(child.place.records()?.contains(&record).then_some(()))).await
    }

    /// Waits until it is held at the next of the points that [`Program::hold`] has named: all of its threads are stopped.
    /// [`resume`](Self::resume) lets it go on.
    ///
    /// # Errors
    /// [`Error::Child`] as in [`line`](Self::line).
    pub async fn held(&mut self) -> Result<(), Error> {
        let due = self.holds + 1;
        self.wait("for it to be held at a point", |child| {
            Ok((child.place.holds()? >= due && child.is_stopped()?).then_some(()))
        })
        .await?;
        self.holds = due;
        Ok(())
    }

    /// Waits for its end, and for the last of its output.
    ///
    /// # Errors
    /// [`Error::Child`] if it takes longer than its patience, or is a test function that does not exist.
    pub async fn ended(&mut self) -> Result<ExitStatus, Error> {
        let status = self.wait("for its end", Child::over).await?;
        if self.program.is_test_function() && status.success() && !self.place.has_entered()? {
            let reason = "there is no such test, or it does not call `child::enter`; the name is its path below the crate";
            return Err(self.failed("for it to call `child::enter`", reason.to_owned()));
        }
        Ok(status)
    }

    /// Waits for the [`Kill`] that the program was given, and returns whether it came. A moment of time, which counts from
    /// this call, comes too late for a child that ends before by itself.
    ///
    /// # Errors
    /// [`Error::Child`] if it ends without having reached the point, takes longer than its patience, or was given no kill.
    pub async fn killed(&mut self) -> Result<bool, Error> {
        let Some(kill) = self.program.armed().cloned() else {
            return Err(self.failed("for it to be killed", "it was given no `Kill`".to_owned()));
        };
        let came = match kill.moment() {
            Some(moment) => self.killed_after(moment).await?,
            None => self.killed_at_its_point(&kill).await?,
        };
        if came {
            kill.came();
        }
        Ok(came)
    }

    async fn killed_after(&mut self, moment: Duration) -> Result<bool, Error> {
        let due = Instant::now() + moment;
        while self.status()?.is_none() {
            if Instant::now() >= due {
                return Ok(self.kill().await?.signal() == Some(Signal::KILL.as_raw()));
            }
            tokio::time::sleep(GLANCE.min(moment)).await;
        }
        Ok(false)
    }

    async fn killed_at_its_point(&mut self, kill: &Kill) -> Result<bool, Error> {
        let status = self.ended().await?;
        let records = self.place.records()?;
        if records.iter().any(|record| matches!(record, Record::Killed(_))) {
            return Ok(true);
        }
        let passed: Vec<_> = records.iter().filter_map(Record::reached).collect();
        let passed = if passed.is_empty() { "none".to_owned() } else { passed.join(", ") };
        let reason = format!("it ended with {status} and was never there; it came by these points: {passed}");
        Err(self.failed(&format!("for it to be killed at {kill}"), reason))
    }

    /// Kills it with SIGKILL, alone and not what it has started, and waits until it is gone. One that has ended is left as
    /// it is.
    ///
    /// # Errors
    /// [`Error::Child`] if it does not go.
    pub async fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.signal(Signal::KILL, "for it to be killed")?;
        self.wait("for its end", Child::over).await
    }

    /// Asks it to stop, with SIGTERM, as a supervisor does; [`ended`](Self::ended) waits for that.
    ///
    /// # Errors
    /// [`Error::Child`] if the signal can't be sent.
    pub fn terminate(&mut self) -> Result<(), Error> {
        self.signal(Signal::TERM, "for it to be asked to stop")
    }

    /// Stops all of its threads, with SIGSTOP, and waits until they are: as a machine that swaps or is frozen.
    ///
    /// # Errors
    /// [`Error::Child`] if it has ended.
    pub async fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::STOP, "for it to be paused")?;
        self.wait("for it to be paused", |child| Ok(child.is_stopped()?.then_some(()))).await
    }

    /// Lets it go on after [`pause`](Self::pause) or [`held`](Self::held), with SIGCONT.
    ///
    /// # Errors
    /// [`Error::Child`] if the signal can't be sent.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.place.release(self.holds)?;
        self.signal(Signal::CONT, "for it to be resumed")
    }

    /// Starts the same program again, with the same ledger, and without the kill and the holds: what a supervisor does after
    /// a crash. One that still runs is killed first.
    ///
    /// # Errors
    /// Those of [`Program::start`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.kill().await?;
        self.program.disarm();
        self.place.clear()?;
        self.process = self.program.spawn(&self.place, &self.guard, &mut self.output)?;
        (self.ended, self.holds) = (None, 0);
        Ok(())
    }

    /// The facts that it has written into its [`Ledger`], in their order, by all its lives. A last line without an end,
    /// which a kill has torn, is no fact.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn ledger(&self) -> Result<Vec<String>, Error> {
        self.place.ledger()
    }

    /// What it has said so far, output and error output as they came: the last 1 MiB.
    pub fn output(&self) -> String {
        self.output.text()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.guard.kill_group();
        // It may have left the group.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.output.finish();
        if thread::panicking() {
            self.output.show(&self.program);
        }
    }
}

//! The child's side: it obeys its parent at the points, and writes its ledger.

use std::{
    collections::HashMap,
    env,
    fmt::Display,
    sync::{Mutex, PoisonError},
    thread,
};

use rustix::process::{Signal, getpid, kill_process};
use shared_core::fault;

use super::GLANCE;
use super::records::{Action, FAULTS, Fault, Place, Record};
use crate::Error;

/// Makes this process obey the harness that has started it, and returns its ledger. `None` in any other process, in which
/// nothing changes.
///
/// Call it first thing in a test function that is also started as a child, and in a program of your own that is to be
/// killed or held at points. A second call changes nothing.
///
/// ```no_run
/// # async fn serve() {}
/// #[tokio::test]
/// async fn the_service_survives() -> Result<(), shared_devkit::Error> {
///     if shared_devkit::child::enter()?.is_some() {
///         serve().await; // until it is killed
///         return Ok(());
///     }
///     // .. the parent's part ..
///     Ok(())
/// }
/// ```
///
/// # Errors
/// [`Error::File`] if the parent's directory is not there.
pub fn enter() -> Result<Option<Ledger>, Error> {
    let Some(place) = Place::of_this_process() else { return Ok(None) };
    place.record(&Record::Entered)?;
    if let Some(own) = Place::of_this_process() {
        let faults = env::var(FAULTS).unwrap_or_default();
        let obedience = Obedience {
            faults: faults.lines().filter_map(Fault::parse).collect(),
            arrivals: Mutex::default(),
            place: own,
        };
        fault::install(move |point| obedience.arrive(point));
    }
    Ok(Some(Ledger { place }))
}

/// Where a child writes down facts for its parent, which reads them with [`Child::ledger`](super::Child::ledger).
///
/// What was written is there after the kill of the child, as everything that a process has given to its operating system.
#[derive(Debug)]
pub struct Ledger {
    place: Place,
}

impl Ledger {
    /// Writes a fact, which is a line: written before something is done it says that it may have been done, and written
    /// after it says that it was. It blocks for a write to a file, and may be called on several threads.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn append(&self, fact: impl Display) -> Result<(), Error> {
        self.place.append_fact(fact)
    }
}

/// What this process does at the points.
struct Obedience {
    faults: Vec<Fault>,
    arrivals: Mutex<HashMap<&'static str, u64>>,
    place: Place,
}

impl Obedience {
    /// While one thread is held here, or about to be killed, no other one passes any point.
    fn arrive(&self, point: &'static str) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = arrivals.entry(point).or_default();
        *nth += 1;
        if *nth == 1 {
            self.record(Record::Reached(point.to_owned()));
        }
        let due = self.faults.iter().find(|fault| fault.point == point && fault.nth == *nth);
        match due.map(|fault| fault.action) {
            Some(Action::Kill) => self.die(point),
            Some(Action::Hold) => self.hold(point),
            None => {}
        }
    }

    fn die(&self, point: &str) {
        self.record(Record::Killed(point.to_owned()));
        let _ = kill_process(getpid(), Signal::KILL);
        // The signal may take a moment to reach this thread, which does nothing more.
        loop {
            thread::park();
        }
    }

    fn hold(&self, point: &str) {
        self.record(Record::Held(point.to_owned()));
        let hold = self.place.holds().unwrap_or(usize::MAX);
        let _ = kill_process(getpid(), Signal::STOP);
        // The signal may take a moment to reach this thread: what counts is the parent's word.
        while self.place.released() < hold {
            thread::sleep(GLANCE);
        }
    }

    /// The parent has gone if it fails, and this process is about to.
    fn record(&self, record: Record) {
        let _ = self.place.record(&record);
    }
}

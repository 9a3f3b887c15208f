//! What a child and its parent tell each other: two environment variables, and lines in the files of a directory.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::Error;

/// The directory of a child of the harness.
pub(super) const DIRECTORY: &str = "SHARED_DEVKIT_CHILD";

/// What the child is to do at which arrival at which point, a line each.
pub(super) const FAULTS: &str = "SHARED_DEVKIT_FAULTS";

/// What a child does at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Kill,
    Hold,
}

/// An action at the nth arrival, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) action: Action,
    pub(super) nth: u64,
    pub(super) point: String,
}

impl Fault {
    pub(super) fn line(&self) -> String {
        let action = match self.action {
            Action::Kill => "kill",
            Action::Hold => "hold",
        };
        format!("{action} {} {}\n", self.nth, self.point)
    }

    pub(super) fn parse(line: &str) -> Option<Fault> {
        let (action, rest) = line.split_once(' ')?;
        let (nth, point) = rest.split_once(' ')?;
        let action = match action {
            "kill" => Action::Kill,
            "hold" => Action::Hold,
            _ => return None,
        };
        Some(Fault { action, nth: nth.parse().ok()?, point: point.to_owned() })
    }
}

/// What a child writes down for its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// It knows that it is a child.
    Entered,
    /// A point, for the first time.
    Reached(String),
    Held(String),
    Killed(String),
}

impl Record {
    fn line(&self) -> String {
        match self {
            Record::Entered => "entered".to_owned(),
            Record::Reached(point) => format!("reached {point}"),
            Record::Held(point) => format!("held {point}"),
            Record::Killed(point) => format!("killed {point}"),
        }
    }

    fn parse(line: &str) -> Option<Record> {
        match line.split_once(' ') {
            None if line == "entered" => Some(Record::Entered),
            Some(("reached", point)) => Some(Record::Reached(point.to_owned())),
            Some(("held", point)) => Some(Record::Held(point.to_owned())),
            Some(("killed", point)) => Some(Record::Killed(point.to_owned())),
            _ => None,
        }
    }

    pub(super) fn reached(&self) -> Option<&str> {
        match self {
            Record::Reached(point) => Some(point),
            _ => None,
        }
    }
}

/// The directory that a child shares with its parent.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    /// Whether it goes with this value: the parent's does.
    is_mine: bool,
}

impl Place {
    /// A new one, in the temporary directory, with nothing in it.
    pub(super) fn new() -> Result<Place, Error> {
        let name = format!("shared-devkit-child-{}", uuid::Uuid::new_v4().simple());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).map_err(Error::file("create", &directory))?;
        let place = Place { directory, is_mine: true };
        place.append("ledger", "")?;
        place.clear()?;
        Ok(place)
    }

    /// That of this process, if it is a child.
    pub(super) fn of_this_process() -> Option<Place> {
        let directory = std::env::var_os(DIRECTORY)?;
        Some(Place { directory: directory.into(), is_mine: false })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Forgets the last life. Its ledger stays, without a torn line, to which the next fact would be added.
    pub(super) fn clear(&self) -> Result<(), Error> {
        for file in ["records", "resumed"] {
            self.write(file, "")?;
        }
        let facts = self.ledger()?;
        self.write("ledger", &facts.iter().flat_map(|fact| [fact, "\n"]).collect::<String>())
    }

    pub(super) fn record(&self, record: &Record) -> Result<(), Error> {
        self.append("records", &format!("{}\n", record.line()))
    }

    pub(super) fn records(&self) -> Result<Vec<Record>, Error> {
        Ok(self.lines("records")?.iter().filter_map(|line| Record::parse(line)).collect())
    }

    pub(super) fn has_entered(&self) -> Result<bool, Error> {
        Ok(self.records()?.contains(&Record::Entered))
    }

    /// How often the child was held.
    pub(super) fn holds(&self) -> Result<usize, Error> {
        Ok(self.records()?.iter().filter(|record| matches!(record, Record::Held(_))).count())
    }

    /// Lets the child pass where it was held for this number of times.
    pub(super) fn release(&self, holds: usize) -> Result<(), Error> {
        self.write("resumed", &format!("{holds}\n"))
    }

    /// How many holds are over.
    pub(super) fn released(&self) -> usize {
        let lines = self.lines("resumed").unwrap_or_default();
        lines.first().and_then(|line| line.parse().ok()).unwrap_or(0)
    }

    pub(super) fn append_fact(&self, fact: impl Display) -> Result<(), Error> {
        self.append("ledger", &format!("{fact}\n"))
    }

    pub(super) fn ledger(&self) -> Result<Vec<String>, Error> {
        self.lines("ledger")
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        let path = self.directory.join(file);
        fs::write(&path, text).map_err(Error::file("write", &path))
    }

    /// One write at the end of the file, so that no two lines mix and a kill tears the last one at most.
    fn append(&self, file: &str, text: &str) -> Result<(), Error> {
        let path = self.directory.join(file);
        let open = File::options().create(true).append(true).open(&path);
        open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Error::file("write", &path))
    }

    /// The complete lines.
    fn lines(&self, file: &str) -> Result<Vec<String>, Error> {
        let path = self.directory.join(file);
        let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = std::str::from_utf8(&bytes[..complete]).map_err(io::Error::other);
        Ok(text.map_err(Error::file("read", &path))?.lines().map(str::to_owned).collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_mine {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

//! Schemas of events as files in a repository: a change without a new version fails a test.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # use shared_events::Event;
//! use shared_events::golden;
//!
//! # #[derive(Serialize, Deserialize, Event)]
//! # #[event(name = "note.created", version = 1, key = "note")]
//! # struct NoteCreated { note: u64, title: Option<String> }
//! # let directory = std::env::temp_dir().join(format!("shared-events-golden-{}", std::process::id()));
//! # let written = golden::check(&directory, &[NoteCreated { note: 1, title: None }]);
//! # assert!(written.is_err(), "the first time it writes the file, which is then to be committed");
//! // In a test, with samples that show each form of an event:
//! let samples = [NoteCreated { note: 7, title: None }, NoteCreated { note: 8, title: Some("eight".to_owned()) }];
//! # let samples = &samples[..1];
//! golden::check(&directory, samples)?;
//! # std::fs::remove_dir_all(&directory).unwrap();
//! # Ok::<(), golden::Mismatch>(())
//! ```
//!
//! [`check`] compares two things:
//!
//! - `note.created.v1.json` holds the [JSON Schema](https://json-schema.org) of the samples, and the samples. The schema of
//!   today's must be the same: names of fields, their types, and which of them are always there. Values may be others.
//! - The samples of this and of all older versions must still be read, and have the keys that they had. So nobody changes the fields without a
//!   version, forgets an upcast, or lets events of one thing fall into two orders.
//!
//! A schema says what the samples show, and no more: give one for each form that an event has, such as with and without an optional
//! field. A map with keys that are data looks like a struct here; leave it empty in samples.

mod schema;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Event, payload};

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Golden {
    name: String,
    version: u16,
    schema: Value,
    samples: Vec<Sample>,
}

#[derive(Serialize, Deserialize)]
struct Sample {
    key: String,
    payload: Value,
}

/// Compares the type with its file in the directory, and reads the samples of all its versions there. The path is from the package's root,
/// where tests run: `schemas`. Where the file is missing it is written, and the check fails, so that it is looked at and committed.
///
/// # Errors
/// [`Mismatch`], which says what to do.
pub fn check<E: Event>(directory: impl AsRef<Path>, samples: &[E]) -> Result<(), Mismatch> {
    let directory = directory.as_ref();
    let path = |version: u16| directory.join(format!("{}.v{version}.json", E::NAME));
    let todays = golden(samples)?;
    let file = path(E::VERSION);
    match read(&file)? {
        None => return Err(write(&file, &todays)?),
        Some(golden) if golden.schema != todays.schema => {
            return Err(Mismatch::new(&file, changed(&golden, &todays)));
        }
        Some(_) => {}
    }
    for version in 1..=E::VERSION {
        // A version from before there were files has none.
        if let Some(golden) = read(&path(version))? {
            readable::<E>(&golden).map_err(|why| Mismatch::new(&path(version), why))?;
        }
    }
    Ok(())
}

fn golden<E: Event>(samples: &[E]) -> Result<Golden, Mismatch> {
    let wrong = |why: String| Mismatch { message: format!("the samples of `{}`: {why}", E::NAME) };
    if samples.is_empty() {
        return Err(wrong("there is none".to_owned()));
    }
    let sample = |event: &E| {
        let text = payload::write(event).map_err(|error| wrong(error.to_string()))?;
        let payload = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Sample { key: event.key(), payload })
    };
    let samples = samples.iter().map(sample).collect::<Result<Vec<_>, _>>()?;
    let schema = schema::of(&samples.iter().map(|sample| &sample.payload).collect::<Vec<_>>());
    Ok(Golden { name: E::NAME.to_owned(), version: E::VERSION, schema, samples })
}

fn changed(golden: &Golden, todays: &Golden) -> String {
    let (version, next) = (golden.version, u32::from(golden.version) + 1);
    format!(
        "the fields have changed, and the version is still {version}:\n{}\n\
         Where version {version} was published, make this one version {next}, with an `upcast` from {version}, and keep the file. \
         Where it never was, delete the file and run the test again.",
        schema::difference(&golden.schema, &todays.schema)
    )
}

/// Whether the samples can be read today, with the keys that they had.
fn readable<E: Event>(golden: &Golden) -> Result<(), String> {
    let version = golden.version;
    for sample in &golden.samples {
        let event: E = payload::read(u32::from(version), &sample.payload.to_string()).map_err(|failure| {
            format!(
                "events of version {version} can't be read any more: {failure}. Mend the `upcast` from it."
            )
        })?;
        let (was, is) = (&sample.key, event.key());
        if *was != is {
            return Err(format!(
                "an event of version {version} had the key `{was}` and would have `{is}` now: events of one thing would lose their order. \
                 Keep the key, or give the event another name."
            ));
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Option<Golden>, Mismatch> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Mismatch::new(file, format!("it can't be read: {error}"))),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Mismatch::new(file, format!("it is no golden file: {error}")))
}

/// Writes the file, and says so: as a failure, since nobody has looked at it yet.
fn write(file: &Path, golden: &Golden) -> Result<Mismatch, Mismatch> {
    let failed = |error: io::Error| Mismatch::new(file, format!("it can't be written: {error}"));
    fs::create_dir_all(file.parent().unwrap_or(file)).map_err(failed)?;
    let text = serde_json::to_string_pretty(golden).map_err(|error| failed(error.into()))?;
    fs::write(file, text + "\n").map_err(failed)?;
    Ok(Mismatch::new(
        file,
        "it was missing, and is written now: look at it, commit it, and run the test again".to_owned(),
    ))
}

/// Why a type does not go with its files, and what to do about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Mismatch {
    message: String,
}

impl Mismatch {
    fn new(file: &Path, why: String) -> Self {
        let file: PathBuf = file.to_owned();
        Self { message: format!("{}: {why}", file.display()) }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As it is read where a test unwraps it.
impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for Mismatch {}

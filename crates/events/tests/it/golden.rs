//! Schemas of events in a repository.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared_core::Failure;
use shared_events::Event;
use shared_events::golden::check;
use uuid::Uuid;

/// What was published first.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "note.created", version = 1, key = "note")]
struct First {
    note: u64,
    title: Option<String>,
    tags: Vec<String>,
}

/// Somebody has changed the fields, and nothing else.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "note.created", version = 1, key = "note")]
struct Renamed {
    note: u64,
    name: String,
    tags: Vec<u8>,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "note.created", version = 2, key = "note", upcast = "titles_are_names")]
struct Second {
    note: u64,
    name: String,
}

fn titles_are_names(mut payload: Value) -> Result<Value, Failure> {
    payload["name"] = payload["title"].as_str().unwrap_or("untitled").into();
    Ok(payload)
}

/// The upcast was forgotten.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "note.created", version = 2, key = "note")]
struct Forgetful {
    note: u64,
    name: String,
}

/// Another field is the key.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "note.created", version = 2, key = "name", upcast = "titles_are_names")]
struct Rekeyed {
    note: u64,
    name: String,
}

fn first() -> [First; 2] {
    let first =
        |title: Option<&str>| First { note: 7, title: title.map(str::to_owned), tags: vec!["a".to_owned()] };
    [first(None), first(Some("seven"))]
}

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    /// With the file of version 1 in it.
    fn new() -> Self {
        let directory =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("schemas-{}", Uuid::now_v7()));
        let written = check(&directory, &first()).unwrap_err().to_string();
        assert!(written.contains("note.created.v1.json: it was missing, and is written now"), "{written}");
        Self(directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_type_that_has_not_changed_passes_with_any_values() {
    let directory = Directory::new();
    check(&directory.0, &first()).unwrap();
    let mut others = first();
    others[0].note = 8;
    others[1].title = Some("eight".to_owned());
    check(&directory.0, &others).unwrap();
}

#[test]
fn a_file_says_what_the_samples_show() {
    let directory = Directory::new();
    let text = fs::read_to_string(directory.0.join("note.created.v1.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let schema = json!({
        "type": "object",
        "properties": {
            "note": { "type": "integer" },
            "title": { "type": ["null", "string"] },
            "tags": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["note", "tags", "title"],
    });
    assert_eq!(file["schema"], schema);
    assert_eq!((&file["name"], &file["version"]), (&"note.created".into(), &1.into()));
    let sample = json!({ "key": "7", "payload": { "note": 7, "title": "seven", "tags": ["a"] } });
    assert_eq!(file["samples"][1], sample);
}

#[test]
fn a_change_without_a_version_is_told_field_by_field() {
    let directory = Directory::new();
    let renamed = Renamed { note: 7, name: "seven".to_owned(), tags: vec![1] };
    let told = check(&directory.0, &[renamed]).unwrap_err().to_string();
    for line in [
        "the fields have changed, and the version is still 1:",
        "`name` is new: string",
        "`title` was null or string and is gone",
        "`tags[]` was string and is integer",
        "make this one version 2, with an `upcast` from 1, and keep the file",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains("`note`"), "{told}");
}

#[test]
fn a_new_version_reads_the_samples_of_the_old_ones() {
    let directory = Directory::new();
    let second = || [Second { note: 7, name: "seven".to_owned() }];
    check(&directory.0, &second()).unwrap_err();
    check(&directory.0, &second()).unwrap();
}

#[test]
fn a_forgotten_upcast_and_another_key_are_told() {
    let forgetful = told(&[Forgetful { note: 7, name: "seven".to_owned() }]);
    assert!(
        forgetful.contains("note.created.v1.json: events of version 1 can't be read any more"),
        "{forgetful}"
    );
    let rekeyed = told(&[Rekeyed { note: 7, name: "seven".to_owned() }]);
    assert!(rekeyed.contains("had the key `7` and would have `untitled` now"), "{rekeyed}");
}

/// What is wrong with it beside the file that it lacks.
fn told<E: Event>(samples: &[E]) -> String {
    let directory = Directory::new();
    check(&directory.0, samples).unwrap_err();
    check(&directory.0, samples).unwrap_err().to_string()
}

#[test]
fn what_is_no_golden_file_is_told() {
    let directory = Directory::new();
    fs::write(directory.0.join("note.created.v1.json"), "{").unwrap();
    let told = check(&directory.0, &first()).unwrap_err().to_string();
    assert!(told.contains("it is no golden file"), "{told}");
    assert!(check::<First>(&directory.0, &[]).unwrap_err().to_string().contains("there is none"));
}

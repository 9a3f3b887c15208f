//! Where texts come from: the process, `.env`, files of secrets.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use shared_config::{Loader, Report};
use shared_core::schema::Code;
use shared_core::{Config, Secret};

#[derive(Config, Debug)]
#[config(prefix = "NOTES")]
struct Settings {
    #[config(default = 1)]
    size: u8,
    token: Option<Secret>,
}

#[derive(Config)]
#[config(prefix = "NOTES")]
struct Required {
    token: Secret,
}

fn load(loader: Loader) -> Result<Settings, Report> {
    loader.load().map(|loaded| loaded.settings)
}

#[test]
fn the_process_outranks_the_file_and_empty_is_unset() {
    let file = "NOTES_SIZE=2";
    assert_eq!(load(Loader::new("notes").dotenv(file)).unwrap().size, 2);
    assert_eq!(load(Loader::new("notes").dotenv(file).vars([("NOTES_SIZE", "3")])).unwrap().size, 3);
    assert_eq!(load(Loader::new("notes").dotenv(file).vars([("NOTES_SIZE", "")])).unwrap().size, 2);
}

#[test]
fn the_line_of_the_file_is_named_and_only_if_it_counts() {
    let file = "\nNOTES_SIZE=many";
    let report = load(Loader::new("notes").dotenv(file)).unwrap_err();
    assert_eq!(report.problems[0].aside(), "from .env line 2");
    let report = load(Loader::new("notes").dotenv(file).vars([("NOTES_SIZE", "more")])).unwrap_err();
    assert_eq!(report.problems[0].aside(), "from the environment");
}

#[test]
fn a_file_that_cannot_be_understood_is_a_problem() {
    let report = load(Loader::new("notes").dotenv("NOTES_SIZE=1\nNOTES_SIZE=2\nhello world")).unwrap_err();
    let lines: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            ".env: expected NAME=text (from .env line 3)",
            "NOTES_SIZE: set twice, differently: already in line 1 (from .env line 2; remove one)",
        ]
    );
}

#[test]
fn bytes_that_are_no_text_are_a_problem() {
    let bytes = OsString::from_vec(vec![0xff, 0xfe]);
    let report = load(Loader::new("notes").vars([(OsString::from("NOTES_SIZE"), bytes)])).unwrap_err();
    assert_eq!(report.problems[0].to_string(), "NOTES_SIZE: not valid UTF-8 (from the environment)");
}

/// A file that is gone when the test ends.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("shared-config-{name}-{}", std::process::id()));
        fs::write(&path, content).expect("the temporary directory is writable");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the temporary directory has a name in UTF-8")
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_secret_may_lie_in_a_file() {
    let file = TemporaryFile::with("secret", "line one\nline two\r\n");
    let settings = load(Loader::new("notes").vars([("NOTES_TOKEN_FILE", file.path())])).unwrap();
    assert_eq!(settings.token.unwrap().expose(), "line one\nline two");
}

#[test]
fn the_process_outranks_a_file_that_dotenv_names() {
    let loader = Loader::new("notes").vars([("NOTES_TOKEN", "direct")]).dotenv("NOTES_TOKEN_FILE=/nowhere");
    assert_eq!(load(loader).unwrap().token.unwrap().expose(), "direct");
}

#[test]
fn a_file_of_a_secret_that_does_not_serve_is_one_problem() {
    let empty = TemporaryFile::with("empty", "\n");
    let binary = TemporaryFile::with("binary", [0xff, 0xfe]);
    let huge = TemporaryFile::with("huge", vec![b'x'; 1024 * 1024 + 1]);
    for (path, code, message) in [
        ("/nowhere/at/all", Code::Unreadable, "names a file that can't be read: entity not found"),
        (empty.path(), Code::Missing, "names a file that is empty"),
        (binary.path(), Code::Unreadable, "names a file that can't be read: invalid data"),
        (huge.path(), Code::Unreadable, "names a file that can't be read: file too large"),
    ] {
        let loader = Loader::new("notes").vars([("NOTES_TOKEN_FILE", path)]);
        let report = loader.load::<Required>().err().expect("a problem");
        assert_eq!(report.problems.len(), 1, "{report}");
        let problem = &report.problems[0];
        assert_eq!((problem.name.as_str(), problem.code), ("NOTES_TOKEN_FILE", code));
        assert_eq!(problem.message, message);
    }
}

#[test]
fn a_secret_given_twice_is_a_problem() {
    let loader = Loader::new("notes").vars([("NOTES_TOKEN", "direct"), ("NOTES_TOKEN_FILE", "/nowhere")]);
    let report = load(loader).unwrap_err();
    assert_eq!(
        report.problems[0].to_string(),
        "NOTES_TOKEN: set twice: NOTES_TOKEN_FILE stands for it too (from the environment; set one of the two)"
    );
}

//! From texts to settings, or to a report.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::path::Path;

use shared_core::schema::{self, Code, Entry, Mistake, Origin, Profile, Setting, Variables};

use crate::declaration::{self, Names};
use crate::{Report, dotenv, secret_file, unknown};

/// The file of variables for development, looked for in the working directory.
const DOTENV: &str = ".env";

/// Loads settings from the environment of the process and from `.env` in the working directory, if there is one.
///
/// The program is called by its prefix: `NOTES` is `notes`. Warnings are for users of [`Loader::load`].
///
/// # Errors
/// The report of everything that is wrong. Print it, and exit with [`Report::EXIT_CODE`].
pub fn load<S: Setting>() -> Result<S, Report> {
    let service = S::SCHEMA.prefix().to_ascii_lowercase().replace('_', "-");
    Loader::from_process(service).load().map(|loaded| loaded.settings)
}

/// Collects texts and loads settings from them.
///
/// The process outranks `.env`; an empty text is no text, so an empty variable of the process uncovers the one of
/// `.env`. The order of calls does not matter.
#[derive(Clone, Default)]
pub struct Loader {
    service: String,
    process: Vec<(OsString, OsString)>,
    dotenv: String,
    unreadable: Option<io::ErrorKind>,
    closed: bool,
}

/// What a program starts with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded<S> {
    /// The settings.
    pub settings: S,
    /// What the program runs for.
    pub profile: Profile,
    /// What did not hinder the start, for the log: names that no setting has.
    pub warnings: Vec<Mistake>,
}

impl Loader {
    /// A loader without any text, for tests and tools; `service` is what the report calls the program.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), ..Self::default() }
    }

    /// A loader with the environment of the process, and with `.env` of the working directory if there is one.
    pub fn from_process(service: impl Into<String>) -> Self {
        Self { process: std::env::vars_os().collect(), ..Self::new(service) }.file(Path::new(DOTENV))
    }

    /// Reads `.env`, which need not be there.
    fn file(self, path: &Path) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => self.dotenv(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self,
            Err(error) => Self { unreadable: Some(error.kind()), ..self },
        }
    }

    /// Adds variables as if they were those of the process.
    #[must_use]
    pub fn vars<N: AsRef<OsStr>, T: AsRef<OsStr>>(mut self, vars: impl IntoIterator<Item = (N, T)>) -> Self {
        self.process
            .extend(vars.into_iter().map(|(name, text)| (name.as_ref().into(), text.as_ref().into())));
        self
    }

    /// Takes this text as the content of `.env`.
    #[must_use]
    pub fn dotenv(mut self, text: impl Into<String>) -> Self {
        self.dotenv = text.into();
        self
    }

    /// Refuses every name that no setting has, whatever it begins with: for texts that were given one by one, as in a test, where no
    /// stranger can be meant for another program.
    #[must_use]
    pub fn deny_unknown(mut self) -> Self {
        self.closed = true;
        self
    }

    /// Reads everything, and only then fails if something is wrong.
    ///
    /// # Errors
    /// The report of everything that is wrong.
    pub fn load<S: Setting>(mut self) -> Result<Loaded<S>, Report> {
        let known = S::SCHEMA.variables();
        let prefix = S::SCHEMA.prefix();
        let (names, mut problems) = declaration::names(&known, prefix);
        let mut variables = self.collect(&names, &mut problems);
        let unreadable = secret_file::read(&known, &mut variables);
        let schema::Reading { settings, profile, mut mistakes, .. } = schema::read::<S>(&variables);
        // A secret whose file can't be read is not missing as well.
        mistakes
            .retain(|one| one.code != Code::Missing || !unreadable.iter().any(|(name, _)| *name == one.name));
        problems.extend(unreadable.into_iter().map(|(_, mistake)| mistake));
        let mut warnings = unknown::check(&names, prefix, &variables, &mut mistakes, self.closed);
        if self.closed {
            mistakes.append(&mut warnings);
        }
        problems.extend(mistakes);
        match settings {
            Some(settings) if problems.is_empty() => Ok(Loaded { settings, profile, warnings }),
            _ => {
                problems.sort_by(|a, b| (&a.name, &a.origin).cmp(&(&b.name, &b.origin)));
                Err(Report { service: self.service, profile, problems, warnings })
            }
        }
    }

    /// Lays the process over `.env`.
    fn collect(&mut self, names: &Names<'_>, problems: &mut Vec<Mistake>) -> Variables {
        let mut variables = Variables::new();
        if let Some(kind) = self.unreadable {
            problems.push(Mistake::new(DOTENV, Code::Unreadable, format!("can't be read: {kind}")));
        }
        let (assignments, unreadable) = dotenv::parse(&self.dotenv);
        for one in unreadable {
            problems.push(Mistake::new(DOTENV, Code::Unreadable, one.why).from(line(one.line)));
        }
        for one in assignments {
            problems.extend(doubled(names, &variables, &one));
            variables.set(one.name, Entry { text: Some(one.text), origin: line(one.line) });
        }
        for (name, text) in mem::take(&mut self.process) {
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = name.into_string() else { continue };
            variables.set(name, Entry { text: text.into_string().ok(), origin: Origin::Environment });
        }
        variables
    }
}

fn line(line: usize) -> Origin {
    Origin::Line { file: DOTENV.to_owned(), line }
}

/// A setting that `.env` holds twice, differently: one of the lines is not what its author thinks.
fn doubled(names: &Names<'_>, variables: &Variables, new: &dotenv::Assignment) -> Option<Mistake> {
    let before = variables.get(&new.name)?;
    let Origin::Line { line: first, .. } = before.origin else { return None };
    (names.contains_key(&new.name) && before.text.as_deref() != Some(new.text.as_str())).then(|| {
        let message = format!("set twice, differently: already in line {first}");
        Mistake::new(&new.name, Code::Conflict, message).from(line(new.line)).hint("remove one")
    })
}

#[cfg(test)]
mod tests {
    use shared_core::Config;

    use super::*;

    #[derive(Config)]
    struct Package {
        #[config(env = "CARGO_PKG_NAME")]
        name: String,
    }

    fn here() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_environment_of_the_process_is_read() {
        assert_eq!(load::<Package>().expect("cargo sets it").name, "shared-config");
    }

    #[test]
    fn a_file_of_variables_is_read_if_it_is_there() {
        let package = |file| Loader::new("it").file(file).load::<Package>();
        assert_eq!(
            package(Path::new("no/such/file")).err().expect("missing").problems[0].name,
            "CARGO_PKG_NAME"
        );
        let report = package(here()).err().expect("a directory is no file");
        assert_eq!(report.problems[0].to_string(), ".env: can't be read: is a directory");
        let manifest = package(&here().join("Cargo.toml")).err().expect("a manifest is no .env");
        assert_eq!(manifest.problems[0].to_string(), ".env: expected NAME=text (from .env line 1)");
    }
}

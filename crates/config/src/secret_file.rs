//! Secrets from files: `DATABASE_URL_FILE` names the file that holds what `DATABASE_URL` would.

use std::fs::File;
use std::io::{self, Read};

use shared_core::schema::{Code, Entry, Mistake, Origin, Variable, Variables};

/// A key, a certificate chain or a connection string is far smaller; a larger file is the wrong file.
const LIMIT: u64 = 1024 * 1024;

/// Reads the file of every secret that has one into its variable. Returns what went wrong, each with the name of the
/// secret.
pub(crate) fn read(known: &[Variable], variables: &mut Variables) -> Vec<(String, Mistake)> {
    let mut mistakes = Vec::new();
    for variable in known {
        let Some(file_name) = variable.file_name() else { continue };
        let Some(path) = variables.get(&file_name).cloned() else { continue };
        let result = match variables.get(&variable.name) {
            Some(direct) if direct.origin.rank() < path.origin.rank() => continue,
            Some(direct) if direct.origin.rank() == path.origin.rank() => {
                Err(twice(variable, &file_name, &path))
            }
            _ => content(&path, &file_name),
        };
        match result {
            Ok(text) => variables.set(
                variable.name.clone(),
                Entry { text: Some(text), origin: Origin::FileNamedBy(file_name) },
            ),
            Err(mistake) => mistakes.push((variable.name.clone(), mistake)),
        }
    }
    mistakes
}

fn twice(variable: &Variable, file_name: &str, path: &Entry) -> Mistake {
    let message = format!("set twice: {file_name} stands for it too");
    Mistake::new(&variable.name, Code::Conflict, message).from(path.origin.clone()).hint("set one of the two")
}

fn content(path: &Entry, file_name: &str) -> Result<String, Mistake> {
    let wrong = |code, why: String| {
        Mistake::new(file_name, code, format!("names a file that {why}")).from(path.origin.clone())
    };
    let text = match &path.text {
        Some(path) => {
            text(path).map_err(|error| wrong(Code::Unreadable, format!("can't be read: {}", error.kind())))
        }
        None => Err(Mistake::new(file_name, Code::NotUtf8, "not valid UTF-8").from(path.origin.clone())),
    }?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(wrong(Code::Missing, "is empty".to_owned())) } else { Ok(text.to_owned()) }
}

fn text(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if read as u64 > LIMIT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

//! What the settings are, written down from the same schema that reads them.

use std::fmt::Write;

use shared_core::schema::{Profile, Setting, Variable};

/// The text of an annotated `.env.example`: every variable with its description, what is expected and its default.
///
/// Required variables are there to be filled in; the others are commented out. Keep the file in the repository, and
/// let a test compare it with this text.
pub fn env_example<S: Setting>() -> String {
    let profile = Profile::variable(S::SCHEMA.prefix());
    let mut text = format!(
        "# What the program runs for.\n# {}; default: {}\n#{profile}={}\n",
        Profile::expected(),
        Profile::default(),
        Profile::default()
    );
    for variable in S::SCHEMA.variables() {
        text.push('\n');
        for line in variable.field.doc.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        for line in remarks(&variable) {
            let _ = writeln!(text, "# {line}");
        }
        let mark = if variable.is_required() { "" } else { "#" };
        let _ = writeln!(
            text,
            "{mark}{}={}",
            variable.name,
            shown_default(&variable).map(quoted).unwrap_or_default()
        );
    }
    text
}

/// A Markdown table of all variables: name, meaning, what is expected, default.
pub fn markdown<S: Setting>() -> String {
    let mut text = String::from("| variable | meaning | expected | default |\n|---|---|---|---|\n");
    let profile = Profile::variable(S::SCHEMA.prefix());
    let meaning = "What the program runs for.";
    let _ =
        writeln!(text, "| `{profile}` | {meaning} | {} | `{}` |", Profile::expected(), Profile::default());
    for variable in S::SCHEMA.variables() {
        let meaning = cell(variable.field.doc);
        let also = variable.field.alias.map(|alias| format!(", `{alias}`")).unwrap_or_default();
        let default = match shown_default(&variable) {
            Some(default) => format!("`{}`", cell(default)),
            None => absence(&variable).to_owned(),
        };
        let _ = writeln!(
            text,
            "| `{}`{also} | {meaning} | {} | {default} |",
            variable.name,
            cell(&variable.expected())
        );
    }
    text
}

fn remarks(variable: &Variable) -> Vec<String> {
    let mut remarks = vec![match shown_default(variable) {
        Some("") => format!("{}; default: empty", variable.expected()),
        Some(default) => format!("{}; default: {default}", variable.expected()),
        None => format!("{}; {}", variable.expected(), absence(variable)),
    }];
    remarks.extend(variable.field.alias.map(|alias| format!("also read from {alias}")));
    remarks.extend(variable.file_name().map(|file| format!("or {file}, the path of a file that holds it")));
    remarks.extend(
        variable.field.not_in_production.map(|what| format!("refused in profile `production`: {what}")),
    );
    remarks
}

/// The default of a secret is shown nowhere, not even one for development: it would be copied.
fn shown_default(variable: &Variable) -> Option<&'static str> {
    if variable.is_secret() { None } else { variable.field.default }
}

fn absence(variable: &Variable) -> &'static str {
    if variable.field.default.is_some() {
        "has a default"
    } else if variable.optional {
        "optional"
    } else {
        "required"
    }
}

/// As `.env` reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/=+@%".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

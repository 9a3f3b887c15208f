//! The public API of each library, listed in `crates/*/api.txt`: a change of it is seen in review, and is never by accident.
//!
//! rustdoc writes it as JSON, which the crate public-api reads. The JSON is unstable: a compiler of the stable channel
//! writes it when it is told to take unstable options, and a later one may need a later public-api.

use std::path::{Path, PathBuf};

use public_api::Builder;

use crate::command::{Result, cargo, program, root, run};
use crate::workspace::{Library, workspace};

/// Compares the listings with the sources, and prints what differs; or, with `bless`, rewrites them.
pub(crate) fn api(bless: bool) -> Result {
    let workspace = workspace()?;
    document()?;
    let libraries = workspace.packages.iter().filter_map(|package| package.library.as_ref());
    let mut differing = Vec::new();
    for library in libraries.filter(|library| library.directory.starts_with(root().join("crates"))) {
        let golden = library.directory.join("api.txt");
        let listed = list(library, &workspace.target.join("doc"))?;
        if bless {
            std::fs::write(&golden, listed)?;
        } else if !is_same(&golden, &listed, &workspace.target)? {
            differing.push(golden.strip_prefix(root())?.display().to_string());
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the public API differs from {}; `cargo xtask api --bless` writes it down",
        differing.join(", ")
    )
    .into())
}

/// Has rustdoc write all libraries as JSON, with the features and the metadata of the part `docs`.
///
/// Only rustdoc may see RUSTC_BOOTSTRAP: build scripts that look at it would have everything after them built again.
fn document() -> Result {
    let flags = "-Z unstable-options --output-format json --cap-lints allow";
    run(cargo(&["doc", "--workspace", "--no-deps", "--all-features", "--lib"])
        .env("RUSTDOC", root().join("xtask/rustdoc-unstable"))
        .env("RUSTDOCFLAGS", flags))
}

/// A line per item, sorted by path. What the compiler derives or adds by itself is left out.
fn list(library: &Library, doc: &Path) -> Result<String> {
    let json = doc.join(format!("{}.json", library.name));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| {
            format!("could not read {}: {error}; a later Rust needs a later public-api", json.display())
        })?;
    Ok(api.to_string())
}

/// Prints the lines that are in one of them only, with one line around them.
fn is_same(golden: &Path, listed: &str, target: &Path) -> Result<bool> {
    let golden = if golden.exists() { golden } else { Path::new("/dev/null") };
    if std::fs::read_to_string(golden)? == listed {
        return Ok(true);
    }
    let now: PathBuf = target.join("tmp/api.txt");
    std::fs::create_dir_all(target.join("tmp"))?;
    std::fs::write(&now, listed)?;
    let shown = program("diff", &["--unified=1"]).arg(golden).arg(&now).status();
    shown.map_err(|error| format!("could not start `diff`: {error}"))?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_the_same_only_if_every_line_is() {
        let place = std::env::temp_dir().join(format!("xtask-api-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let golden = place.join("api.txt");
        assert!(!is_same(&golden, "pub fn a()\n", &place).unwrap(), "there is no listing yet");
        std::fs::write(&golden, "pub fn a()\n").unwrap();
        assert!(is_same(&golden, "pub fn a()\n", &place).unwrap());
        assert!(!is_same(&golden, "pub fn a()\npub fn b()\n", &place).unwrap());
        std::fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn a_documentation_that_cannot_be_read_is_named() {
        let library = Library { name: "no_such_crate".to_owned(), directory: root() };
        let error = list(&library, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/no_such_crate.json"), "{error}");
    }
}

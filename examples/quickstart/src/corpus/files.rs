//! Which files there are, in the order of their names.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Media, Reason, Skipped};

/// A file to read; or a folder that could not be listed.
pub(super) type Found = Result<(PathBuf, Media), Skipped>;

/// The folders in a directory, by name; hidden ones and those whose names are not UTF-8 excepted.
pub(super) fn folders(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    Ok(entries(directory)?
        .into_iter()
        .filter(|entry| entry.is_folder)
        .map(|entry| (entry.name, entry.path))
        .collect())
}

/// The wanted files of a folder and all folders in it. `wanted` is asked with the path below `root`.
pub(super) fn below(root: &Path, wanted: fn(&str) -> Option<Media>) -> VecDeque<Found> {
    let mut found = VecDeque::new();
    let mut pending = vec![(root.to_owned(), String::new())];
    while let Some((folder, inside)) = pending.pop() {
        let entries = match entries(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                found.push_back(Err(Skipped { path: folder, reason: Reason::Unreadable(error) }));
                continue;
            }
        };
        let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.is_folder);
        // The last one pushed is the next one listed.
        pending
            .extend(folders.into_iter().rev().map(|entry| (entry.path, format!("{inside}{}/", entry.name))));
        for file in files {
            if let Some(media) = wanted(&format!("{inside}{}", file.name)) {
                found.push_back(Ok((file.path, media)));
            }
        }
    }
    found
}

/// A crate's README files and its sources.
pub(super) fn of_a_crate(path: &str) -> Option<Media> {
    match of_a_folder(path)? {
        Media::Rust if path.starts_with("src/") => Some(Media::Rust),
        media if !path.contains('/') && path.to_ascii_lowercase().starts_with("readme") => Some(media),
        _ => None,
    }
}

/// By extension.
pub(super) fn of_a_folder(path: &str) -> Option<Media> {
    match Path::new(path).extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "txt" => Some(Media::Text),
        "md" | "markdown" => Some(Media::Markdown),
        "rs" => Some(Media::Rust),
        "html" | "htm" => Some(Media::Html),
        _ => None,
    }
}

struct Entry {
    name: String,
    path: PathBuf,
    is_folder: bool,
}

/// Files and folders, by name. Symbolic links are left out: they may lead in a circle or elsewhere.
fn entries(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name().into_string());
        let Ok(name) = name else { continue };
        if (kind.is_dir() || kind.is_file()) && !name.starts_with('.') {
            entries.push(Entry { name, path: entry.path(), is_folder: kind.is_dir() });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

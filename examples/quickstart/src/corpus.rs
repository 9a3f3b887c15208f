//! What there is to search: documents of several tenants, read one after the other.
//!
//! By default the tenants are the crates in this machine's cargo registry; or the first-level folders of a directory.
//! A file that cannot be used is an item of its own and stops nothing.

mod files;
mod plain;

use std::{
    collections::{BTreeMap, VecDeque},
    env, fmt, fs, io,
    path::{Path, PathBuf},
};

use semver::Version;

use crate::chunk;

/// Files beyond this are data rather than documents.
const MAX_BYTES: u64 = 1 << 20;

/// A text of a tenant, ready to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// The crate's or the folder's name.
    pub tenant: String,
    /// Where it lies inside the tenant's folder, with `/` between names.
    pub path: String,
    /// The first heading, or else the path.
    pub title: String,
    /// Plain text: no markup; of Rust, the documentation comments.
    pub text: String,
    /// What the file was.
    pub media: Media,
}

/// A kind of file, known by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Text,
    Markdown,
    Rust,
    Html,
}

/// A file that gives no document.
#[derive(Debug)]
pub(crate) struct Skipped {
    /// The whole path.
    pub path: PathBuf,
    pub reason: Reason,
}

/// Why a file gives no document.
#[derive(Debug)]
pub(crate) enum Reason {
    Unreadable(io::Error),
    NotUtf8,
    Empty,
    /// A Rust file without documentation comments, a page of pictures.
    NoText,
    Huge {
        bytes: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Reason::NotUtf8 => f.write_str("is not UTF-8"),
            Reason::Empty => f.write_str("is empty"),
            Reason::NoText => f.write_str("has no text or documentation comments"),
            Reason::Huge { bytes } => write!(f, "is huge: {bytes} bytes, more than {MAX_BYTES}"),
        }
    }
}

/// An iterator over the documents: tenants by name, and a tenant's files by path. It reads a file when it is asked
/// for the next document, and lists a tenant's folder when it comes to it.
#[derive(Debug)]
pub(crate) struct Corpus {
    tenants: VecDeque<(String, PathBuf)>,
    current: (String, PathBuf),
    files: VecDeque<files::Found>,
    wanted: fn(&str) -> Option<Media>,
}

impl Corpus {
    /// The README files and the documentation comments of the crates in this machine's cargo registry, of each crate
    /// the latest version that is there.
    ///
    /// # Errors
    /// Where the registry cannot be listed or is empty.
    pub(crate) fn registry() -> io::Result<Corpus> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
        let home =
            home.ok_or_else(|| not_found("there is no home directory; set CARGO_HOME, or name a directory"))?;
        Corpus::crates(&home.join("registry/src"))
    }

    /// The crates in `REGISTRY/NAME-VERSION` below a directory.
    fn crates(directory: &Path) -> io::Result<Corpus> {
        let mut latest = BTreeMap::<String, (Version, PathBuf)>::new();
        for (_, registry) in files::folders(directory)? {
            for (folder, path) in files::folders(&registry)? {
                let Some((name, version)) = name_and_version(&folder) else { continue };
                if latest.get(name).is_none_or(|(known, _)| *known < version) {
                    latest.insert(name.to_owned(), (version, path));
                }
            }
        }
        let tenants = latest.into_iter().map(|(name, (_, path))| (name, path)).collect();
        Corpus::new(directory, tenants, files::of_a_crate)
    }

    /// The text, Markdown, Rust and HTML files in the first-level folders of a directory, each of which is a tenant.
    /// Hidden files and folders, symbolic links and other kinds of files are passed over.
    ///
    /// # Errors
    /// Where the directory cannot be listed or has no folder.
    pub(crate) fn directory(directory: &Path) -> io::Result<Corpus> {
        Corpus::new(directory, files::folders(directory)?.into(), files::of_a_folder)
    }

    fn new(
        directory: &Path,
        tenants: VecDeque<(String, PathBuf)>,
        wanted: fn(&str) -> Option<Media>,
    ) -> io::Result<Corpus> {
        if tenants.is_empty() {
            let text = format!(
                "{} has no folder that could be a tenant; name another directory",
                directory.display()
            );
            return Err(not_found(text));
        }
        Ok(Corpus { tenants, current: Default::default(), files: VecDeque::new(), wanted })
    }

    /// Ends with the document that brings the number of chunks to `limit`.
    pub(crate) fn up_to(self, limit: usize) -> impl Iterator<Item = Result<Document, Skipped>> {
        self.scan(0, move |chunks, item| {
            let before = *chunks;
            *chunks += item.as_ref().map_or(0, |document| chunk::chunks(&document.text).count());
            (before < limit).then_some(item)
        })
    }

    /// The document in a file of the current tenant.
    fn read(&self, file: &Path, media: Media) -> Result<Document, Reason> {
        let bytes = fs::metadata(file).map_err(Reason::Unreadable)?.len();
        if bytes > MAX_BYTES {
            return Err(Reason::Huge { bytes });
        }
        let source =
            String::from_utf8(fs::read(file).map_err(Reason::Unreadable)?).map_err(|_| Reason::NotUtf8)?;
        if source.trim().is_empty() {
            return Err(Reason::Empty);
        }
        let plain::Plain { text, heading } = plain::plain(&source, media);
        if text.is_empty() {
            return Err(Reason::NoText);
        }
        let (tenant, folder) = &self.current;
        let names = file.strip_prefix(folder).unwrap_or(file).iter().map(|name| name.to_string_lossy());
        let path = names.collect::<Vec<_>>().join("/");
        Ok(Document {
            tenant: tenant.clone(),
            title: heading.unwrap_or_else(|| path.clone()),
            path,
            text,
            media,
        })
    }
}

impl Iterator for Corpus {
    type Item = Result<Document, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.files.pop_front() {
                let document = found.and_then(|(path, media)| {
                    self.read(&path, media).map_err(|reason| Skipped { path, reason })
                });
                return Some(document);
            }
            self.current = self.tenants.pop_front()?;
            self.files = files::below(&self.current.1, self.wanted);
        }
    }
}

/// `serde-1.0.0` are `serde` and 1.0.0. Names may contain digits, as `sha-1-0.10.1`: the version is the longest rest
/// that is one.
fn name_and_version(folder: &str) -> Option<(&str, Version)> {
    let dashes = folder.match_indices('-').map(|(dash, _)| folder.split_at(dash));
    dashes.into_iter().find_map(|(name, version)| Some((name, Version::parse(&version[1..]).ok()?)))
}

fn not_found(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, text.into())
}

#[cfg(test)]
mod tests;

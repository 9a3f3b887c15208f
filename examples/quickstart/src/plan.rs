//! A first look at the corpus: how much there is to do, for which tenants, and what can't be used.

use std::fmt;
use std::io;
use std::path::PathBuf;

use shared_service::core::Failure;

use crate::chunk;
use crate::corpus::{Corpus, Document, Reason, Skipped};

/// Where the documents come from. It can be read more than once, so that no run holds a whole corpus in memory.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) directory: Option<PathBuf>,
    /// Chunks at most; the document that reaches it is the last.
    pub(crate) limit: usize,
}

/// What is attempted when it is read.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.directory {
            Some(directory) => write!(f, "reading the documents in {}", directory.display()),
            None => f.write_str("reading cargo's registry"),
        }
    }
}

impl Source {
    /// The documents, and the files that give none.
    pub(crate) fn read(&self) -> io::Result<impl Iterator<Item = Result<Document, Skipped>>> {
        let corpus = match &self.directory {
            Some(directory) => Corpus::directory(directory)?,
            None => Corpus::registry()?,
        };
        Ok(corpus.up_to(self.limit))
    }
}

/// What a run has before it.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) documents: u64,
    pub(crate) chunks: u64,
    /// In the order of their names.
    pub(crate) tenants: Vec<Share>,
    /// Files that can't be used: not UTF-8, empty, huge, unreadable.
    pub(crate) unusable: Vec<Skipped>,
    /// Files in which there is nothing to read, such as sources without documentation.
    pub(crate) without_text: u64,
}

/// What a tenant has of it.
#[derive(Debug, Default)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) documents: u64,
    pub(crate) chunks: u64,
    /// Titles of some of its documents, evenly from all.
    pub(crate) titles: Vec<String>,
}

/// Titles kept of each tenant: enough to ask different questions.
const TITLES: usize = 16;

impl Plan {
    /// Reads the corpus once. Blocks.
    ///
    /// # Errors
    /// If there is no corpus, or nothing in it that can be used.
    pub(crate) fn of(source: &Source) -> Result<Self, Failure> {
        let mut plan = Self::default();
        let documents = source.read().map_err(|error| Failure::from(error).attempting(source))?;
        for item in documents {
            match item {
                Ok(document) => plan.add(document),
                Err(Skipped { reason: Reason::NoText, .. }) => plan.without_text += 1,
                Err(skipped) => plan.unusable.push(skipped),
            }
        }
        if plan.documents == 0 {
            return Err(Failure::dead("there is no document to search; name a directory that has some"));
        }
        Ok(plan)
    }

    fn add(&mut self, document: Document) {
        let chunks = chunk::chunks(&document.text).count() as u64;
        self.documents += 1;
        self.chunks += chunks;
        if self.tenants.last().is_none_or(|tenant| tenant.name != document.tenant) {
            self.tenants.push(Share { name: document.tenant.clone(), ..Share::default() });
        }
        if let Some(tenant) = self.tenants.last_mut() {
            tenant.documents += 1;
            tenant.chunks += chunks;
            tenant.remember(document.title);
        }
    }

    /// The tenants, the largest first.
    pub(crate) fn largest(&self) -> Vec<&Share> {
        let mut tenants: Vec<&Share> = self.tenants.iter().collect();
        tenants.sort_by_key(|tenant| std::cmp::Reverse(tenant.chunks));
        tenants
    }
}

impl Share {
    fn remember(&mut self, title: String) {
        if self.titles.len() < TITLES {
            self.titles.push(title);
        } else {
            // A step that shares no factor with the number of places visits all of them.
            self.titles[(self.documents as usize * 7) % TITLES] = title;
        }
    }
}

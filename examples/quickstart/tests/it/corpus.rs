//! A corpus that is made by chance, and changes by chance; the same for the same seed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

const WORDS: [&str; 16] = [
    "lease", "fence", "tenant", "commit", "vector", "relay", "inbox", "queue", "chunk", "digest", "token",
    "trace", "worker", "shard", "replay", "cursor",
];

/// Folders of text files. The files stay; what is in them changes.
pub(crate) struct Corpus {
    directory: TempDir,
    /// By tenant and path.
    pub(crate) texts: BTreeMap<(String, String), String>,
    rng: StdRng,
}

impl Corpus {
    pub(crate) fn new(seed: u64, tenants: usize, documents: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut corpus = Self { directory, texts: BTreeMap::new(), rng: StdRng::seed_from_u64(seed) };
        for tenant in 0..tenants {
            for document in 0..documents {
                corpus.write(format!("tenant-{tenant}"), format!("{document:02}.txt"));
            }
        }
        corpus
    }

    /// Gives about half of the documents another text.
    pub(crate) fn change(&mut self) {
        for (tenant, path) in self.texts.keys().cloned().collect::<Vec<_>>() {
            if self.rng.random_bool(0.5) {
                self.write(tenant, path);
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A text of one to four chunks, of few words: some chunks come more than once.
    fn write(&mut self, tenant: String, path: String) {
        let paragraphs = (0..self.rng.random_range(1..=4)).map(|_| {
            let word = WORDS[self.rng.random_range(0..WORDS.len())];
            format!("{word} ").repeat([60, 70, 80][self.rng.random_range(0..3)]).trim().to_owned()
        });
        let text = paragraphs.collect::<Vec<_>>().join(".\n\n");
        let folder = self.directory.path().join(&tenant);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(&path), &text))
            .expect("a file is written");
        self.texts.insert((tenant, path), text);
    }
}

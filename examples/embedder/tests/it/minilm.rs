use std::sync::LazyLock;

use embedder::{Error, MiniLm};
use serde::Deserialize;

use crate::{distance, norm, similarity};

static MODEL: LazyLock<MiniLm> = LazyLock::new(|| MiniLm::fetch().unwrap());

/// A text and its vector as Python computes it. `reference.md` says how the file was made.
#[derive(Deserialize)]
struct Reference {
    text: String,
    vector: Vec<f32>,
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("reference.json")).unwrap()
}

#[test]
fn vectors_equal_those_of_sentence_transformers() {
    let references = references();
    let texts: Vec<&str> = references.iter().map(|reference| &*reference.text).collect();
    for (reference, vector) in references.iter().zip(MODEL.embed(&texts).unwrap()) {
        let distance = distance(&reference.vector, &vector);
        assert!(distance < 1e-4, "{distance} off for {:?}", reference.text);
    }
}

#[test]
fn every_vector_has_unit_norm() {
    let texts = ["", "key", "🚀", &"many words ".repeat(500)];
    for vector in MODEL.embed(&texts).unwrap() {
        assert_eq!(vector.len(), MODEL.dimensions());
        assert!((norm(&vector) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn similar_meaning_is_closer_than_shared_words() {
    let pairs = [
        ("How do I replace my credentials?", "rotate the signing keys", "How do I replace my bicycle tyre?"),
        ("the server refuses connections", "cannot reach the database", "the waiter serves coffee"),
        ("a cat sleeps on the sofa", "a kitten naps on the couch", "a car drives on the road"),
    ];
    for (text, similar, other) in pairs {
        let vectors = MODEL.embed(&[text, similar, other]).unwrap();
        let (near, far) = (similarity(&vectors[0], &vectors[1]), similarity(&vectors[0], &vectors[2]));
        assert!(near > far, "{text}: {near} to {similar}, {far} to {other}");
    }
}

#[test]
fn company_does_not_change_a_vector() {
    let references = references();
    let texts: Vec<&str> = references.iter().map(|reference| &*reference.text).collect();
    for (text, together) in texts.iter().zip(MODEL.embed(&texts).unwrap()) {
        let alone = &MODEL.embed(&[text]).unwrap()[0];
        assert!(distance(alone, &together) < 1e-5, "{text:?}");
    }
}

#[test]
fn many_texts_keep_their_order() {
    let texts: Vec<String> = (0..60).map(|n| format!("{} number {n}", "word ".repeat(n * 7 % 40))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = MODEL.embed(&texts).unwrap();
    assert_eq!(together.len(), texts.len());
    for n in [0, 17, 59] {
        assert!(distance(&together[n], &MODEL.embed(&[texts[n]]).unwrap()[0]) < 1e-5);
    }
    assert!(MODEL.embed(&[]).unwrap().is_empty());
}

#[test]
fn a_directory_without_the_model_is_an_error_that_names_the_file() {
    let error = MiniLm::load("/nonexistent".as_ref()).err().unwrap();
    assert!(matches!(error, Error::File { .. }));
    assert_eq!(error.to_string(), "cannot read /nonexistent/tokenizer.json");
}

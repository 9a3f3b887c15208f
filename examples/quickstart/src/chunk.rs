//! Texts cut into chunks: pieces short enough that one vector can stand for each.

/// The most characters of a chunk. The model reads 256 tokens, about 1,000 characters of English; code takes more.
pub(crate) const MAX_CHARACTERS: usize = 800;

/// The chunks of a text in order, without the white space between them.
///
/// A cut falls between paragraphs; or else after a sentence or line; or else between words; and inside a word only
/// where the word alone is longer than a chunk. No chunk is empty or longer than [`MAX_CHARACTERS`].
pub(crate) fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at(cut(rest));
        rest = after.trim_start();
        (!chunk.is_empty()).then(|| chunk.trim_end())
    })
}

/// The byte at which the first chunk of `text` ends.
fn cut(text: &str) -> usize {
    let mut characters = text.char_indices().map(|(index, _)| index).skip(MAX_CHARACTERS);
    let Some(cap) = characters.next() else { return text.len() };
    // One character more, so that a word which ends exactly at the cap stays whole.
    let window = &text[..characters.next().unwrap_or(text.len())];
    let found = [paragraph, sentence].into_iter().filter_map(|last| last(window)).find(|&cut| cut > cap / 2);
    // A paragraph or sentence that ends early would leave a chunk of a few words.
    found.or_else(|| window.rfind(char::is_whitespace)).filter(|&cut| cut > 0).unwrap_or(cap)
}

/// Where the last paragraph of the window ends.
fn paragraph(window: &str) -> Option<usize> {
    window.rfind("\n\n")
}

/// Where the last sentence or line of the window ends.
fn sentence(window: &str) -> Option<usize> {
    let spaces = window.rmatch_indices(char::is_whitespace);
    spaces.map(|(space, _)| space).find(|&space| {
        window[space..].starts_with('\n') || window[..space].ends_with(['.', '!', '?', '。', '…', ':'])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<&str> {
        chunks(text).collect()
    }

    #[test]
    fn a_short_text_is_one_chunk_and_white_space_none() {
        assert_eq!(all(" hello\n"), ["hello"]);
        assert!(all(" \n\n\t").is_empty());
    }

    #[test]
    fn cuts_prefer_paragraphs_to_sentences_and_sentences_to_words() {
        let (long, short) = ("word ".repeat(100), "word ".repeat(20));
        let paragraphs = format!("{long}.\n\n{short}. {long}");
        assert_eq!(all(&paragraphs)[0], format!("{long}."));
        let sentences = format!("{long}{short}. {long}");
        assert_eq!(all(&sentences)[0], format!("{long}{short}."));
        assert_eq!(all(&"word ".repeat(1000))[0], "word ".repeat(160).trim_end());
    }

    #[test]
    fn a_word_that_ends_at_the_cap_stays_whole() {
        let text = format!("a {} b", "x".repeat(MAX_CHARACTERS - 2));
        assert_eq!(all(&text), [&text[..MAX_CHARACTERS], "b"]);
    }

    #[test]
    fn a_word_longer_than_a_chunk_is_cut_between_characters() {
        let cut = all(&"é".repeat(2 * MAX_CHARACTERS + 1))
            .iter()
            .map(|chunk| chunk.chars().count())
            .collect::<Vec<_>>();
        assert_eq!(cut, [MAX_CHARACTERS, MAX_CHARACTERS, 1]);
    }

    proptest! {
        #[test]
        fn chunks_keep_every_word_in_order(words in prop::collection::vec("[a-zé猫🚀.!?]{1,60}[ \n]{1,3}", 0..600)) {
            let text = words.concat();
            let chunks = all(&text);
            prop_assert!(chunks.iter().all(|chunk| (1..=MAX_CHARACTERS).contains(&chunk.chars().count())));
            let kept: Vec<&str> = chunks.iter().flat_map(|chunk| chunk.split_whitespace()).collect();
            prop_assert_eq!(kept, text.split_whitespace().collect::<Vec<_>>());
        }

        #[test]
        fn chunks_keep_every_character_of_any_text(text in "\\PC{0,3000}") {
            let chunks = all(&text);
            prop_assert!(chunks.iter().all(|chunk| (1..=MAX_CHARACTERS).contains(&chunk.chars().count())));
            let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(solid(&chunks.concat()), solid(&text));
        }
    }
}

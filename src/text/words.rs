//! Tokens grouped to words, as word times need them.
//!
//! The rules are those of OpenAI's `split_to_word_tokens`: languages written with blanks are cut
//! at blanks and around punctuation, the others at every complete character.

use super::tokenizer::Tokenizer;
use std::ops::Range;

/// Languages written without blanks between words.
const WITHOUT_BLANKS: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];
/// ASCII's punctuation in the order of its codes; a token of several is punctuation of its own
/// when it is a part of this.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

impl Tokenizer {
    /// The words of `ids` in order: text and the range of tokens in `ids` it is made of. The
    /// ranges are adjacent and cover `ids`; a special token is a word without text.
    pub fn split_words(&self, ids: &[u32], language: &str) -> Vec<(String, Range<usize>)> {
        let parts = self.split_characters(ids);
        if WITHOUT_BLANKS.contains(&language) {
            return parts;
        }
        let mut words: Vec<(String, Range<usize>)> = Vec::with_capacity(parts.len());
        let mut after_special = true;
        for (text, range) in parts {
            let special = ids[range.start] >= self.special().eot;
            let begins = text.starts_with(' ') || PUNCTUATION.contains(text.trim());
            match words.last_mut() {
                Some(word) if !special && !begins && !after_special => {
                    word.0.push_str(&text);
                    word.1.end = range.end;
                }
                _ => words.push((text, range)),
            }
            after_special = special;
        }
        words
    }

    /// Groups tokens to the shortest runs that are whole characters. Bytes that are no UTF-8 in
    /// the text as a whole are a group of their own, as U+FFFD.
    fn split_characters(&self, ids: &[u32]) -> Vec<(String, Range<usize>)> {
        let full: Vec<char> = self.decode(ids).chars().collect();
        let mut groups = Vec::with_capacity(ids.len());
        let (mut start, mut n_chars) = (0, 0);
        for end in 1..=ids.len() {
            let text = self.decode(&ids[start..end]);
            let broken = text.chars().position(|c| c == char::REPLACEMENT_CHARACTER);
            let whole = broken
                .is_none_or(|at| full.get(n_chars + at) == Some(&char::REPLACEMENT_CHARACTER));
            if whole || end == ids.len() {
                n_chars += text.chars().count();
                groups.push((text, start..end));
                start = end;
            }
        }
        groups
    }
}

//! Cutting text into the pieces within which byte pairs may merge.
//!
//! The rule is GPT-2's (Radford et al. 2019), as a pattern
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
//! written by hand so that no regular expression engine with look-ahead is needed.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// The contractions that stand alone, longest first where one begins another.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Number,
    Other,
}

fn class(c: char) -> Class {
    if c.is_ascii_alphabetic() {
        return Class::Letter;
    }
    if c.is_whitespace() {
        return Class::Space;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => Class::Letter,
        GeneralCategoryGroup::Number => Class::Number,
        _ => Class::Other,
    }
}

/// The pieces of `text`, in order; joined they are `text` again.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(piece_bytes(rest));
        rest = tail;
        Some(piece)
    })
}

/// The length of the first piece of a text that is not empty, always at least one character.
fn piece_bytes(text: &str) -> usize {
    if let Some(short) = CONTRACTIONS.iter().find(|c| text.starts_with(**c)) {
        return short.len();
    }
    // One blank may lead a run of anything but white space.
    let n_blank = usize::from(text.starts_with(' '));
    if let Some(kind) = text[n_blank..].chars().next().map(class)
        && kind != Class::Space
    {
        return n_blank + run_bytes(&text[n_blank..], kind);
    }
    let n_space = run_bytes(text, Class::Space);
    if n_space == text.len() {
        return n_space;
    }
    // Before a word the last white-space character is left to it, unless it is the only one.
    let n_last = text[..n_space]
        .chars()
        .next_back()
        .map_or(0, char::len_utf8);
    if n_space > n_last {
        n_space - n_last
    } else {
        n_space
    }
}

/// The length of the run of characters of one class at the beginning of `text`.
fn run_bytes(text: &str, kind: Class) -> usize {
    text.char_indices()
        .find(|(_, c)| class(*c) != kind)
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &str) -> Vec<&str> {
        pieces(text).collect()
    }

    #[test]
    fn words_numbers_and_signs_are_apart() {
        assert_eq!(
            cut("Hello world, it's 25°C!"),
            ["Hello", " world", ",", " it", "'s", " 25", "°", "C", "!"]
        );
        assert_eq!(
            cut("we'll they've I'm"),
            ["we", "'ll", " they", "'ve", " I", "'m"]
        );
        assert_eq!(cut("a1b"), ["a", "1", "b"]);
    }

    #[test]
    fn the_last_blank_belongs_to_the_word() {
        assert_eq!(cut("a   b"), ["a", "  ", " b"]);
        assert_eq!(cut("a \n b"), ["a", " \n", " b"]);
        assert_eq!(cut("a\n\nb"), ["a", "\n", "\n", "b"]);
        assert_eq!(cut("a\nb"), ["a", "\n", "b"]);
        assert_eq!(cut("a  "), ["a", "  "]);
        assert_eq!(cut("  "), ["  "]);
        assert_eq!(cut(""), [""; 0]);
    }

    #[test]
    fn an_apostrophe_after_a_blank_is_no_contraction() {
        assert_eq!(cut(" 's"), [" '", "s"]);
        assert_eq!(cut("'S"), ["'", "S"]);
    }

    #[test]
    fn vowel_signs_are_not_letters() {
        // U+093F is a spacing mark: alphabetic in Unicode's sense but not of the category L.
        assert_eq!(cut("हि"), ["ह", "ि"]);
        assert_eq!(cut("Ⅷ²"), ["Ⅷ²"]);
    }

    proptest! {
        #[test]
        fn the_pieces_join_to_the_text(text in "(\\PC|\\s|'s|'ll){0,40}") {
            prop_assert_eq!(cut(&text).concat(), text.clone());
            prop_assert!(pieces(&text).all(|p| !p.is_empty()));
        }
    }
}

//! Cutting text into the pieces within which byte pairs may merge.
//!
//! The rule is GPT-2's (Radford et al. 2019), as a pattern
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
//! written by hand so that no regular expression engine with look-ahead is needed.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

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

/// The rules by which language models' tokenizers cut text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// GPT-2's.
    Gpt2,
    /// GPT-2's between numerals, each of which is a piece: StarCoder, SmolLM.
    Gpt2Digits,
    /// LLaMA 3's, `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}|` then
    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`; Qwen's with one numeral at a time.
    Llama3 {
        /// Numerals of a piece at most.
        n_digits: usize,
    },
    /// Mistral's, in which words end before capitals:
    /// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|`, the same with `+` and `*` for
    /// `*` and `+`, `|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
    Tekken,
}

/// The pieces of `text`, in order; joined they are `text` again.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    cut(text, Cut::Gpt2)
}

/// The same by another rule.
pub(super) fn cut(text: &str, rule: Cut) -> impl Iterator<Item = &str> {
    let mut rest = text;
    // Bytes up to the next numeral, where numerals are pieces.
    let mut n_clear = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let n_bytes = match rule {
            Cut::Gpt2 => piece_bytes(rest),
            Cut::Gpt2Digits => {
                if n_clear == 0 {
                    let numeral = rest.find(|c| class(c) == Class::Number);
                    n_clear = numeral.unwrap_or(rest.len());
                }
                let n_bytes = match n_clear {
                    0 => rest.chars().next().map_or(0, char::len_utf8),
                    _ => piece_bytes(&rest[..n_clear]),
                };
                n_clear = n_clear.saturating_sub(n_bytes);
                n_bytes
            }
            Cut::Llama3 { n_digits } => llama3_bytes(rest, n_digits),
            Cut::Tekken => tekken_bytes(rest),
        };
        let (piece, tail) = rest.split_at(n_bytes);
        rest = tail;
        Some(piece)
    })
}

/// The length of the first piece by LLaMA 3's rule.
fn llama3_bytes(text: &str, n_digits: usize) -> usize {
    let is_contraction = |short: &&&str| {
        let start = text.get(..short.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(short))
    };
    if let Some(short) = CONTRACTIONS.iter().find(is_contraction) {
        return short.len();
    }
    let mut chars = text.chars();
    let (first, second) = (chars.next().unwrap_or(' '), chars.next());
    let kind = class(first);
    if kind == Class::Letter {
        return run_bytes(text, Class::Letter);
    }
    if kind != Class::Number && !is_break(first) && second.map(class) == Some(Class::Letter) {
        let lead = first.len_utf8();
        return lead + run_bytes(&text[lead..], Class::Letter);
    }
    if kind == Class::Number {
        let digits = text.chars().take(n_digits);
        let digits = digits.take_while(|c| class(*c) == Class::Number);
        return digits.map(char::len_utf8).sum();
    }
    signs_bytes(text, is_break)
}

fn is_break(c: char) -> bool {
    c == '\r' || c == '\n'
}

/// The length of the first piece by Mistral's rule.
fn tekken_bytes(text: &str) -> usize {
    let first = text.chars().next().unwrap_or(' ');
    let kind = class(first);
    // One sign or blank may lead a word; a mark may, and may as well be the word's first.
    let is_lead = !is_break(first) && kind != Class::Letter && kind != Class::Number;
    let lead = if is_lead { first.len_utf8() } else { 0 };
    let starts = [lead, 0].into_iter().take(1 + usize::from(is_lead));
    for word in [word_bytes, capitals_bytes] {
        let mut lengths = starts.clone().map(|start| (start, word(&text[start..])));
        if let Some((start, n)) = lengths.find(|(_, n)| *n > 0) {
            return start + n;
        }
    }
    if kind == Class::Number {
        return first.len_utf8();
    }
    signs_bytes(text, |c| is_break(c) || c == '/')
}

/// The length of capitals and then at least one small letter; 0 where there is none.
fn word_bytes(text: &str) -> usize {
    let n_capitals = text.find(|c| !is_capital(c)).unwrap_or(text.len());
    let n_small = small_bytes(&text[n_capitals..]);
    if n_small > 0 {
        return n_capitals + n_small;
    }
    // Letters without case are both: the last of them may be the small one.
    let last = text[..n_capitals]
        .char_indices()
        .rfind(|(_, c)| is_small(*c));
    last.map_or(0, |(at, c)| at + c.len_utf8())
}

/// The length of at least one capital and then small letters; 0 where there is none.
fn capitals_bytes(text: &str) -> usize {
    let n_capitals = text.find(|c| !is_capital(c)).unwrap_or(text.len());
    match n_capitals {
        0 => 0,
        n => n + small_bytes(&text[n..]),
    }
}

fn small_bytes(text: &str) -> usize {
    text.find(|c| !is_small(c)).unwrap_or(text.len())
}

/// A capital, or a letter or mark that has no case.
fn is_capital(c: char) -> bool {
    use GeneralCategory::{TitlecaseLetter, UppercaseLetter};
    matches!(c.general_category(), UppercaseLetter | TitlecaseLetter) || has_no_case(c)
}

/// A small letter, or a letter or mark that has no case.
fn is_small(c: char) -> bool {
    c.general_category() == GeneralCategory::LowercaseLetter || has_no_case(c)
}

fn has_no_case(c: char) -> bool {
    use GeneralCategory::{ModifierLetter, OtherLetter};
    matches!(c.general_category(), ModifierLetter | OtherLetter)
        || c.general_category_group() == GeneralCategoryGroup::Mark
}

/// The length of a piece of signs, with what follows them of `ends`, or of white space.
fn signs_bytes(text: &str, ends: impl Fn(char) -> bool) -> usize {
    let n_blank = usize::from(text.starts_with(' '));
    if text[n_blank..].chars().next().map(class) == Some(Class::Other) {
        let n = n_blank + run_bytes(&text[n_blank..], Class::Other);
        let breaks = text[n..].chars().take_while(|c| ends(*c));
        return n + breaks.map(char::len_utf8).sum::<usize>();
    }
    let n_space = run_bytes(text, Class::Space);
    if let Some(last) = text[..n_space].rfind(is_break) {
        return last + 1;
    }
    spaces_bytes(text, n_space)
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
    spaces_bytes(text, run_bytes(text, Class::Space))
}

/// The length of a piece of white space, of which there are `n_space` bytes.
fn spaces_bytes(text: &str, n_space: usize) -> usize {
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

    fn cut_by(rule: Cut, text: &str) -> Vec<&str> {
        super::cut(text, rule).collect()
    }

    #[test]
    fn numerals_may_be_apart() {
        assert_eq!(
            cut_by(Cut::Gpt2Digits, "in  2024, a"),
            ["in", "  ", "2", "0", "2", "4", ",", " a"]
        );
        let rule = Cut::Llama3 { n_digits: 3 };
        assert_eq!(
            cut_by(rule, "in  2024,\n\n a (b) I'LL \n x  y"),
            [
                "in", " ", " ", "202", "4", ",\n\n", " a", " (", "b", ")", " I", "'LL", " \n",
                " x", " ", " y"
            ]
        );
        assert_eq!(cut_by(Cut::Llama3 { n_digits: 1 }, "25%"), ["2", "5", "%"]);
    }

    #[test]
    fn mistral_s_words_end_before_capitals() {
        let cut = |text| cut_by(Cut::Tekken, text);
        assert_eq!(
            cut("Hello world, it's 2024!"),
            [
                "Hello", " world", ",", " it", "'s", " ", "2", "0", "2", "4", "!"
            ]
        );
        assert_eq!(
            cut("camelCase HTTPServer"),
            ["camel", "Case", " HTTPServer"]
        );
        assert_eq!(cut("NASA's"), ["NASA", "'s"]);
        assert_eq!(cut("iPhone XL-size"), ["i", "Phone", " XL", "-size"]);
        // Letters without case go with both, and the last one ends a word of capitals.
        assert_eq!(cut("ABC日DEF"), ["ABC日", "DEF"]);
        assert_eq!(cut("日本語 text"), ["日本語", " text"]);
        // A mark belongs to the letter before it: "e" and an acute accent of its own.
        assert_eq!(cut("cafe\u{301}s"), ["cafe\u{301}s"]);
        assert_eq!(cut("\u{301}a"), ["\u{301}a"]);
        assert_eq!(cut("\u{301}1"), ["\u{301}", "1"]);
        assert_eq!(cut("(a) b"), ["(a", ")", " b"]);
    }

    #[test]
    fn mistral_s_signs_take_breaks_and_slashes() {
        let cut = |text| cut_by(Cut::Tekken, text);
        assert_eq!(cut("a;\n//\n b"), ["a", ";\n//\n", " b"]);
        assert_eq!(cut("a \n\n  b"), ["a", " \n\n", " ", " b"]);
        assert_eq!(cut("x\ty  "), ["x", "\ty", "  "]);
        assert_eq!(cut("5 €"), ["5", " €"]);
        assert_eq!(cut("ⅧÀB"), ["Ⅷ", "ÀB"]);
    }

    proptest! {
        #[test]
        fn whatever_the_rule_the_pieces_join_to_the_text(text in "(\\PC|\\s|'S|\r|12345){0,40}") {
            for rule in [Cut::Gpt2Digits, Cut::Llama3 { n_digits: 3 }, Cut::Tekken] {
                prop_assert_eq!(cut_by(rule, &text).concat(), text.clone());
                prop_assert!(super::cut(&text, rule).all(|p| !p.is_empty()));
            }
        }

        #[test]
        fn the_pieces_join_to_the_text(text in "(\\PC|\\s|'s|'ll){0,40}") {
            prop_assert_eq!(cut(&text).concat(), text.clone());
            prop_assert!(pieces(&text).all(|p| !p.is_empty()));
        }
    }
}

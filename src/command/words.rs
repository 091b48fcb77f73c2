//! Text to comparable words.
//!
//! Enters: a sentence as somebody wrote it or a recogniser heard it. Leaves: lower-case words
//! without punctuation, with numbers spelled out and contractions opened, so that templates and
//! transcriptions meet on common ground. Both sides of every comparison pass through here.

use std::ops::Range;

use super::numbers;

/// The word that stands for a possessive ending ("john's" is `john`, [`POSSESSIVE`]).
pub(crate) const POSSESSIVE: &str = "'s";

/// Words before which a written `'s` means "is".
const IS_CONTRACTED: [&str; 12] = [
    "what", "who", "where", "when", "how", "that", "there", "it", "he", "she", "here", "why",
];

/// The words of `text`.
///
/// `"What's the 12-oz. size?"` gives `what is the twelve ounce size`.
pub fn normalise(text: &str) -> Vec<String> {
    Spoken::new(text).words
}

/// A text, its words, and where each of them is written.
#[derive(Clone, Debug)]
pub(crate) struct Spoken<'t> {
    text: &'t str,
    pub(crate) words: Vec<String>,
    /// The bytes of the text that gave each word; words of one number or contraction share them.
    places: Vec<Range<usize>>,
}

impl<'t> Spoken<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut words = Vec::new();
        let mut places = Vec::new();
        for (token, place) in tokens(text) {
            match token {
                Token::Number(digits) => numbers::spell(&digits, &mut words),
                Token::Symbol(word) => words.push(word.to_owned()),
                Token::Word(word) => open_contraction(&word, &mut words),
            }
            places.resize(words.len(), place);
        }
        Spoken {
            text,
            words,
            places,
        }
    }

    /// The words of that range as they were written, with what stands between them; normalised when
    /// the range begins or ends inside of a number or a contraction.
    pub(crate) fn written(&self, range: Range<usize>) -> String {
        let words = self.words.get(range.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (
            self.places.get(range.start),
            self.places.get(range.end.wrapping_sub(1)),
        ) else {
            return String::new();
        };
        let before = range.start.checked_sub(1).and_then(|i| self.places.get(i));
        let is_cut = before == Some(first) || self.places.get(range.end) == Some(last);
        match self.text.get(first.start..last.end) {
            Some(written) if !is_cut => written.to_owned(),
            _ => words.join(" "),
        }
    }
}

enum Token {
    Word(String),
    /// Digits, with at most one decimal point between digits.
    Number(String),
    Symbol(&'static str),
}

/// Splits into words, numbers and spoken symbols, with the bytes they take; everything else
/// separates.
fn tokens(text: &str) -> Vec<(Token, Range<usize>)> {
    let mut chars: Vec<char> = Vec::with_capacity(text.len());
    let mut starts: Vec<usize> = Vec::with_capacity(text.len());
    for (start, c) in text.char_indices() {
        chars.extend(c.to_lowercase().map(plain));
        starts.resize(chars.len(), start);
    }
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let first = at;
        let token = if c.is_ascii_digit() {
            Some(Token::Number(take_number(&chars, &mut at)))
        } else if is_letter(c) {
            Some(Token::Word(take_word(&chars, &mut at)))
        } else {
            at += 1;
            symbol(&chars, first).map(Token::Symbol)
        };
        let end = starts.get(at).copied().unwrap_or(text.len());
        out.extend(token.map(|token| (token, starts[first]..end)));
    }
    out
}

/// The typographic forms of the apostrophe are one.
fn plain(c: char) -> char {
    match c {
        '\u{2019}' | '\u{2018}' | '\u{02bc}' | '`' => '\'',
        other => other,
    }
}

fn is_letter(c: char) -> bool {
    // Combining marks belong to the letter before them.
    (c.is_alphanumeric() && !c.is_ascii_digit()) || ('\u{300}'..='\u{36f}').contains(&c)
}

fn symbol(chars: &[char], at: usize) -> Option<&'static str> {
    let next_is_digit = chars.get(at + 1).is_some_and(char::is_ascii_digit);
    let starts_word = at == 0 || chars[at - 1].is_whitespace();
    match chars[at] {
        '%' => Some("percent"),
        '°' => Some("degrees"),
        '&' => Some("and"),
        '+' => Some("plus"),
        '@' => Some("at"),
        '-' | '\u{2212}' if next_is_digit && starts_word => Some("minus"),
        _ => None,
    }
}

/// Digits from `at` on; commas between groups of three are dropped, one decimal point is kept.
fn take_number(chars: &[char], at: &mut usize) -> String {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    let mut number = String::new();
    let mut has_point = false;
    while let Some(&c) = chars.get(*at) {
        if c.is_ascii_digit() {
            number.push(c);
        } else if c == '.' && digit(*at + 1) && !has_point {
            has_point = true;
            number.push('.');
        } else if c == ',' && (1..=3).all(|k| digit(*at + k)) && !digit(*at + 4) {
            // A group of three digits follows: "1,000".
        } else {
            break;
        }
        *at += 1;
    }
    number
}

/// A word from `at` on, with the apostrophes between its letters; "a.m." becomes "am".
fn take_word(chars: &[char], at: &mut usize) -> String {
    let letter = |i: usize| chars.get(i).is_some_and(|c| is_letter(*c));
    let mut word = String::new();
    let mut abbreviation = true;
    while let Some(&c) = chars.get(*at) {
        if is_letter(c) {
            abbreviation &= !letter(*at + 1);
            word.push(c);
        } else if c == '\'' && letter(*at + 1) {
            word.push(c);
        } else if c == '.' && abbreviation && letter(*at + 1) && !letter(*at + 2) {
            // Between the single letters of an abbreviation.
        } else {
            break;
        }
        *at += 1;
    }
    word
}

fn open_contraction(word: &str, out: &mut Vec<String>) {
    if let Some(parts) = irregular(word) {
        out.extend(parts.iter().map(|p| (*p).to_owned()));
        return;
    }
    let Some((base, ending)) = word.rsplit_once('\'') else {
        out.push(word.to_owned());
        return;
    };
    let opened = match ending {
        "ll" => "will",
        "re" => "are",
        "ve" => "have",
        "m" => "am",
        "d" => "would",
        "s" if IS_CONTRACTED.contains(&base) => "is",
        "s" => POSSESSIVE,
        "t" if base.ends_with('n') && base.len() > 1 => {
            out.push(base[..base.len() - 1].to_owned());
            out.push("not".to_owned());
            return;
        }
        _ => {
            out.push(word.replace('\'', ""));
            return;
        }
    };
    out.push(base.replace('\'', ""));
    out.push(opened.to_owned());
}

fn irregular(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "can't" | "cannot" => &["can", "not"],
        "won't" => &["will", "not"],
        "shan't" => &["shall", "not"],
        "let's" => &["let", "us"],
        "ok" => &["okay"],
        "oz" => &["ounce"],
        "o'clock" => &["oclock"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> String {
        normalise(text).join(" ")
    }

    #[test]
    fn case_and_punctuation_vanish() {
        assert_eq!(joined("  Turn ON, the: lights!? "), "turn on the lights");
        assert_eq!(joined("twelve-ounce"), "twelve ounce");
        assert_eq!(joined("at 7 a.m. on T.V."), "at seven am on tv");
        assert_eq!(joined("Éteins l’été"), "éteins lété");
        assert_eq!(joined("… — !"), "");
    }

    #[test]
    fn numbers_become_words() {
        assert_eq!(
            joined("a 12oz cup at 50%"),
            "a twelve ounce cup at fifty percent"
        );
        assert_eq!(joined("21.5°"), "twenty one point five degrees");
        assert_eq!(
            joined("1,250 or 7:30"),
            "one thousand two hundred fifty or seven thirty"
        );
        assert_eq!(joined("-5"), "minus five");
        assert_eq!(joined("1,2"), "one two");
    }

    #[test]
    fn contractions_open() {
        assert_eq!(joined("What's up"), "what is up");
        assert_eq!(joined("I’d like"), "i would like");
        assert_eq!(
            joined("John's can't won't don't"),
            "john 's can not will not do not"
        );
        assert_eq!(joined("rock 'n' roll o'clock"), "rock n roll oclock");
    }

    #[test]
    fn words_are_found_as_they_were_written() {
        let spoken = Spoken::new("Add Crème Brûlée, 2 eggs and John's to it!");
        let words: Vec<&str> = spoken.words.iter().map(String::as_str).collect();
        let expected = "add crème brûlée two eggs and john 's to it";
        assert_eq!(words.join(" "), expected);
        assert_eq!(spoken.written(1..5), "Crème Brûlée, 2 eggs");
        assert_eq!(spoken.written(6..8), "John's");
        assert_eq!(spoken.written(9..10), "it");
        // Half of "John's".
        assert_eq!(spoken.written(6..7), "john");
        assert_eq!(spoken.written(3..3), "");
        assert_eq!(spoken.written(0..99), "");
    }
}

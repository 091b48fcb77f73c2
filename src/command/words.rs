//! Text to comparable words.
//!
//! Enters: a sentence as somebody wrote it or a recogniser heard it. Leaves: lower-case words
//! without punctuation, with numbers spelled out and contractions opened, so that templates and
//! transcriptions meet on common ground. Both sides of every comparison pass through here.

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
    let mut words = Vec::new();
    for token in tokens(text) {
        match token {
            Token::Number(digits) => numbers::spell(&digits, &mut words),
            Token::Symbol(word) => words.push(word.to_owned()),
            Token::Word(word) => open_contraction(&word, &mut words),
        }
    }
    words
}

enum Token {
    Word(String),
    /// Digits, with at most one decimal point between digits.
    Number(String),
    Symbol(&'static str),
}

/// Splits into words, numbers and spoken symbols; everything else separates.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text
        .chars()
        .flat_map(char::to_lowercase)
        .map(plain)
        .collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_ascii_digit() {
            out.push(Token::Number(take_number(&chars, &mut at)));
        } else if is_letter(c) {
            out.push(Token::Word(take_word(&chars, &mut at)));
        } else {
            if let Some(word) = symbol(&chars, at) {
                out.push(Token::Symbol(word));
            }
            at += 1;
        }
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
}

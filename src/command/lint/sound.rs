//! How words sound, roughly: which of them a listener may take for each other.
//!
//! Enters: English words as written. Leaves: a key of phones, one letter each, and pairs of words
//! whose keys are equal or nearly so. A few dozen rules of spelling, not a dictionary: meant for
//! warnings, which somebody reads, and never for a decision.

use std::collections::HashMap;

use crate::command::graph::WordId;
use crate::command::words::POSSESSIVE;

/// Words that are not spoken as they are written.
const IRREGULAR: &[(&str, &str)] = &[
    ("a", "u"),
    ("again", "ugen"),
    ("are", "ar"),
    ("ate", "At"),
    ("blood", "blud"),
    ("buy", "bI"),
    ("bye", "bI"),
    ("come", "kum"),
    ("do", "dU"),
    ("door", "dor"),
    ("eight", "At"),
    ("eye", "I"),
    ("floor", "flor"),
    ("give", "giv"),
    ("great", "grAt"),
    ("grey", "grA"),
    ("have", "hav"),
    ("head", "hed"),
    ("heard", "hurd"),
    ("hour", "Wr"),
    ("how", "hW"),
    ("i", "I"),
    ("know", "nO"),
    ("live", "liv"),
    ("love", "luv"),
    ("no", "nO"),
    ("now", "nW"),
    ("of", "uv"),
    ("one", "wun"),
    ("our", "Wr"),
    ("said", "sed"),
    ("some", "sum"),
    ("son", "sun"),
    ("the", "Tu"),
    ("their", "Tar"),
    ("there", "Tar"),
    ("they", "TA"),
    ("to", "tU"),
    ("too", "tU"),
    ("two", "tU"),
    ("was", "wos"),
    ("whether", "weTur"),
    ("who", "hU"),
    ("whole", "hOl"),
    ("won", "wun"),
    ("you", "yU"),
    ("your", "yor"),
];

/// Consonants that differ in one feature only.
const CONFUSABLE: &[(char, char)] = &[
    ('p', 'b'),
    ('t', 'd'),
    ('k', 'g'),
    ('f', 'v'),
    ('f', 'T'),
    ('m', 'n'),
    ('n', 'N'),
    ('S', 'C'),
    ('C', 'J'),
];
/// Phones a word must have for one of them to be mistaken.
const MIN_MISTAKEN: usize = 3;

/// Letters at the beginning of what is left of a word, and the phones they stand for. The longer
/// ones come first.
const CONSONANTS: &[(&str, &str)] = &[
    ("tch", "C"),
    ("sch", "sk"),
    ("dge", "J"),
    ("ch", "C"),
    ("sh", "S"),
    ("th", "T"),
    ("ph", "f"),
    ("ck", "k"),
    ("qu", "kw"),
    ("ng", "N"),
    ("gg", "g"),
    ("ci", "si"),
    ("ce", "se"),
    ("cy", "si"),
    ("c", "k"),
    ("j", "J"),
    ("q", "k"),
    ("x", "ks"),
    ("z", "s"),
];
/// The same at the beginning of a word.
const BEGINNINGS: &[(&str, &str)] = &[
    ("kn", "n"),
    ("gn", "n"),
    ("wr", "r"),
    ("ps", "s"),
    ("wh", "w"),
    ("gh", "g"),
    ("x", "s"),
];
/// Vowels as written together, and their phone: small letters are short ones.
const VOWELS: &[(&str, char)] = &[
    ("ee", 'E'),
    ("ea", 'E'),
    ("ie", 'E'),
    ("ei", 'E'),
    ("ey", 'E'),
    ("ai", 'A'),
    ("ay", 'A'),
    ("oa", 'O'),
    ("oe", 'O'),
    ("oo", 'U'),
    ("ou", 'W'),
    ("ow", 'W'),
    ("oi", 'Y'),
    ("oy", 'Y'),
    ("au", 'o'),
    ("aw", 'o'),
    ("ew", 'U'),
    ("ue", 'U'),
    ("ui", 'U'),
];

/// The phones of a word.
pub(super) fn key(word: &str) -> String {
    if let Some((_, key)) = IRREGULAR.iter().find(|(known, _)| *known == word) {
        return (*key).to_owned();
    }
    let mut key = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let (phones, n_bytes) = match is_vowel(first) && !is_consonant_y(first, rest, &key) {
            true => vowel(rest, &key),
            false => consonant(rest, rest.len() == word.len(), &key),
        };
        // Double letters are one.
        let is_double = phones.chars().count() == 1 && key.ends_with(&phones);
        if !is_double {
            key.push_str(&phones);
        }
        rest = &rest[n_bytes..];
    }
    key
}

fn is_vowel(c: char) -> bool {
    matches!(
        c,
        'a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'é' | 'è' | 'ä' | 'ö' | 'ü'
    )
}

/// "yes", but not "fly".
fn is_consonant_y(first: char, rest: &str, key: &str) -> bool {
    first == 'y'
        && rest[1..].chars().next().is_some_and(is_vowel)
        && !key.ends_with(|c: char| "aeiouAEIOUWY".contains(c))
}

/// The phones of the consonants that `rest` begins with, and how many bytes they take.
fn consonant(rest: &str, is_start: bool, key: &str) -> (String, usize) {
    let tables = [BEGINNINGS, CONSONANTS];
    let tables = if is_start { &tables[..] } else { &tables[1..] };
    for (letters, phones) in tables.iter().flat_map(|table| table.iter()) {
        if rest.starts_with(letters) {
            // The vowel of a soft "c" is read with what follows it.
            let n_soft = usize::from(matches!(*letters, "ci" | "ce" | "cy"));
            let phones = &phones[..phones.len() - n_soft];
            return (phones.to_owned(), letters.len() - n_soft);
        }
    }
    let first = rest.chars().next().unwrap_or_default();
    let next = rest[first.len_utf8()..].chars().next();
    let phones = match first {
        // "light", and the "h" of "John" or "Sarah".
        'g' if next == Some('h') => return (String::new(), 2),
        'h' if !next.is_some_and(is_vowel) => "",
        'g' if !is_start && matches!(next, Some('e' | 'i' | 'y')) => "J",
        'b' if rest == "b" && key.ends_with('m') => "",
        'w' if !next.is_some_and(is_vowel) => "",
        '\'' => "",
        _ => return (first.to_string(), first.len_utf8()),
    };
    (phones.to_owned(), first.len_utf8())
}

/// The phone of the vowels that `rest` begins with, and how many bytes they take.
fn vowel(rest: &str, key: &str) -> (String, usize) {
    let has_sound = key.chars().any(|c| "aeiouAEIOUWY".contains(c));
    if has_sound && rest == "e" {
        return (String::new(), 1);
    }
    for (letters, phone) in VOWELS {
        if let Some(after) = rest.strip_prefix(letters) {
            // "snow" and "pie" end otherwise than "down" and "piece".
            let phone = match (*letters, after.is_empty(), has_sound) {
                ("ow", true, _) => 'O',
                ("ie", true, false) => 'I',
                ("ou", ..) if after.starts_with('r') => 'o',
                _ => *phone,
            };
            return (phone.to_string(), letters.len());
        }
    }
    let first = rest.chars().next().unwrap_or_default();
    let n_bytes = first.len_utf8();
    let short = match first {
        'y' | 'i' => 'i',
        'é' | 'è' | 'e' | 'ä' => 'e',
        'ö' | 'o' => 'o',
        'ü' | 'u' => 'u',
        _ => 'a',
    };
    let after = &rest[n_bytes..];
    let phone = match after {
        "" if first == 'y' => {
            if has_sound {
                'E'
            } else {
                'I'
            }
        }
        _ if after.starts_with("gh") && short == 'i' => 'I',
        _ if after.starts_with('r') && matches!(short, 'e' | 'i' | 'u') => 'u',
        _ if is_lengthened(after) => short.to_ascii_uppercase(),
        _ => short,
    };
    (phone.to_string(), n_bytes)
}

/// Whether a silent "e" behind one consonant makes the vowel before `after` a long one.
fn is_lengthened(after: &str) -> bool {
    let mut letters = after.chars();
    let (consonant, e) = (letters.next(), letters.next());
    let ending: String = letters.collect();
    consonant.is_some_and(|c| !is_vowel(c) && c != 'w' && c != 'x')
        && e == Some('e')
        && matches!(&*ending, "" | "s" | "d")
}

/// Whether one of two different words may be heard as the other.
pub(super) fn are_alike(a: &str, b: &str) -> bool {
    if [a, b].contains(&POSSESSIVE) {
        return false;
    }
    let (key_a, key_b) = (key(a), key(b));
    if key_a == key_b && !key_a.is_empty() {
        return true;
    }
    differs_by_ending(a, b)
        || are_ten_and_teen(a, b)
        || are_small_words(&key_a, &key_b)
        || differ_in_one_confusable(&key_a, &key_b)
}

/// "light" and "lights".
fn differs_by_ending(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    short.len() > 2 && matches!(long.strip_prefix(short), Some("s" | "es"))
}

/// "fifteen" and "fifty".
fn are_ten_and_teen(a: &str, b: &str) -> bool {
    let is_pair = |teen: &str, ten: &str| {
        let pair = teen.strip_suffix("teen").zip(ten.strip_suffix("ty"));
        pair.is_some_and(|(teen, ten)| key(teen) == key(ten))
    };
    is_pair(a, b) || is_pair(b, a)
}

/// "on" and "in", whose vowel is hardly spoken.
fn are_small_words(a: &str, b: &str) -> bool {
    let ending = |key: &str| -> Option<char> {
        let mut phones = key.chars();
        let (vowel, consonant) = (phones.next()?, phones.next()?);
        let is_small = "aeiou".contains(vowel) && !is_vowel(consonant) && phones.next().is_none();
        is_small.then_some(consonant)
    };
    ending(a).is_some() && ending(a) == ending(b)
}

/// "mine" and "nine".
fn differ_in_one_confusable(a: &str, b: &str) -> bool {
    let n = a.chars().count();
    if n != b.chars().count() || n < MIN_MISTAKEN {
        return false;
    }
    let mut different = a.chars().zip(b.chars()).filter(|(a, b)| a != b);
    let (first, second) = (different.next(), different.next());
    let is_confusable =
        |(a, b): (char, char)| CONFUSABLE.contains(&(a, b)) || CONFUSABLE.contains(&(b, a));
    second.is_none() && first.is_some_and(is_confusable)
}

/// For each of `words` the others that sound like it, with itself first.
pub(super) struct Alike {
    of: Vec<Vec<WordId>>,
}

impl Alike {
    pub(super) fn new(words: &[String]) -> Self {
        let mut buckets: HashMap<String, Vec<WordId>> = HashMap::new();
        for (id, word) in words.iter().enumerate() {
            buckets
                .entry(outline(&key(word)))
                .or_default()
                .push(id as WordId);
        }
        let like = |id: usize| {
            let bucket = buckets.get(&outline(&key(&words[id])));
            let others = bucket.into_iter().flatten().copied();
            let others = others.filter(|other| {
                *other as usize != id && are_alike(&words[id], &words[*other as usize])
            });
            std::iter::once(id as WordId).chain(others).collect()
        };
        Alike {
            of: (0..words.len()).map(like).collect(),
        }
    }

    /// `word` and those that sound like it.
    pub(super) fn of(&self, word: WordId) -> &[WordId] {
        &self.of[word as usize]
    }
}

/// What words that sound alike have in common: the class of their first consonant.
fn outline(key: &str) -> String {
    let class = |c: char| match c {
        'b' => 'p',
        'd' => 't',
        'g' => 'k',
        'v' | 'T' => 'f',
        'n' | 'N' => 'm',
        'C' | 'J' => 'S',
        other => other,
    };
    key.chars()
        .find(|c| !"aeiouAEIOUWY".contains(*c))
        .map(class)
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_sound_alike() {
        for (a, b) in [
            ("john", "jon"),
            ("on", "in"),
            ("fifteen", "fifty"),
            ("forty", "fourteen"),
            ("eighty", "eighteen"),
            ("four", "for"),
            ("two", "too"),
            ("light", "lite"),
            ("light", "lights"),
            ("sara", "sarah"),
            ("catherine", "katherine"),
            ("steven", "stephen"),
            ("blue", "blew"),
            ("night", "knight"),
            ("mail", "male"),
            ("sea", "see"),
            ("mine", "nine"),
            ("back", "bag"),
            ("right", "write"),
            ("know", "no"),
            ("marc", "mark"),
            ("piece", "peace"),
        ] {
            assert!(are_alike(a, b), "{a} {} {b} {}", key(a), key(b));
            assert!(are_alike(b, a), "{b} {a}");
        }
    }

    #[test]
    fn words_that_do_not() {
        for (a, b) in [
            ("on", "off"),
            ("up", "down"),
            ("kitchen", "bedroom"),
            ("bedroom", "bathroom"),
            ("red", "green"),
            ("open", "close"),
            ("play", "pause"),
            ("one", "two"),
            ("lamp", "light"),
            ("start", "stop"),
            ("small", "medium"),
            ("latte", "mocha"),
            ("five", "nine"),
            ("hall", "garden"),
            ("seconds", "minutes"),
            ("light", "late"),
            ("'s", "s"),
        ] {
            assert!(!are_alike(a, b), "{a} {} {b} {}", key(a), key(b));
        }
    }

    #[test]
    fn any_word_has_a_key() {
        for word in [
            "", "e", "y", "éé", "w", "straße", "'", "ghgh", "日本", "cc", "hh",
        ] {
            let _ = key(word);
        }
        let words: Vec<String> = ["jon", "lamp", "john"].map(str::to_owned).into();
        let alike = Alike::new(&words);
        assert_eq!(alike.of(0), [0, 2]);
        assert_eq!(alike.of(1), [1]);
    }
}

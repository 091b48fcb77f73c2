//! Numbers in words to digits: "two hundred and five" becomes "205".
//!
//! Cardinals up to trillions, ordinals, decimals, decades, percentages and sums of money. Numbers
//! that follow each other without a word between are read as one, digit by digit, as in years,
//! times and telephone numbers ("nineteen eighty four", "seven oh five", "five five five"). A
//! lone one, and the first three ordinals, stay words: they are more often words than numbers.

/// Units and what follows them up to nineteen, by value.
const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const SMALL_ORDINALS: [&str; 20] = [
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];
/// Tens from twenty on: the number, its ordinal, the decade.
const TENS: [(&str, &str, &str); 8] = [
    ("twenty", "twentieth", "twenties"),
    ("thirty", "thirtieth", "thirties"),
    ("forty", "fortieth", "forties"),
    ("fifty", "fiftieth", "fifties"),
    ("sixty", "sixtieth", "sixties"),
    ("seventy", "seventieth", "seventies"),
    ("eighty", "eightieth", "eighties"),
    ("ninety", "ninetieth", "nineties"),
];
/// Powers of a thousand: the name and the number of zeros.
const SCALES: [(&str, u32); 4] = [
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
];

/// Replaces the numbers among `words`, which are in lower case and hold no punctuation but the
/// signs of numbers in digits.
pub(super) fn to_digits(words: &[String]) -> Vec<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let rest = &words[at..];
        let (text, n_words) = number(rest).unwrap_or_else(|| (rest[0].to_owned(), 1));
        if !add_cents(&text, &mut out) {
            out.push(text);
        }
        at += n_words;
    }
    out
}

/// The number at the beginning of `words` as it is to be written, with its sign of order, money or
/// per cent, and how many words that was.
fn number(words: &[&str]) -> Option<(String, usize)> {
    let word = words[0];
    if let Some(order) = ordinal(word).filter(|order| *order > 3) {
        return Some((with_ending(order), 1));
    }
    if let Some(tens) = decade(word) {
        return Some((format!("{tens}s"), 1));
    }
    let Cardinal {
        mut text,
        n_words,
        last,
    } = cardinal(words)?;
    let next = words.get(n_words).copied().unwrap_or_default();
    if let Some(text) = with_letters(&text, next) {
        return Some((text, n_words + 1));
    }
    if last == Kind::Spelled
        && let Some(tens) = decade(next)
    {
        return Some((format!("{text}{tens}s"), n_words + 1));
    }
    if last != Kind::Digits
        && let Some(value) = text.parse().ok()
    {
        // "One hundred and first", but not "twenty and first".
        let n_and = usize::from(next == "and" && value % 100 == 0);
        let next = words.get(n_words + n_and).copied().unwrap_or_default();
        if let Some(order) = following(value, next) {
            return Some((with_ending(order), n_words + n_and + 1));
        }
    }
    let has_sign = text.contains(['$', '€', '£', '¢', '%']);
    if let Some((sign, n_more)) = sign(&words[n_words..]).filter(|_| !has_sign) {
        text = match sign {
            "%" => format!("{text}%"),
            _ => format!("{sign}{text}"),
        };
        return Some((text, n_words + n_more));
    }
    if text == "1" {
        text = "one".to_owned();
    }
    Some((text, n_words))
}

/// The sign that the words after a number stand for, and how many words they are.
fn sign(words: &[&str]) -> Option<(&'static str, usize)> {
    Some(match words {
        ["percent", ..] => ("%", 1),
        ["per", "cent", ..] => ("%", 2),
        ["dollar" | "dollars", ..] => ("$", 1),
        ["euro" | "euros", ..] => ("€", 1),
        ["pound" | "pounds", ..] => ("£", 1),
        ["cent" | "cents", ..] => ("¢", 1),
        _ => return None,
    })
}

/// Adds cents to the dollars that stand before them ("$5 and ¢20").
fn add_cents(text: &str, out: &mut Vec<String>) -> bool {
    let Some(cents) = text
        .strip_prefix('¢')
        .filter(|c| c.len() <= 2 && is_digits(c))
    else {
        return false;
    };
    let and = usize::from(out.last().is_some_and(|word| word == "and"));
    let dollars = out.iter_mut().rev().nth(and);
    let Some(dollars) = dollars.filter(|d| d.strip_prefix('$').is_some_and(is_digits)) else {
        return false;
    };
    dollars.push_str(&format!(".{cents:0>2}"));
    out.truncate(out.len() - and);
    true
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The value of an ordinal up to the nineteenth, or of tens.
fn ordinal(word: &str) -> Option<u64> {
    let small = SMALL_ORDINALS.iter().position(|known| *known == word);
    let tens = || TENS.iter().position(|(_, known, _)| *known == word);
    small
        .or_else(|| Some(tens()? * 10 + 20))
        .map(|order| order as u64)
}

/// An ordinal that goes on a number: "first" after twenty. "Second" does not, as it is more often
/// the time ("a twenty second timer").
fn following(value: u64, word: &str) -> Option<u64> {
    let order = ordinal(word).filter(|order| ![0, 2].contains(order))?;
    let fits = match order {
        1..10 => value.is_multiple_of(10) && value % 100 != 10,
        _ => value.is_multiple_of(100),
    };
    if !fits || value == 0 {
        return None;
    }
    value.checked_add(order)
}

fn with_ending(order: u64) -> String {
    let ending = match (order % 10, order % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{order}{ending}")
}

/// Joins digits to the letters that were parted from them: "21 st", "1980 s".
fn with_letters(text: &str, letters: &str) -> Option<String> {
    if !is_digits(text) || !["st", "nd", "rd", "th", "s"].contains(&letters) {
        return None;
    }
    Some(match (text, letters) {
        ("1", "st") => "first".to_owned(),
        ("2", "nd") => "second".to_owned(),
        ("3", "rd") => "third".to_owned(),
        _ => format!("{text}{letters}"),
    })
}

/// The tens of a decade: 80 for "eighties".
fn decade(word: &str) -> Option<usize> {
    let index = TENS.iter().position(|(_, _, decade)| *decade == word)?;
    Some(index * 10 + 20)
}

/// How a number was written, which decides what may go on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In words, below a hundred.
    Spelled,
    /// In digits.
    Digits,
    /// With a word such as "thousand", a fraction or a sign: nothing is joined to it.
    Whole,
}

/// A number without what follows it.
struct Cardinal {
    text: String,
    n_words: usize,
    /// The kind of the last of the numbers it was joined from.
    last: Kind,
}

impl Cardinal {
    fn is_single_digit(&self) -> bool {
        self.last != Kind::Whole && self.text.len() == 1
    }
}

/// The number at the beginning of `words`: one, or several that are read as one, and a fraction.
fn cardinal(words: &[&str]) -> Option<Cardinal> {
    let mut last = integer(words)?;
    let (mut text, mut at) = (last.text.clone(), last.n_words);
    while last.last != Kind::Whole {
        let n_oh = usize::from(matches!(words.get(at), Some(&"oh" | &"o")));
        let Some(next) = words.get(at + n_oh..).and_then(integer) else {
            break;
        };
        let spelled = last.last == Kind::Spelled;
        let singles = last.is_single_digit() && next.is_single_digit();
        let joins = match n_oh {
            0 => singles || (spelled && next.last == Kind::Spelled),
            _ => singles || (spelled && next.is_single_digit()),
        };
        if !joins {
            break;
        }
        text.push_str(&"0"[..n_oh]);
        text.push_str(&next.text);
        at += n_oh + next.n_words;
        last = next;
    }
    let mut kind = last.last;
    if !text.contains(['.', '%'])
        && let Some((digits, n_words)) = fraction(&words[at..])
    {
        text = format!("{text}.{digits}");
        at += n_words;
        if let Some(zeros) = words.get(at).and_then(|next| zeros(next)) {
            text = scaled(&text, zeros);
            at += 1;
        }
        kind = Kind::Whole;
    }
    Some(Cardinal {
        text,
        n_words: at,
        last: kind,
    })
}

/// The digits behind a decimal point, and the words they take with it.
fn fraction(words: &[&str]) -> Option<(String, usize)> {
    if words.starts_with(&["and", "a", "half"]) {
        return Some(("5".to_owned(), 3));
    }
    let mut digits = String::new();
    let mut at = 1;
    let digits_of = |words: &[&str]| match words.first()? {
        word if is_digits(word) => Some(((*word).to_owned(), 1)),
        &"oh" => Some(("0".to_owned(), 1)),
        _ => below_hundred(words).map(|(value, n_words)| (value.to_string(), n_words)),
    };
    while words.first() == Some(&"point")
        && let Some((more, n_words)) = words.get(at..).and_then(digits_of)
    {
        digits.push_str(&more);
        at += n_words;
    }
    (!digits.is_empty()).then_some((digits, at))
}

/// One number at the beginning of `words`, in digits or in words.
fn integer(words: &[&str]) -> Option<Cardinal> {
    let word = *words.first()?;
    if is_amount(word) {
        let zeros = words
            .get(1)
            .and_then(|next| zeros(next))
            .filter(|_| !word.ends_with('%'));
        return Some(match zeros {
            Some(zeros) => Cardinal {
                text: scaled(word, zeros),
                n_words: 2,
                last: Kind::Whole,
            },
            None => {
                let last = if is_digits(word) {
                    Kind::Digits
                } else {
                    Kind::Whole
                };
                Cardinal {
                    text: word.to_owned(),
                    n_words: 1,
                    last,
                }
            }
        });
    }
    let (mut total, mut at, mut limit, mut last) = (0, 0, u32::MAX, Kind::Spelled);
    loop {
        let n_and = usize::from(at > 0 && words.get(at) == Some(&"and"));
        let part = words
            .get(at + n_and..)
            .and_then(|rest| below_thousand(rest, at == 0));
        let Some((value, n_words)) = part else { break };
        let end = at + n_and + n_words;
        match words.get(end).and_then(|word| scale(word)) {
            Some(zeros) if zeros < limit => {
                total += value * 10_u64.pow(zeros);
                (at, limit, last) = (end + 1, zeros, Kind::Whole);
            }
            // It begins a number of its own ("two thousand three million").
            Some(_) => break,
            None => {
                total += value;
                if value >= 100 {
                    last = Kind::Whole;
                }
                at = end;
                break;
            }
        }
    }
    (at > 0).then(|| Cardinal {
        text: total.to_string(),
        n_words: at,
        last,
    })
}

/// Whether a word is a number in digits, with or without a sign of money or per cent.
fn is_amount(word: &str) -> bool {
    let bare = word.trim_start_matches(['$', '€', '£', '¢']);
    let bare = bare.strip_suffix('%').unwrap_or(bare);
    match bare.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(bare),
    }
}

/// A number in digits with its decimal point moved to the right.
fn scaled(amount: &str, zeros: u32) -> String {
    let zeros = zeros as usize;
    let bare = amount.trim_start_matches(['$', '€', '£', '¢']);
    let sign = &amount[..amount.len() - bare.len()];
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let (moved, rest) = fraction.split_at(fraction.len().min(zeros));
    let digits = format!("{whole}{moved:0<zeros$}");
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{digits}{point}{rest}")
}

fn scale(word: &str) -> Option<u32> {
    SCALES
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, zeros)| *zeros)
}

/// The zeros of a hundred or a power of a thousand.
fn zeros(word: &str) -> Option<u32> {
    if word == "hundred" {
        Some(2)
    } else {
        scale(word)
    }
}

/// A number below a thousand, or tens of hundreds ("nineteen hundred"), with the words it takes.
/// In front of "hundred" and the like the one may be "a" or, where a number begins, left out.
fn below_thousand(words: &[&str], begins: bool) -> Option<(u64, usize)> {
    let before_zeros = |at: usize| words.get(at).is_some_and(|word| zeros(word).is_some());
    let (value, at) = match words.first()? {
        &"a" if before_zeros(1) => (1, 1),
        _ if before_zeros(0) && begins => (1, 0),
        _ => below_hundred(words)?,
    };
    if words.get(at) != Some(&"hundred") {
        return Some((value, at));
    }
    let (value, at) = (value * 100, at + 1);
    let n_and = usize::from(words.get(at) == Some(&"and"));
    let rest = words.get(at + n_and..).and_then(below_hundred);
    Some(
        match rest.map(|(more, n_words)| (more, at + n_and + n_words)) {
            // What comes may be another hundred: "one hundred two hundred".
            Some((more, end)) if words.get(end) != Some(&"hundred") => (value + more, end),
            _ => (value, at),
        },
    )
}

fn below_hundred(words: &[&str]) -> Option<(u64, usize)> {
    let word = words.first()?;
    let small = |word: &str| SMALL.iter().position(|known| *known == word);
    if let Some(value) = small(word) {
        return Some((value as u64, 1));
    }
    let tens = TENS.iter().position(|(name, _, _)| name == word)? * 10 + 20;
    let unit = words
        .get(1)
        .and_then(|word| small(word))
        .filter(|unit| (1..10).contains(unit));
    Some(match unit {
        Some(unit) => ((tens + unit) as u64, 2),
        None => (tens as u64, 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            assert_eq!(to_digits(&words).join(" "), *expected, "{text:?}");
        }
    }

    #[test]
    fn cardinals() {
        check(&[
            ("zero", "0"),
            ("nineteen", "19"),
            ("twenty five lights", "25 lights"),
            ("one hundred", "100"),
            ("a hundred and one", "101"),
            ("two hundred five", "205"),
            ("nineteen hundred", "1900"),
            ("two thousand and five", "2005"),
            (
                "one hundred and two thousand three hundred and four",
                "102304",
            ),
            ("three million two hundred thousand and one", "3200001"),
            ("a thousand people and a dog", "1000 people and a dog"),
            ("one hundred two hundred", "100 200"),
            ("one hundred and two hundred", "100 and 200"),
            ("two thousand three million", "2000 3000000"),
            ("nine hundred ninety nine trillion", "999000000000000"),
            ("two and three", "2 and 3"),
        ]);
    }

    #[test]
    fn a_lone_one_stays_a_word() {
        check(&[
            ("one of them", "one of them"),
            ("number 1", "number one"),
            ("one percent", "1%"),
            ("twenty one", "21"),
        ]);
    }

    #[test]
    fn numbers_in_a_row_are_one() {
        check(&[
            ("nineteen eighty four", "1984"),
            ("twenty twenty five", "2025"),
            ("seven thirty", "730"),
            ("seven oh five", "705"),
            ("nineteen oh five", "1905"),
            ("five five five zero one two", "555012"),
            ("5 5 5", "555"),
            ("5 20", "5 20"),
            ("oh no", "oh no"),
            ("two oh no", "2 oh no"),
        ]);
    }

    #[test]
    fn fractions_and_scaled_digits() {
        check(&[
            ("three point one four", "3.14"),
            ("3 point 5", "3.5"),
            ("two and a half", "2.5"),
            ("the point is", "the point is"),
            ("one point", "one point"),
            ("1.5 million", "1500000"),
            ("two point five million", "2500000"),
            ("$20 million", "$20000000"),
            ("0.5 thousand", "500"),
            ("1.2345 thousand", "1234.5"),
            ("3 hundred", "300"),
        ]);
    }

    #[test]
    fn orders_and_decades() {
        check(&[
            ("the first and the second", "the first and the second"),
            ("1 st and 2 nd", "first and second"),
            ("fourth", "4th"),
            ("twenty first", "21st"),
            ("the 21 st", "the 21st"),
            ("one hundred and third", "103rd"),
            ("one hundred twelfth", "112th"),
            ("twentieth", "20th"),
            ("a twenty second timer", "a 20 second timer"),
            ("ten first", "10 first"),
            ("the eighties", "the 80s"),
            ("nineteen eighties", "1980s"),
            ("1980 s", "1980s"),
        ]);
    }

    #[test]
    fn money_and_per_cent() {
        check(&[
            ("fifty percent", "50%"),
            ("50 per cent of", "50% of"),
            ("five dollars", "$5"),
            ("five dollars and twenty cents", "$5.20"),
            ("$5 and 5 cents", "$5.05"),
            ("three euros", "€3"),
            ("twenty cents", "¢20"),
            ("$5.20 and ten cents", "$5.20 and ¢10"),
        ]);
    }

    #[test]
    fn numbers_of_any_length_are_safe() {
        let long = "9".repeat(50);
        check(&[
            (&long, &long),
            (
                &format!("{long} trillion"),
                &format!("{long}{}", "0".repeat(12)),
            ),
            (&vec!["nine"; 60].join(" "), &"9".repeat(60)),
        ]);
        check(&[(
            &format!("{} first", vec!["twenty"; 40].join(" ")),
            &format!("{} first", "20".repeat(40)),
        )]);
    }
}

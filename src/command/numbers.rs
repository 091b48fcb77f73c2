//! English numbers: digits to words and words to values.
//!
//! Works on the words of [`words`](super::words), no text of its own. Allocates the words it
//! spells.

const ONES: [&str; 20] = [
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
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
/// Longest run of words that [`readings`] looks at.
const MAX_WORDS: usize = 12;

/// Whether `word` is part of a spoken number. Such words never match merely similar ones:
/// "fifteen" is not "fifty".
pub(crate) fn is_number_word(word: &str) -> bool {
    ONES.contains(&word)
        || (!word.is_empty() && TENS.contains(&word))
        || matches!(word, "hundred" | "thousand" | "million" | "point" | "minus")
}

/// Appends the words for written digits such as `"250"` or `"21.5"`. Numbers with a leading zero
/// or more than nine digits are read digit by digit.
pub(crate) fn spell(digits: &str, out: &mut Vec<String>) {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    match whole.parse::<u32>() {
        Ok(value) if whole.len() <= 9 && (whole.len() == 1 || !whole.starts_with('0')) => {
            spell_cardinal(value, out);
        }
        _ => spell_digits(whole, out),
    }
    if !fraction.is_empty() {
        out.push("point".to_owned());
        spell_digits(fraction, out);
    }
}

fn spell_digits(digits: &str, out: &mut Vec<String>) {
    let values = digits
        .bytes()
        .filter(u8::is_ascii_digit)
        .map(|b| usize::from(b - b'0'));
    out.extend(values.map(|value| ONES[value].to_owned()));
}

/// Appends the words of `value` without "and": 105 is `one hundred five`.
pub(crate) fn spell_cardinal(value: u32, out: &mut Vec<String>) {
    let mut rest = value;
    for (unit, name) in [
        (1_000_000, "million"),
        (1_000, "thousand"),
        (100, "hundred"),
    ] {
        if rest >= unit {
            spell_cardinal(rest / unit, out);
            out.push(name.to_owned());
            rest %= unit;
            if rest == 0 {
                return;
            }
        }
    }
    if rest >= 20 {
        out.push(TENS[rest as usize / 10].to_owned());
        rest %= 10;
        if rest == 0 {
            return;
        }
    }
    out.push(ONES[rest as usize].to_owned());
}

/// Every whole number that begins at the first of `words`: how many words it takes, and its
/// value, shortest first. "twenty one" reads as (1, 20) and (2, 21).
pub(crate) fn readings<S: AsRef<str>>(words: &[S]) -> Vec<(usize, i64)> {
    let limit = words.len().min(MAX_WORDS);
    (1..=limit)
        .filter_map(|n| Some((n, parse(&words[..n])?)))
        .collect()
}

/// Every number with at most one decimal that begins at the first of `words`: how many words it
/// takes, and its value in tenths. "Twenty and a half" reads as (1, 200) and (4, 205).
pub(crate) fn decimal_readings<S: AsRef<str>>(words: &[S]) -> Vec<(usize, i64)> {
    let is_negative = words.first().is_some_and(|word| word.as_ref() == "minus");
    let sign = if is_negative { -1 } else { 1 };
    let mut all = Vec::new();
    for (n, value) in readings(words) {
        all.push((n, value * 10));
        let after: Vec<&str> = words[n..].iter().take(3).map(AsRef::as_ref).collect();
        let digit = |word: &str| ONES[..10].iter().position(|one| *one == word);
        match after[..] {
            ["and", "a", "half"] => all.push((n + 3, value * 10 + sign * 5)),
            ["point", tenths, ..] => {
                let tenths = digit(tenths).map(|tenths| tenths as i64);
                all.extend(tenths.map(|tenths| (n + 2, value * 10 + sign * tenths)));
            }
            _ => {}
        }
    }
    all
}

/// Whether further words can make another number of `value`, out of `from` to `to` in steps: "twenty"
/// may become "twenty five", and "two" become "two hundred".
pub(crate) fn may_grow(value: i64, (from, to, step): (i64, i64, i64)) -> bool {
    let n = value.unsigned_abs();
    let mut longer: Vec<(u64, u64)> = Vec::new();
    for (unit, below) in [(1_000_000, 999_999), (1_000, 999), (100, 99)] {
        if n > 0 && n < unit {
            longer.push((n.saturating_mul(unit), n.saturating_mul(unit) + below));
        }
        if n > 0 && n.is_multiple_of(unit) {
            longer.push((n + 1, n + below));
        }
    }
    if n.is_multiple_of(10) && n % 100 >= 20 {
        longer.push((n + 1, n + 9));
    }
    let step = step.max(1);
    let holds = |&(least, most): &(u64, u64)| {
        let (least, most) = (least.cast_signed(), most.cast_signed());
        let (least, most) = if value < 0 {
            (-most, -least)
        } else {
            (least, most)
        };
        let first = from + (least.max(from) - from + step - 1) / step * step;
        first <= most.min(to)
    };
    longer.iter().any(holds)
}

/// The value of `words`, all of them, when they are a whole number.
fn parse<S: AsRef<str>>(words: &[S]) -> Option<i64> {
    let (first, rest) = words.split_first()?;
    if first.as_ref() == "minus" {
        return Some(-parse_unsigned(rest)?);
    }
    parse_unsigned(words)
}

fn parse_unsigned<S: AsRef<str>>(words: &[S]) -> Option<i64> {
    let mut parser = Cardinal::default();
    for (i, word) in words.iter().enumerate() {
        parser.push(word.as_ref(), i + 1 == words.len())?;
    }
    (!words.is_empty()).then_some(parser.total + parser.group)
}

/// State of reading a cardinal from the left.
struct Cardinal {
    total: i64,
    /// Value below the next "thousand" or "million".
    group: i64,
    /// What may follow must be smaller than this.
    below: i64,
    /// The largest unit that may still come.
    max_unit: i64,
    after_and: bool,
}

impl Default for Cardinal {
    fn default() -> Self {
        Cardinal {
            total: 0,
            group: 0,
            below: 1_000,
            max_unit: i64::MAX,
            after_and: false,
        }
    }
}

impl Cardinal {
    fn push(&mut self, word: &str, is_last: bool) -> Option<()> {
        if word == "and" {
            // Only between "hundred" or "thousand" and what it adds.
            let allowed = self.below == 100 || (self.group == 0 && self.total > 0);
            let valid = allowed && !is_last && !self.after_and;
            self.after_and = true;
            return valid.then_some(());
        }
        self.after_and = false;
        let is_start = self.total == 0 && self.group == 0 && self.below == 1_000;
        if let Some(value) = ONES.iter().position(|w| *w == word) {
            // "zero" stands alone.
            let valid = (value as i64) < self.below && (value > 0 || is_start);
            self.group += value as i64;
            self.below = 0;
            return valid.then_some(());
        }
        if let Some(tens) = TENS.iter().position(|w| *w == word && !word.is_empty()) {
            let valid = self.below >= 100;
            self.group += tens as i64 * 10;
            self.below = 10;
            return valid.then_some(());
        }
        match word {
            "a" if is_start && !is_last => {
                self.group = 1;
                self.below = 0;
                Some(())
            }
            "hundred" if (1..=9).contains(&self.group) => {
                self.group *= 100;
                self.below = 100;
                Some(())
            }
            "thousand" => self.close_group(1_000),
            "million" => self.close_group(1_000_000),
            _ => None,
        }
    }

    fn close_group(&mut self, unit: i64) -> Option<()> {
        let valid = self.group > 0 && unit < self.max_unit;
        self.total += self.group * unit;
        self.group = 0;
        self.below = 1_000;
        self.max_unit = unit;
        valid.then_some(())
    }
}

/// A number given in thousandths, without zeros at its end.
pub(crate) fn decimal(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, rest) = (
        thousandths.unsigned_abs() / 1_000,
        thousandths.unsigned_abs() % 1_000,
    );
    let digits = format!("{rest:03}");
    match digits.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        decimals => format!("{sign}{whole}.{decimals}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<i64> {
        parse(&text.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn numbers_grow_within_their_range() {
        let percent = (0, 100, 1);
        assert!(may_grow(20, percent) && may_grow(1, percent) && may_grow(90, percent));
        assert!(!may_grow(0, percent) && !may_grow(2, percent) && !may_grow(25, percent));
        assert!(!may_grow(15, percent) && !may_grow(100, percent));
        assert!(may_grow(2, (0, 1_000, 1)) && may_grow(100, (0, 1_000, 1)));
        assert!(!may_grow(20, (0, 100, 10)) && may_grow(-20, (-30, 0, 1)));
        assert!(may_grow(7, (i64::from(i32::MIN), i64::from(i32::MAX), 1)));
    }

    #[test]
    fn spelled_numbers_read_back() {
        for n in (0..2_000).chain([9_999, 10_000, 123_456, 999_999_999]) {
            let mut words = Vec::new();
            spell(&n.to_string(), &mut words);
            assert_eq!(parse(&words), Some(i64::from(n)), "{words:?}");
        }
    }

    #[test]
    fn spoken_variants() {
        assert_eq!(value("one hundred and five"), Some(105));
        assert_eq!(value("a hundred"), Some(100));
        assert_eq!(value("two thousand and one"), Some(2_001));
        assert_eq!(value("minus twenty"), Some(-20));
    }

    #[test]
    fn not_numbers() {
        for text in [
            "twenty eleven",
            "one two",
            "hundred",
            "a",
            "one hundred and",
            "and five",
            "twenty zero",
            "one thousand one million",
            "thousand",
            "five and",
            "zero five",
            "minus",
            "fifty fifty",
            "one hundred hundred",
            "twenty and five",
            "a five",
            "one million million",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_read() {
        let read = |text: &str| decimal_readings(&text.split(' ').collect::<Vec<_>>());
        assert_eq!(read("twenty point five degrees"), [(1, 200), (3, 205)]);
        assert_eq!(read("twenty and a half degrees"), [(1, 200), (4, 205)]);
        assert_eq!(read("minus two point five"), [(2, -20), (4, -25)]);
        assert_eq!(read("minus zero point five"), [(2, 0), (4, -5)]);
        assert_eq!(read("two point ten"), [(1, 20)]);
        assert!(read("point five").is_empty());
    }

    #[test]
    fn all_prefixes_are_read() {
        assert_eq!(readings(&["twenty", "one", "lights"]), [(1, 20), (2, 21)]);
        assert!(readings::<&str>(&[]).is_empty());
    }
}

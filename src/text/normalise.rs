//! English text brought to one form, so that two ways of writing the same words compare equal:
//! for scoring transcripts and for matching commands.
//!
//! In the spirit of the normaliser that Whisper's published word error rates were computed with
//! (Radford et al. 2022, appendix C): lower case, no punctuation, contractions written out,
//! numbers in digits, American spelling. Text of other languages loses case and punctuation only.

use super::numbers;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Sounds that are no words.
const FILLERS: [&str; 6] = ["hmm", "mhm", "mm", "mmm", "uh", "um"];

/// Words written out.
const WRITTEN_OUT: [(&str, &str); 40] = [
    ("ain't", "is not"),
    ("can't", "can not"),
    ("cannot", "can not"),
    ("capt", "captain"),
    ("coulda", "could have"),
    ("dr", "doctor"),
    ("gimme", "give me"),
    ("gonna", "going to"),
    ("gotta", "got to"),
    ("he's", "he is"),
    ("here's", "here is"),
    ("how's", "how is"),
    ("imma", "i am going to"),
    ("it's", "it is"),
    ("jr", "junior"),
    ("kinda", "kind of"),
    ("lemme", "let me"),
    ("let's", "let us"),
    ("lt", "lieutenant"),
    ("ma'am", "madam"),
    ("mr", "mister"),
    ("mrs", "missus"),
    ("ok", "okay"),
    ("prof", "professor"),
    ("shan't", "shall not"),
    ("she's", "she is"),
    ("shoulda", "should have"),
    ("somebody's", "somebody is"),
    ("sr", "senior"),
    ("that's", "that is"),
    ("there's", "there is"),
    ("vs", "versus"),
    ("wanna", "want to"),
    ("what's", "what is"),
    ("when's", "when is"),
    ("where's", "where is"),
    ("who's", "who is"),
    ("won't", "will not"),
    ("woulda", "would have"),
    ("y'all", "you all"),
];

/// Ends of contracted words, written out.
const ENDINGS: [(&str, &str); 6] = [
    ("n't", "not"),
    ("'re", "are"),
    ("'ve", "have"),
    ("'ll", "will"),
    ("'m", "am"),
    ("'d", "would"),
];

/// British beginnings of words, whatever their ending, and the American ones.
const SPELLINGS: [(&str, &str); 26] = [
    ("aluminium", "aluminum"),
    ("analyse", "analyze"),
    ("analysing", "analyzing"),
    ("apologise", "apologize"),
    ("apologising", "apologizing"),
    ("behaviour", "behavior"),
    ("cancell", "cancel"),
    ("colour", "color"),
    ("favour", "favor"),
    ("flavour", "flavor"),
    ("harbour", "harbor"),
    ("honour", "honor"),
    ("humour", "humor"),
    ("jewellery", "jewelry"),
    ("labour", "labor"),
    ("neighbour", "neighbor"),
    ("organisa", "organiza"),
    ("organise", "organize"),
    ("organising", "organizing"),
    ("pyjama", "pajama"),
    ("realise", "realize"),
    ("realising", "realizing"),
    ("recognise", "recognize"),
    ("recognising", "recognizing"),
    ("rumour", "rumor"),
    ("travell", "travel"),
];
/// British words that are changed only by themselves and in the plural.
const NOUNS: [(&str, &str); 13] = [
    ("catalogue", "catalog"),
    ("centimetre", "centimeter"),
    ("centre", "center"),
    ("cheque", "check"),
    ("defence", "defense"),
    ("dialogue", "dialog"),
    ("grey", "gray"),
    ("kilometre", "kilometer"),
    ("litre", "liter"),
    ("metre", "meter"),
    ("programme", "program"),
    ("theatre", "theater"),
    ("tyre", "tire"),
];

/// Brings a text to the form in which texts are compared: words with single blanks between them.
pub fn normalise(text: &str) -> String {
    let plain = plain(text);
    let mut words: Vec<String> = Vec::new();
    for word in plain.split_whitespace() {
        write_out(word, &mut words);
    }
    let mut words = numbers::to_digits(&words);
    for word in &mut words {
        respell(word);
    }
    words.join(" ")
}

/// Lower case letters, digits, blanks, apostrophes within words, and the signs of numbers.
fn plain(text: &str) -> String {
    let chars: Vec<char> = text.to_lowercase().chars().map(straight).collect();
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        let end = closing(*c);
        match end.and_then(|end| chars[at..].iter().position(|c| *c == end)) {
            // Descriptions of sounds and remarks of transcribers.
            Some(n_before_end) => {
                out.push(' ');
                at += n_before_end + 1;
            }
            None => at += push(&chars, at, &mut out),
        }
    }
    out
}

/// Typographic forms of the apostrophe and the minus sign as their ASCII forms.
fn straight(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{2bc}' | '`' | '\u{b4}' => '\'',
        '\u{2212}' => '-',
        _ => c,
    }
}

fn closing(c: char) -> Option<char> {
    Some(match c {
        '(' => ')',
        '[' => ']',
        '<' => '>',
        _ => return None,
    })
}

/// Appends what stands for the character at `at` between its neighbours, and says how many
/// characters that took.
fn push(chars: &[char], at: usize, out: &mut String) -> usize {
    let near = |offset: isize| {
        let index = at.checked_add_signed(offset)?;
        chars.get(index).copied()
    };
    let is_digit = |offset| near(offset).is_some_and(|c| c.is_ascii_digit());
    let is_letter = |offset| near(offset).is_some_and(char::is_alphabetic);
    let n_digits = chars[at + 1..]
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .count();
    let c = chars[at];
    match c {
        '\'' if out.ends_with(char::is_alphabetic) && is_letter(1) => out.push(c),
        // In front of three digits it only makes a long number readable.
        ',' if is_digit(-1) && n_digits == 3 => {}
        ':' if is_digit(-1) && n_digits == 2 => {}
        '.' if is_digit(-1) && n_digits > 0 => out.push(c),
        // Between single letters it is part of an abbreviation.
        '.' if is_letter(-1) && !is_letter(-2) && is_letter(1) && !is_letter(2) => {}
        '%' if is_digit(-1) => out.push(c),
        '$' | '€' | '£' | '¢' if n_digits > 0 => out.extend([' ', c]),
        '$' if is_digit(-1) => out.push_str(" dollars "),
        '€' if is_digit(-1) => out.push_str(" euros "),
        '£' if is_digit(-1) => out.push_str(" pounds "),
        '¢' if is_digit(-1) => out.push_str(" cents "),
        '°' if near(1) == Some('c') && !is_letter(2) => {
            out.push_str(" degrees celsius ");
            return 2;
        }
        '°' if near(1) == Some('f') && !is_letter(2) => {
            out.push_str(" degrees fahrenheit ");
            return 2;
        }
        '°' => out.push_str(" degrees "),
        '&' => out.push_str(" and "),
        '-' if n_digits > 0 && near(-1).is_none_or(char::is_whitespace) => {
            out.push_str(" minus ");
        }
        _ => push_letter(c, out),
    }
    1
}

/// Appends a letter or digit, the two parted from each other, or a blank for anything else.
fn push_letter(c: char, out: &mut String) {
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => {
            if out.ends_with(|last: char| last.is_ascii_digit()) {
                out.push(' ');
            }
            fold(c, out);
        }
        GeneralCategoryGroup::Number => {
            if out.ends_with(char::is_alphabetic) {
                out.push(' ');
            }
            out.push(c);
        }
        GeneralCategoryGroup::Mark => {}
        _ => out.push(' '),
    }
}

/// Appends a letter, Latin ones without their accents.
fn fold(c: char, out: &mut String) {
    const FOLDED: [(&str, &str); 22] = [
        ("àáâãäåāăą", "a"),
        ("çćĉċč", "c"),
        ("ďđð", "d"),
        ("èéêëēĕėęě", "e"),
        ("ĝğġģ", "g"),
        ("ĥħ", "h"),
        ("ìíîïĩīĭįı", "i"),
        ("ĵ", "j"),
        ("ķ", "k"),
        ("ĺļľŀł", "l"),
        ("ñńņňŉ", "n"),
        ("òóôõöøōŏő", "o"),
        ("ŕŗř", "r"),
        ("śŝşš", "s"),
        ("ţťŧ", "t"),
        ("ùúûüũūŭůűų", "u"),
        ("ŵ", "w"),
        ("ýÿŷ", "y"),
        ("źżž", "z"),
        ("æ", "ae"),
        ("œ", "oe"),
        ("ß", "ss"),
    ];
    if c.is_ascii() {
        return out.push(c);
    }
    match FOLDED.iter().find(|(letters, _)| letters.contains(c)) {
        Some((_, plain)) => out.push_str(plain),
        None => out.push(c),
    }
}

/// Appends a word, its contractions written out and fillers left out.
fn write_out(word: &str, words: &mut Vec<String>) {
    if FILLERS.contains(&word) {
        return;
    }
    if let Some((_, full)) = WRITTEN_OUT.iter().find(|(short, _)| *short == word) {
        words.extend(full.split(' ').map(str::to_owned));
        return;
    }
    for (ending, full) in ENDINGS {
        if let Some(rest) = word.strip_suffix(ending).filter(|rest| !rest.is_empty()) {
            write_out(rest, words);
            words.push(full.to_owned());
            return;
        }
    }
    // What is left are possessives and names, which are as often written without.
    match word.replace('\'', "") {
        bare if bare == word => words.push(bare),
        bare => write_out(&bare, words),
    }
}

fn respell(word: &mut String) {
    let beginning = SPELLINGS
        .iter()
        .find_map(|(british, american)| Some((american, word.strip_prefix(british)?)));
    let noun = || {
        let found = NOUNS
            .iter()
            .find_map(|(british, american)| Some((american, word.strip_prefix(british)?)));
        found.filter(|(_, rest)| ["", "s"].contains(rest))
    };
    if let Some((american, rest)) = beginning.or_else(noun) {
        *word = format!("{american}{rest}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            assert_eq!(normalise(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn case_and_punctuation_go() {
        check(&[
            ("Turn ON the lights!", "turn on the lights"),
            ("  Hello,\n world…  ", "hello world"),
            ("well-known – and/or", "well known and or"),
            ("[Music] Yes (laughs) <unk> no", "yes no"),
            ("an open (bracket", "an open bracket"),
            ("U.S.A. at 7 a.m. sharp. Next", "usa at 7 am sharp next"),
            ("Smith & Sons", "smith and sons"),
            ("", ""),
            ("...", ""),
        ]);
    }

    #[test]
    fn contractions_are_written_out() {
        check(&[
            ("I can't, won't, don\u{2019}t", "i can not will not do not"),
            ("We're sure they'll've", "we are sure they will have"),
            ("it's John's", "it is johns"),
            ("I'm gonna; y'all wanna", "i am going to you all want to"),
            ("'Quoted' rock 'n' roll", "quoted rock n roll"),
            ("Uh, hmm, Mr. Um", "mister"),
        ]);
    }

    #[test]
    fn accents_and_spellings_are_levelled() {
        check(&[
            ("Café naïve Łódź Straße", "cafe naive lodz strasse"),
            ("e\u{301}te\u{301}", "ete"),
            (
                "My favourite coloured theatres",
                "my favorite colored theaters",
            ),
            (
                "organised organisms travelling",
                "organized organisms traveling",
            ),
            (
                "a realistic programmer, centred",
                "a realistic programmer centred",
            ),
            ("日本語。Привет!", "日本語 привет"),
        ]);
    }

    #[test]
    fn numbers_are_written_one_way() {
        check(&[
            ("twenty-five", "25"),
            ("1,250,000 people", "1250000 people"),
            ("$1,299.99 or 20%", "$1299.99 or 20%"),
            (
                "21°C, 70 °F and 90°",
                "21 degrees celsius 70 degrees fahrenheit and 90 degrees",
            ),
            ("at 7:30 pm, 3pm", "at 730 pm 3 pm"),
            ("-5 degrees", "minus 5 degrees"),
            ("minus five degrees", "minus 5 degrees"),
            ("the 21st of May, the 1980s", "the 21st of may the 1980s"),
            ("a 20-second timer", "a 20 second timer"),
        ]);
    }

    #[test]
    fn two_ways_of_saying_it_are_one() {
        for (one, other) in [
            ("Set it to twenty one degrees.", "set it to 21°"),
            ("seven thirty", "7:30"),
            ("five dollars and twenty cents", "$5.20"),
            ("It's fifty percent", "it is 50%"),
            ("Mr. Smith's OK", "mister smiths okay"),
        ] {
            assert_eq!(normalise(one), normalise(other));
        }
    }

    proptest! {
        #[test]
        fn text_without_spelled_numbers_is_normalised_once_for_all(
            text in "(\\PC|[a-z'.,:$%°0-9 -]|don't |°C ){0,40}"
        ) {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn any_text_becomes_words_with_single_blanks(
            text in "(\\PC|[0-9.$% -]|one |twenty |hundred |million |and |a half |point |first ){0,40}"
        ) {
            let words = normalise(&text);
            prop_assert!(!words.contains("  ") && words.trim() == words, "{words:?}");
            prop_assert!(!words.contains(['\'', ',', '!', '(', '-']), "{words:?}");
        }
    }
}

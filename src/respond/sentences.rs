//! Sentences out of pieces of text: what can be spoken while the rest is still written.

/// Characters after which a sentence may be over.
const ENDS: [char; 5] = ['.', '!', '?', ':', ';'];
/// Characters with which one is over, whatever follows.
const WIDE_ENDS: [char; 3] = ['。', '！', '？'];
/// Characters that may follow them and belong to the sentence.
const CLOSERS: [char; 6] = ['"', '\'', ')', ']', '”', '’'];
/// A shorter sentence is spoken with the next one: pauses between programs would tear it apart.
const FEWEST_CHARS: usize = 12;
/// A longer one is spoken in parts.
const MOST_BYTES: usize = 600;
/// Words behind which a full stop ends nothing.
const ABBREVIATIONS: [&str; 14] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "vs", "etc", "e.g", "i.e", "approx", "no", "jr", "sr",
];

/// Collects pieces.
#[derive(Debug, Default)]
pub struct Sentences {
    text: String,
}

impl Sentences {
    /// Takes a piece; the sentence that is whole with it, if one is.
    pub fn push(&mut self, piece: &str) -> Option<String> {
        self.text.push_str(piece);
        let end = self.end()?;
        let rest = self.text.split_off(end);
        let sentence = std::mem::replace(&mut self.text, rest);
        let sentence = sentence.trim();
        (!sentence.is_empty()).then(|| sentence.to_owned())
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.text);
        let rest = rest.trim();
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    /// Where the last whole sentence ends: a mark, what closes it, and a blank behind that shows that it is one.
    fn end(&self) -> Option<usize> {
        let text = &self.text;
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let blanks = text.match_indices(' ').map(|(at, _)| at);
        let ends = blanks.filter(|at| self.is_end(&text[..*at]));
        let wide = text.char_indices().filter(|(_, c)| WIDE_ENDS.contains(c));
        let wide = wide.map(|(at, c)| at + c.len_utf8());
        let long = || {
            let cut = text.rfind(' ').filter(|_| text.len() > MOST_BYTES);
            cut.map(|at| at + 1)
        };
        breaks.chain(ends).chain(wide).max().or_else(long)
    }

    /// Whether a sentence ends with `text`.
    fn is_end(&self, text: &str) -> bool {
        let bare = text.trim_end_matches(CLOSERS);
        if !bare.ends_with(ENDS) || text.trim_start().chars().count() < FEWEST_CHARS {
            return false;
        }
        let word = bare.trim_end_matches('.');
        let word = word.rsplit([' ', '\n']).next().unwrap_or_default();
        let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
        // The number of a list, or the beginning of one.
        let is_number = bare.ends_with('.') && word.chars().all(|c| c.is_ascii_digit());
        let is_short = bare.ends_with('.') && ABBREVIATIONS.contains(&&*word.to_lowercase());
        !(is_initial || is_number || is_short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentences of a text that comes in pieces of `n` characters.
    fn cut(text: &str, n: usize) -> Vec<String> {
        let mut sentences = Sentences::default();
        let chars: Vec<char> = text.chars().collect();
        let pieces = chars
            .chunks(n)
            .map(|piece| piece.iter().collect::<String>());
        let mut all: Vec<String> = pieces.filter_map(|piece| sentences.push(&piece)).collect();
        all.extend(sentences.finish());
        all
    }

    #[test]
    fn sentences_end_where_they_do() {
        let text = "It is 3.5 degrees outside. Dr. Smith (of St. Ives) agrees! \"Really?\" Yes. \
                    He is fine.\nJ. S. Bach wrote it";
        let expected = [
            "It is 3.5 degrees outside.",
            "Dr. Smith (of St. Ives) agrees!",
            "\"Really?\" Yes.",
            "He is fine.",
            "J. S. Bach wrote it",
        ];
        assert_eq!(cut(text, 1), expected);
    }

    #[test]
    fn any_cut_says_the_same_words() {
        let text = "One sentence here. Another one there? And 1. a list\n2. of two things: done";
        let words = |all: &[String]| all.join(" ").replace('\n', " ");
        let one = words(&cut(text, 1));
        for n in [2, 3, 7, 1000] {
            assert_eq!(words(&cut(text, n)), one, "{n}");
        }
    }

    #[test]
    fn endless_text_is_spoken_in_parts() {
        let parts = cut(&"word ".repeat(1_000), 5);
        assert!(parts.len() > 5);
        assert!(parts.iter().all(|part| part.len() <= MOST_BYTES + 5));
        assert_eq!(cut("", 1), [""; 0]);
        assert_eq!(
            cut("今日は。元気ですか？はい", 1),
            ["今日は。", "元気ですか？", "はい"]
        );
    }
}

//! What people say all day without meaning a command.
//!
//! Enters: sentences and wake phrases as words. Leaves: whether they are everyday speech.

use super::sound;
use crate::command::words;

/// Words and phrases that stand alone in everyday talk: answers, interjections, what is said to
/// children, dogs and on the telephone.
#[rustfmt::skip]
const PHRASES: &[&str] = &[
    "again", "all right", "alright", "and", "anyway", "back", "bye", "call", "cancel", "clear",
    "close", "come here", "come on", "continue", "cool", "correct", "done", "down", "enough",
    "exactly", "excuse me", "fine", "finish", "forget it", "get out", "give me", "go", "go ahead",
    "go away", "go back", "go on", "good", "good morning", "good night", "great", "hang on",
    "hello", "help", "here", "here we go", "hey", "hi", "hold on", "home", "how", "how are you",
    "i know", "i see", "just a minute", "keep going", "later", "left", "let us go", "let us see",
    "light", "listen", "look", "louder", "maybe", "more", "music", "my god", "never mind", "next",
    "nice", "no", "no thanks", "no way", "not now", "nothing", "now", "of course", "off", "oh",
    "oh no", "oh well", "okay", "on", "one", "one moment", "one more", "open", "out", "pause",
    "perfect", "play", "please", "quiet", "ready", "really", "repeat", "resume", "right",
    "say it again", "see you", "send", "show me", "shut up", "skip", "slower", "so", "sorry",
    "start", "stay", "stop", "stop it", "sure", "take care", "tell me", "thank you", "thanks",
    "that is all", "that is it", "that is right", "then", "there", "time", "today", "turn it off",
    "turn it on", "two", "undo", "up", "wait", "wait a minute", "wake up", "well", "what",
    "what is that", "what is this", "what is up", 
    "where is it", "who is it", "who is that", "why", "why not", "yeah", "yes", "yes please",
    "you know",
];

/// Words that somebody says every few minutes: a phrase that is only of them is no name.
#[rustfmt::skip]
const COMMON_WORDS: &[&str] = &[
    "a", "all", "and", "are", "at", "can", "come", "could", "day", "do", "for", "get", "give", "go",
    "good", "have", "hello", "help", "here", "hey", "hi", "home", "house", "how", "i", "in", "is",
    "it", "just", "know", "let", "like", "listen", "look", "make", "me", "morning", "my", "name",
    "night", "no", "not", "now", "of", "oh", "okay", "on", "one", "out", "people", "please",
    "right", "say", "see", "so", "some", "start", "stop", "take", "tell", "thank", "thanks", "that",
    "the", "there", "they", "thing", "think", "this", "time", "to", "today", "up", "us", "wait",
    "want", "was", "we", "well", "what", "when", "where", "who", "will", "with", "work", "yeah",
    "yes", "you", "your",
];

/// Fewest syllables of a wake phrase that is told from the middle of other words.
const MIN_SYLLABLES: usize = 3;

/// The phrases as words.
pub(super) fn phrases() -> impl Iterator<Item = Vec<String>> {
    PHRASES.iter().map(|phrase| words::normalise(phrase))
}

/// What speaks against `phrase` as the one that wakes hark, with a proposal; nothing for a good one.
pub fn wake_phrase(phrase: &str) -> Option<String> {
    let words = words::normalise(phrase);
    if words.is_empty() {
        return Some(format!(
            "the wake phrase \"{phrase}\" has no word that can be said; write one, such as \"hey hark\""
        ));
    }
    if phrases().any(|known| known == words) {
        return Some(format!(
            "the wake phrase \"{phrase}\" is said every day; take a name that is not, such as \
             \"hey hark\""
        ));
    }
    if words
        .iter()
        .all(|word| COMMON_WORDS.contains(&word.as_str()))
    {
        return Some(format!(
            "the wake phrase \"{phrase}\" is made of everyday words only; put a rare one into it, \
             as in \"hey hark\""
        ));
    }
    let n_syllables: usize = words.iter().map(|word| n_syllables(word)).sum();
    if n_syllables < MIN_SYLLABLES && words.len() < 2 {
        return Some(format!(
            "the wake phrase \"{phrase}\" is short ({n_syllables} of {MIN_SYLLABLES} syllables) and \
             will be heard inside other words; put \"hey\" before it, or take a longer name"
        ));
    }
    None
}

/// Vowels that are spoken.
fn n_syllables(word: &str) -> usize {
    let is_vowel = |c: &char| "aeiouAEIOUWY".contains(*c);
    let key = sound::key(word);
    let n = key.chars().filter(is_vowel).count();
    // The last one of "table" has no vowel of its own.
    let mut from_end = key.chars().rev();
    let (last, before) = (from_end.next(), from_end.next());
    let is_syllabic =
        word.ends_with("le") && last == Some('l') && !before.is_some_and(|c| is_vowel(&c));
    n + usize::from(is_syllabic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_and_words_are_as_normalised() {
        for phrase in PHRASES {
            assert_eq!(words::normalise(phrase).join(" "), **phrase);
        }
        for word in COMMON_WORDS {
            assert_eq!(words::normalise(word), [*word]);
        }
        assert!(PHRASES.is_sorted() && COMMON_WORDS.is_sorted());
    }

    #[test]
    fn syllables_are_counted() {
        for (word, n) in [
            ("hark", 1),
            ("alexa", 3),
            ("computer", 3),
            ("jarvis", 2),
            ("house", 1),
            ("radio", 3),
            ("table", 2),
            ("lights", 1),
            ("name", 1),
        ] {
            assert_eq!(n_syllables(word), n, "{word} {}", sound::key(word));
        }
    }

    #[test]
    fn good_wake_phrases_pass_and_others_come_with_a_proposal() {
        for phrase in ["hey hark", "alexa", "computer", "hey jarvis", "okay nabu"] {
            assert_eq!(wake_phrase(phrase), None);
        }
        for (phrase, part) in [
            ("hello", "every day"),
            ("Okay!", "every day"),
            ("hey you", "everyday words"),
            ("hark", "short"),
            ("…", "no word"),
        ] {
            let text = wake_phrase(phrase).unwrap_or_default();
            assert!(text.contains(part), "{phrase}: {text}");
            assert!(text.contains(phrase), "{text}");
        }
    }
}

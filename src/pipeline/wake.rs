//! The wake phrase at the beginning of an utterance, as it is written or as it is heard.

use std::sync::atomic::AtomicBool;

use crate::dialogue::{ListenSettings, after_phrase};
use crate::event::WakeHeard;
use crate::whisper::Model;
use crate::whisper::stream::{Beginning, Phrase, Stream};

/// The phrases, ready to be looked for.
pub(super) struct WakePhrases {
    texts: Vec<String>,
    phrases: Vec<Phrase>,
    threshold: f32,
}

/// The likeliest phrase at the beginning of an utterance.
pub(super) struct Found {
    pub(super) heard: WakeHeard,
    /// The tokens that it takes, if it is one that wakes.
    pub(super) tokens: Option<Vec<u32>>,
}

impl WakePhrases {
    pub(super) fn new(model: &Model, settings: &ListenSettings) -> Self {
        let texts = settings.wake_phrases.clone();
        WakePhrases {
            phrases: texts.iter().map(|text| Phrase::new(model, text)).collect(),
            texts,
            threshold: settings.wake_threshold,
        }
    }

    /// The phrase with which the utterance begins that was just concluded as `text`: one that it is
    /// written with, or else the likeliest, which wakes when it is not below the threshold.
    pub(super) fn find(
        &self,
        stream: &mut Stream,
        text: &str,
        abort: &AtomicBool,
    ) -> Option<Found> {
        if text.trim().is_empty() {
            return None;
        }
        let written = |phrase: &String| {
            let rest = after_phrase(text, phrase)?;
            let tokens = stream.tokens(&text[..text.len() - rest.len()]);
            Some(found(phrase, 0.0, Some((rest, tokens))))
        };
        (self.texts.iter().find_map(written)).or_else(|| self.hear(stream, abort))
    }

    fn hear(&self, stream: &mut Stream, abort: &AtomicBool) -> Option<Found> {
        let beginnings = stream.beginnings(&self.phrases);
        let heard = self.texts.iter().zip(beginnings);
        let heard = heard.filter_map(|(text, beginning)| Some((text, beginning?)));
        let by_score = |a: &(_, Beginning), b: &(_, Beginning)| a.1.logprob.total_cmp(&b.1.logprob);
        let (phrase, Beginning { logprob, tokens }) = heard.max_by(by_score)?;
        log::debug!("{phrase:?} in the audio: {logprob}");
        if logprob < self.threshold {
            return Some(found(phrase, logprob, None));
        }
        let rest = stream.rest_after(&tokens, abort)?;
        // Its tokens may be those of the beginning of a longer word.
        (!goes_on(&rest)).then(|| found(phrase, logprob, Some((&rest, tokens))))
    }
}

/// Whether a text goes on with the word before it: "er, lights off", "'s off".
fn goes_on(rest: &str) -> bool {
    let mut letters = rest.chars();
    match letters.next() {
        Some('\'' | '\u{2019}') => letters.next().is_some_and(char::is_alphanumeric),
        first => first.is_some_and(char::is_alphanumeric),
    }
}

fn found(phrase: &str, score: f32, wakes: Option<(&str, Vec<u32>)>) -> Found {
    let (rest, tokens) = wakes.map_or(("", None), |(rest, tokens)| (rest, Some(tokens)));
    let heard = WakeHeard {
        phrase: phrase.to_owned(),
        score,
        rest: rest
            .trim_start_matches(|c: char| !c.is_alphanumeric())
            .to_owned(),
    };
    Found { heard, tokens }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_word_is_another_one() {
        for rest in ["er, lights off", "'s off", "\u{2019}s off", "9"] {
            assert!(goes_on(rest), "{rest}");
        }
        for rest in ["", " lights off", ", lights off", "!", "' lights off"] {
            assert!(!goes_on(rest), "{rest}");
        }
    }
}

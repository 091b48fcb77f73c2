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

/// A phrase that was found, and the tokens that it takes.
pub(super) struct Found {
    pub(super) heard: WakeHeard,
    pub(super) tokens: Vec<u32>,
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
    /// written with, or else the likeliest that is not below the threshold.
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
            Some(found(phrase, 0.0, rest, tokens))
        };
        (self.texts.iter().find_map(written)).or_else(|| self.hear(stream, abort))
    }

    fn hear(&self, stream: &mut Stream, abort: &AtomicBool) -> Option<Found> {
        let beginnings = stream.beginnings(&self.phrases);
        let heard = self.texts.iter().zip(beginnings);
        let heard = heard.filter_map(|(text, beginning)| Some((text, beginning?)));
        let by_score = |a: &(_, Beginning), b: &(_, Beginning)| a.1.logprob.total_cmp(&b.1.logprob);
        let (phrase, beginning) = heard.max_by(by_score)?;
        log::debug!("{phrase:?} in the audio: {beginning:?}");
        if beginning.logprob < self.threshold {
            return None;
        }
        let rest = stream.rest_after(&beginning.tokens, abort)?;
        Some(found(phrase, beginning.logprob, &rest, beginning.tokens))
    }
}

fn found(phrase: &str, score: f32, rest: &str, tokens: Vec<u32>) -> Found {
    let heard = WakeHeard {
        phrase: phrase.to_owned(),
        score,
        rest: rest
            .trim_start_matches(|c: char| !c.is_alphanumeric())
            .to_owned(),
    };
    Found { heard, tokens }
}

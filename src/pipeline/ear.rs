//! The model's ear: an utterance in, words with times out.
//!
//! Two transcribers on one model: partials are decoded once and shown only if they pass the
//! checks; finals get the model's whole fallback. Runs on the recogniser's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::recogniser::{Ear, Ended, Hypothesis, Purpose};
use crate::event::{Seconds, Word};
use crate::whisper::{Model, Options, Segment, Thresholds, Transcriber, WhisperError, WordTimes};

/// Requests to cut work short; clones are the same requests.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    /// Gives partials up.
    pub(crate) partial: Arc<AtomicBool>,
    /// Cuts finals short.
    pub(crate) whole: Arc<AtomicBool>,
}

impl Abort {
    /// One request for everything.
    pub fn all(flag: Arc<AtomicBool>) -> Self {
        Abort {
            partial: flag.clone(),
            whole: flag,
        }
    }
}

/// Whisper as an [`Ear`].
pub(crate) struct WhisperEar {
    partial: Transcriber,
    whole: Transcriber,
    abort: Abort,
    thresholds: Thresholds,
}

impl WhisperEar {
    /// An ear for `options`; words get times whatever the options say.
    pub(crate) fn new(
        model: &Arc<Model>,
        mut options: Options,
        abort: Abort,
    ) -> Result<Self, WhisperError> {
        options.words = WordTimes::On;
        let thresholds = options.thresholds.clone();
        let mut whole = Transcriber::new(model.clone(), options.clone())?;
        whole.set_abort(abort.whole.clone());
        // A partial that fails its checks is not shown, and the next one is near: trying again or
        // searching wider would only cost time.
        options.beam = 1;
        options.thresholds.temperatures = vec![0.0];
        let mut partial = Transcriber::new(model.clone(), options)?;
        partial.set_abort(abort.partial.clone());
        Ok(WhisperEar {
            partial,
            whole,
            abort,
            thresholds,
        })
    }

    fn is_doubtful(&self, segment: &Segment) -> bool {
        segment.avg_logprob < self.thresholds.logprob
            || segment.compression_ratio > self.thresholds.compression_ratio
    }
}

impl Ear for WhisperEar {
    fn hear(&mut self, samples: &[f32], purpose: Purpose) -> Hypothesis {
        let (transcriber, abort) = match purpose {
            Purpose::Partial => (&mut self.partial, &self.abort.partial),
            Purpose::Final => (&mut self.whole, &self.abort.whole),
        };
        let segments = transcriber.utterance(samples);
        let ended = match abort.load(Ordering::Acquire) {
            true => Ended::Aborted,
            false => Ended::Complete,
        };
        Hypothesis {
            doubtful: segments.iter().any(|segment| self.is_doubtful(segment)),
            words: segments.into_iter().flat_map(words_of).collect(),
            ended,
        }
    }
}

/// The words of a segment; a segment without word times counts as one word.
fn words_of(segment: Segment) -> Vec<Word> {
    if !segment.words.is_empty() || segment.text.trim().is_empty() {
        return segment.words;
    }
    let word = Word {
        text: segment.text,
        t0: Seconds(segment.t0),
        t1: Seconds(segment.t1),
        p: segment.avg_logprob.exp(),
    };
    vec![word]
}

//! What was said between two long silences, divided into utterances by what the words need.
//!
//! In: the front's messages, of which every window of audio carries its probability of speech. Out:
//! the same messages with other edges. Runs with the recogniser, on its thread.
//!
//! How long a silence ends an utterance depends on the words, which only the recogniser knows, and
//! knows late. So the front, when there are commands, ends what is said at the longest of all
//! silences only, and the edges within it are found here, in step with the recogniser: it works a
//! pause out before the next window is taken. However long that takes, the windows wait in their
//! queue, and the edges lie where they would lie if it took no time. What is said after an edge is
//! another utterance, with its own beginning and the audio from before it. Nothing ever has to be
//! told to the front.

use super::front::{Ending, Speech, pass_on};
use crate::command::{Patience, Progress};
use crate::vad::{Cutter, SegmenterConfig};

/// See the module.
pub(crate) struct Divider {
    cutter: Cutter,
    patience: Patience,
    usual_ms: u32,
    /// Where the next window begins.
    now: u64,
}

impl Divider {
    /// A divider that has heard nothing, and the settings of the front before it.
    pub(crate) fn new(config: SegmenterConfig, patience: Patience) -> (Self, SegmenterConfig) {
        let usual_ms = config.endpoint.min_silence_ms;
        let divider = Divider {
            cutter: Cutter::new(config.endpoint, config.pause_ms),
            patience,
            usual_ms,
            now: 0,
        };
        let mut front = config;
        front.endpoint.min_silence_ms = patience.longest_ms(usual_ms);
        // Lengths are kept to here, where utterances are known.
        front.endpoint.max_speech_ms = u32::MAX;
        front.endpoint.cut_speech_ms = u32::MAX;
        (divider, front)
    }

    /// Takes the front's next message.
    pub(crate) fn take(&mut self, speech: &Speech, sink: &mut dyn FnMut(Speech)) {
        match speech {
            Speech::Start {
                start_sample,
                first_sample,
            } => {
                self.now = *first_sample;
                self.cutter.resume(*start_sample, self.now);
                sink(speech.clone());
            }
            Speech::Audio {
                n_valid,
                probability: None,
                ..
            } => {
                // Heard before the start was known, and judged then.
                self.now += *n_valid as u64;
                self.cutter.skip_to(self.now);
                sink(speech.clone());
            }
            Speech::Audio {
                samples,
                n_valid,
                probability: Some(probability),
            } => {
                self.now += *n_valid as u64;
                self.cutter
                    .push(&samples[..*n_valid], *probability, &mut |piece| {
                        pass_on(piece, Ending::Complete, sink);
                    });
            }
            // They are those of the whole; there may have been an edge since.
            Speech::Pause | Speech::Resume => {}
            Speech::End { .. } => {
                if self.cutter.is_speaking() {
                    sink(speech.clone());
                }
                self.cutter.reset(self.now);
            }
            Speech::Other(_) => sink(speech.clone()),
        }
    }

    /// From what was said so far follows how long a silence ends the utterance.
    pub(crate) fn wait_for(&mut self, progress: Progress) {
        let ms = self.patience.silence_ms(progress, self.usual_ms);
        self.cutter.set_min_silence_ms(ms);
    }

    /// Whether this message is the one with which a complete command would end: whoever wants to
    /// know what the pause says has to know it now.
    pub(crate) fn is_decisive(&self, speech: &Speech) -> bool {
        let Speech::Audio {
            probability: Some(probability),
            ..
        } = speech
        else {
            return false;
        };
        let soonest_ms = self.patience.shortest_ms(self.usual_ms);
        self.cutter.silence_ms_after(*probability) >= u64::from(soonest_ms)
    }
}

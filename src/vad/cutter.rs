//! Cuts a stream of judged windows into utterances.
//!
//! Enters: windows of samples, each with the probability that it holds speech. Leaves: for each
//! utterance its start, its audio (pre-roll first), its pauses and its end. Pure logic on the sample
//! clock; memory is bounded by the pre-roll, and nothing is allocated after construction.

use super::endpoint::{Edge, EndCause, EndpointConfig, Endpointer, max_candidate_samples};
use super::{WINDOW_SAMPLES, samples_from_ms};

/// A window at or above this probability may be speech: utterances begin with soft or distant
/// words that the detector doubts, and that belong to what follows.
const HINT: f32 = 0.1;

/// Windows without a hint that separate what was hinted at from what follows (about a quarter of a
/// second).
const HINT_GAP_WINDOWS: u32 = 8;

/// How far before the first certain speech a hint may lie.
pub(super) const HINT_REACH_MS: u32 = 1_500;

/// What is said of a stream, in this order for each utterance: one `Start`, `Audio` without gaps,
/// in which every `Resume` follows a `Pause`, one `End`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// An utterance starts.
    Start {
        /// The first sample of its audio: the beginning of the pre-roll.
        at_sample: u64,
        /// The first sample of the first window of speech.
        speech_at_sample: u64,
    },
    /// The next samples of the utterance.
    Audio {
        /// The first of them.
        at_sample: u64,
        /// The samples.
        samples: &'a [f32],
        /// The probability of speech in them; none for those before the start was known, which may
        /// be many windows.
        probability: Option<f32>,
    },
    /// The utterance has been silent for a while and may be over.
    Pause,
    /// It goes on after a pause.
    Resume,
    /// The utterance has ended; its audio went on to the sample at which that was decided.
    End {
        /// The sample after its last window of speech.
        at_sample: u64,
        /// Why it ended.
        cause: EndCause,
    },
}

/// Endpointer and pre-roll of one stream.
pub struct Cutter {
    endpointer: Endpointer,
    history: History,
    pause_ms: u32,
    /// A pause was told, and neither the end nor that it goes on.
    in_pause: bool,
}

impl Cutter {
    /// A cutter at sample 0 that has heard nothing; silence of `pause_ms` within an utterance is told
    /// as a pause, and none when it is 0.
    pub fn new(endpoint: EndpointConfig, pause_ms: u32) -> Self {
        let pre_roll_samples = samples_from_ms(endpoint.pre_roll_ms);
        let candidate_samples = max_candidate_samples(endpoint.min_speech_ms);
        Cutter {
            endpointer: Endpointer::new(endpoint),
            history: History::new(pre_roll_samples, candidate_samples),
            pause_ms,
            in_pause: false,
        }
    }

    /// Takes the next window, which holds speech with this probability. Only the last one of a
    /// stream may be shorter than the others.
    pub fn push(&mut self, samples: &[f32], probability: f32, sink: &mut dyn FnMut(Piece<'_>)) {
        let at_sample = self.endpointer.now_samples();
        let was_speaking = self.endpointer.is_speaking();
        let edge = self.endpointer.push(probability);
        if was_speaking {
            sink(Piece::Audio {
                at_sample,
                samples,
                probability: Some(probability),
            });
        } else {
            self.history.push(samples, probability);
        }
        match edge {
            Some(Edge::Start {
                at_sample: speech_at_sample,
            }) => {
                let (at_sample, samples) = self.history.since(speech_at_sample);
                sink(Piece::Start {
                    at_sample,
                    speech_at_sample,
                });
                sink(Piece::Audio {
                    at_sample,
                    samples,
                    probability: None,
                });
            }
            Some(Edge::End {
                at_sample: end,
                cause,
            }) => {
                // The last window may be shorter than the endpointer believes.
                let end = end.min(at_sample + samples.len() as u64);
                sink(Piece::End {
                    at_sample: end,
                    cause,
                });
                // What was said belongs to one utterance only.
                self.history.restart(self.endpointer.now_samples());
                self.in_pause = false;
            }
            None => self.tell_pause(sink),
        }
    }

    /// An utterance that began elsewhere is taken over: it speaks since `speech_at_sample`, and the
    /// next window begins at `at_sample`.
    pub fn resume(&mut self, speech_at_sample: u64, at_sample: u64) {
        self.endpointer.resume(speech_at_sample, at_sample);
        self.history.restart(at_sample);
        self.in_pause = false;
    }

    /// The next window begins at `at_sample`; what comes before it in the present utterance was judged
    /// elsewhere.
    pub fn skip_to(&mut self, at_sample: u64) {
        self.endpointer.skip_to(at_sample);
        self.history.restart(at_sample);
    }

    /// Ends the utterance, if there is one, because the audio does, at sample `end`.
    pub fn flush(&mut self, end: u64, sink: &mut dyn FnMut(Piece<'_>)) {
        if let Some(Edge::End { at_sample, cause }) = self.endpointer.flush() {
            sink(Piece::End {
                at_sample: at_sample.min(end),
                cause,
            });
        }
    }

    /// Forgets everything heard; the next sample is number `at_sample`.
    pub fn reset(&mut self, at_sample: u64) {
        self.endpointer.reset(at_sample);
        self.history.restart(at_sample);
        self.in_pause = false;
    }

    /// Samples taken so far: the number of the next window's first.
    pub fn now_samples(&self) -> u64 {
        self.endpointer.now_samples()
    }

    /// Whether an utterance has started and not ended.
    pub fn is_speaking(&self) -> bool {
        self.endpointer.is_speaking()
    }

    /// How long the present utterance has been silent; 0 while it speaks, and between utterances.
    pub fn silence_ms(&self) -> u64 {
        self.endpointer.silence_ms()
    }

    /// How long it will have been silent after a window of this probability; 0 if it speaks then.
    pub fn silence_ms_after(&self, probability: f32) -> u64 {
        self.endpointer.silence_ms_after(probability)
    }

    /// Changes the silence that ends the present utterance, see
    /// [`Endpointer::set_min_silence_ms`].
    pub fn set_min_silence_ms(&mut self, ms: u32) {
        self.endpointer.set_min_silence_ms(ms);
    }

    /// Says when the present utterance pauses and when it goes on.
    fn tell_pause(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        let silence_ms = self.endpointer.silence_ms();
        if self.in_pause && silence_ms == 0 {
            self.in_pause = false;
            sink(Piece::Resume);
        } else if !self.in_pause && self.pause_ms > 0 && silence_ms >= u64::from(self.pause_ms) {
            self.in_pause = true;
            sink(Piece::Pause);
        }
    }
}

/// The latest samples before an utterance is known to have started.
struct History {
    samples: Vec<f32>,
    /// The number of the sample after the last.
    end: u64,
    pre_roll_samples: u64,
    /// Where windows that may be speech began.
    hinted_from: Option<u64>,
    /// Windows since the last of them.
    n_unhinted: u32,
    /// Samples that are kept in any case; the buffer holds twice that, so that moving them to its
    /// front is rare.
    n_kept: usize,
}

impl History {
    /// Speech is known at most `candidate_samples` after its beginning.
    fn new(pre_roll_samples: u64, candidate_samples: u64) -> Self {
        let reach_samples = candidate_samples + samples_from_ms(HINT_REACH_MS);
        let n_kept = (pre_roll_samples + reach_samples) as usize + WINDOW_SAMPLES;
        History {
            samples: Vec::with_capacity(2 * n_kept),
            end: 0,
            pre_roll_samples,
            hinted_from: None,
            n_unhinted: 0,
            n_kept,
        }
    }

    fn push(&mut self, samples: &[f32], probability: f32) {
        if probability >= HINT {
            self.hinted_from.get_or_insert(self.end);
            self.n_unhinted = 0;
        } else {
            self.n_unhinted += 1;
            if self.n_unhinted > HINT_GAP_WINDOWS {
                self.hinted_from = None;
            }
        }
        if self.samples.len() + samples.len() > 2 * self.n_kept {
            self.samples.drain(..self.samples.len() - self.n_kept);
        }
        self.samples.extend_from_slice(samples);
        self.end += samples.len() as u64;
    }

    /// The audio from the pre-roll before `speech_at_sample` on, or before the hints that led up to
    /// it, as far as it is there, and the number of its first sample.
    fn since(&self, speech_at_sample: u64) -> (u64, &[f32]) {
        let oldest = self.end - self.samples.len() as u64;
        let earliest = speech_at_sample.saturating_sub(samples_from_ms(HINT_REACH_MS));
        let hinted_from = self.hinted_from.unwrap_or(speech_at_sample).max(earliest);
        let begin = speech_at_sample
            .min(hinted_from)
            .saturating_sub(self.pre_roll_samples)
            .max(oldest);
        (begin, &self.samples[(begin - oldest) as usize..])
    }

    /// Forgets all; the next sample is number `at_sample`.
    fn restart(&mut self, at_sample: u64) {
        self.samples.clear();
        self.hinted_from = None;
        self.n_unhinted = 0;
        self.end = at_sample;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_reach_back_over_short_gaps_only() {
        let window = [0.0; WINDOW_SAMPLES];
        let begin = |probabilities: &[f32]| {
            let mut history = History::new(1024, 1536);
            for &p in probabilities {
                history.push(&window, p);
            }
            let speech_at = (probabilities.len() - 1) * WINDOW_SAMPLES;
            let (at, samples) = history.since(speech_at as u64);
            assert_eq!(
                at as usize + samples.len(),
                probabilities.len() * WINDOW_SAMPLES
            );
            (speech_at - 1024 - at as usize) / WINDOW_SAMPLES
        };
        let with_hint = |n_before: usize, gap: usize| {
            [vec![0.0; n_before], vec![0.2], vec![0.0; gap], vec![0.9]].concat()
        };
        assert_eq!(begin(&with_hint(40, 0)), 1);
        assert_eq!(begin(&with_hint(40, 8)), 9);
        assert_eq!(begin(&with_hint(40, 9)), 0);
        // A hum all the time reaches back as far as anything may.
        assert_eq!(begin(&[0.2; 200]), 24_000 / WINDOW_SAMPLES);
    }

    #[test]
    fn history_keeps_the_latest_and_never_grows() {
        let mut history = History::new(100, 50);
        let capacity = history.samples.capacity();
        let numbers: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
        for chunk in numbers.chunks(WINDOW_SAMPLES) {
            history.push(chunk, 0.0);
            let speech = history.end.saturating_sub(50);
            let (begin, samples) = history.since(speech);
            assert_eq!(begin, speech.saturating_sub(100));
            assert_eq!(samples[0], begin as f32);
            assert_eq!(begin + samples.len() as u64, history.end);
        }
        assert_eq!(history.samples.capacity(), capacity);
    }
}

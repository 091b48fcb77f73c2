//! Sound in, stretches of speech out.
//!
//! In: 16 kHz mono samples in pieces of any length. Out: messages that open an utterance, carry
//! its audio (pre-roll first), and close it. Runs on the front thread (live) or on the caller's
//! (replay); allocates nothing after `new`, never looks at a clock: the same samples give the same
//! messages however they are cut.

use crate::event::{Event, GapReason, Seconds};
use crate::kernels::Cpu;
use crate::vad::{EndCause, Piece, Segmenter, SegmenterConfig, WINDOW_SAMPLES};

/// What the front says to the recogniser.
// Samples travel by value: a box for each message would be an allocation for each.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Speech {
    /// Somebody speaks.
    Start {
        /// Where the speech begins.
        start_sample: u64,
        /// Where the audio that follows begins: earlier by the pre-roll.
        first_sample: u64,
    },
    /// The next samples of the open utterance.
    Audio {
        /// The samples.
        samples: [f32; WINDOW_SAMPLES],
        /// How many of them count.
        n_valid: usize,
        /// The probability of speech in them; none for those from before the start was known.
        probability: Option<f32>,
    },
    /// They pause; perhaps that was all.
    Pause,
    /// They go on after a pause.
    Resume,
    /// They stopped.
    End {
        /// Where the speech ends.
        end_sample: u64,
        /// Whether that is all they said.
        ending: Ending,
    },
    /// Something to pass on in its place: a gap, a device's change.
    Other(Event),
}

/// Whether an utterance is all that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The speaker paused, or the recording ended.
    Complete,
    /// It broke off: sound was lost, it grew too long, or all was told to stop. The rest of the
    /// sentence might have turned its meaning round.
    Interrupted,
}

/// The front stage.
pub(crate) struct Front {
    segmenter: Segmenter,
}

impl Front {
    /// A front at sample 0 that has heard nothing.
    pub(crate) fn new(cpu: Cpu, config: SegmenterConfig) -> Self {
        Front {
            segmenter: Segmenter::new(cpu, config),
        }
    }

    /// Takes samples.
    pub(crate) fn push(&mut self, samples: &[f32], sink: &mut dyn FnMut(Speech)) {
        self.segmenter
            .push(samples, &mut |piece| pass_on(piece, Ending::Complete, sink));
    }

    /// `n_samples` were lost here: what is being said ends, and the count goes on after the gap.
    pub(crate) fn gap(&mut self, n_samples: u64, reason: GapReason, sink: &mut dyn FnMut(Speech)) {
        let t0 = Seconds::of_sample(self.segmenter.now_samples());
        self.segmenter.gap(n_samples, &mut |piece| {
            pass_on(piece, Ending::Interrupted, sink);
        });
        let t1 = Seconds::of_sample(self.segmenter.now_samples());
        sink(Speech::Other(Event::Gap { t0, t1, reason }));
    }

    /// Has heard nothing, and begins at this sample.
    pub(crate) fn start_at(&mut self, sample: u64) {
        self.segmenter.reset(sample);
    }

    /// Whether an utterance is open.
    pub(crate) fn is_speaking(&self) -> bool {
        self.segmenter.is_speaking()
    }

    /// Ends the utterance that is open, with every sample seen so far.
    pub(crate) fn flush(&mut self, ending: Ending, sink: &mut dyn FnMut(Speech)) {
        self.segmenter
            .flush(&mut |piece| pass_on(piece, ending, sink));
    }
}

/// The segmenter's piece as messages that own their samples; an utterance that ends otherwise than
/// by silence ends in `ending`.
pub(super) fn pass_on(piece: Piece<'_>, ending: Ending, sink: &mut dyn FnMut(Speech)) {
    match piece {
        Piece::Start {
            at_sample,
            speech_at_sample,
        } => {
            sink(Speech::Start {
                start_sample: speech_at_sample,
                first_sample: at_sample,
            });
        }
        Piece::Audio {
            samples,
            probability,
            ..
        } => {
            for chunk in samples.chunks(WINDOW_SAMPLES) {
                let mut samples = [0.0; WINDOW_SAMPLES];
                samples[..chunk.len()].copy_from_slice(chunk);
                sink(Speech::Audio {
                    samples,
                    n_valid: chunk.len(),
                    probability,
                });
            }
        }
        Piece::Pause => sink(Speech::Pause),
        Piece::Resume => sink(Speech::Resume),
        Piece::End { at_sample, cause } => sink(Speech::End {
            end_sample: at_sample,
            ending: match cause {
                EndCause::Silence => Ending::Complete,
                EndCause::TooLong => Ending::Interrupted,
                EndCause::EndOfAudio => ending,
            },
        }),
    }
}

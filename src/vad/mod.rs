//! Where speech begins and ends.
//!
//! Enters: mono samples at 16 kHz, in pieces of any length. Leaves: the probability of speech for
//! each window of [`WINDOW_SAMPLES`] ([`Vad`]), the edges of utterances ([`Endpointer`]), and the
//! audio of each utterance with its edges ([`Segmenter`], and [`Cutter`] for windows that are judged
//! already). All times are sample indices. Runs on
//! the thread of whoever calls; allocates at construction only. It never looks at the clock and
//! never learns what was said.

mod cutter;
mod endpoint;
mod segmenter;
mod silero;
mod weights;

pub use cutter::{Cutter, Piece};
pub use endpoint::{Edge, EndCause, EndpointConfig, Endpointer};
pub use segmenter::{Segmenter, SegmenterConfig};
pub use silero::Vad;

/// Samples the detector judges at a time (32 ms).
pub const WINDOW_SAMPLES: usize = 512;

/// Samples in `ms` milliseconds.
const fn samples_from_ms(ms: u32) -> u64 {
    ms as u64 * crate::dsp::SAMPLE_RATE_HZ as u64 / 1000
}

/// Whole milliseconds in `n_samples`.
const fn ms_from_samples(n_samples: u64) -> u64 {
    n_samples * 1000 / crate::dsp::SAMPLE_RATE_HZ as u64
}

//! Signal processing between samples and the model's input.
//!
//! Enters: mono samples at [`SAMPLE_RATE_HZ`], nominally in −1…1, in pieces of any length.
//! Leaves: columns of the log-mel spectrogram that Whisper listens to, or, of [`HighPass`], samples. Runs on the thread of
//! whoever calls; after construction it allocates nothing but the growth of the caller's buffer.
//! It never looks at the clock, at devices or at what the sound means.

mod filters;
mod high_pass;
mod mel;

pub use filters::mel_filters;
pub use high_pass::HighPass;
pub use mel::{MelStream, log_mel, normalise};

/// The rate of all samples inside the program, in samples a second.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Samples from one mel frame to the next (10 ms).
pub const HOP_SAMPLES: usize = 160;

/// Length of the Fourier transform and of its window, in samples (25 ms).
const N_FFT: usize = 400;

/// Bins of the one-sided spectrum: 0 Hz to half the sample rate in steps of 40 Hz.
const N_BINS: usize = N_FFT / 2 + 1;

/// Readers of the files in `tests/golden`, for the tests of this module and of those above it.
#[cfg(test)]
pub(crate) mod golden {
    /// Little-endian f32 values.
    pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect()
    }

    /// Little-endian 16-bit samples, scaled to −1…1.
    pub(crate) fn samples(bytes: &[u8]) -> Vec<f32> {
        let sample = |&b: &[u8; 2]| f32::from(i16::from_le_bytes(b)) / 32768.0;
        bytes.as_chunks().0.iter().map(sample).collect()
    }

    /// The first voice: 3.2 s.
    pub(crate) fn speech_a() -> Vec<f32> {
        samples(include_bytes!("../../tests/golden/speech_a.s16"))
    }

    /// The second voice: 3.5 s.
    pub(crate) fn speech_b() -> Vec<f32> {
        samples(include_bytes!("../../tests/golden/speech_b.s16"))
    }
}

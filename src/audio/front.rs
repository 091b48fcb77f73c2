//! The front end that every live or uncompressed source shares: interleaved frames of a device or
//! stream become mono samples at 16 kHz.

use super::{AudioError, ChannelChoice, Heard, READ_SAMPLES, Resampler, to_mono};

/// Mono mix (or channel choice) and rate conversion, with the state of one stream.
pub struct Front {
    n_channels: usize,
    choice: ChannelChoice,
    mono: Vec<f32>,
    resampler: Resampler,
}

impl Front {
    /// A front end for frames of `n_channels` samples at `rate_hz`.
    pub fn new(rate_hz: u32, n_channels: usize, choice: ChannelChoice) -> Result<Self, AudioError> {
        Ok(Front {
            n_channels,
            choice,
            mono: Vec::new(),
            resampler: Resampler::new(rate_hz)?,
        })
    }

    /// Takes whole frames and appends the samples that are ready.
    pub fn push(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        self.mono.clear();
        to_mono(interleaved, self.n_channels, self.choice, &mut self.mono);
        self.resampler.push(&self.mono, out);
    }

    /// Ends the stream (or the stretch before a gap): appends what is still inside and makes
    /// ready for another.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        self.resampler.flush(out);
    }
}

/// Converted samples on their way out, in portions of at most 100 ms.
#[derive(Default)]
pub(crate) struct Ready {
    samples: Vec<f32>,
    at: usize,
}

impl Ready {
    /// True when all was handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.samples.len()
    }

    /// The empty buffer, to be filled; only when [`Self::is_empty`].
    pub(crate) fn refill(&mut self) -> &mut Vec<f32> {
        debug_assert!(self.is_empty());
        self.samples.clear();
        self.at = 0;
        &mut self.samples
    }

    /// Appends the next portion to `out`; where there is none, that is the end.
    pub(crate) fn hand_out(&mut self, out: &mut Vec<f32>) -> Heard {
        let n = (self.samples.len() - self.at).min(READ_SAMPLES);
        out.extend_from_slice(&self.samples[self.at..self.at + n]);
        self.at += n;
        if n > 0 { Heard::Samples } else { Heard::End }
    }
}

//! The front end that every live or uncompressed source shares: interleaved frames of a device or
//! stream become mono samples at 16 kHz, without rumble and louder where that is asked for.

use super::{AudioError, ChannelChoice, Heard, READ_SAMPLES, Resampler, to_mono};
use crate::dsp::{HighPass, SAMPLE_RATE_HZ};

/// What becomes of a source's frames besides the change of rate. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrontOptions {
    /// Which channels are listened to.
    pub channel: ChannelChoice,
    /// Amplification, decibels.
    pub gain_db: f32,
    /// Sound below this frequency is removed, hertz; 0 for none.
    pub high_pass_hz: f32,
}

/// Mono mix (or channel choice), rate conversion, high-pass and gain, with the state of one stream.
pub struct Front {
    n_channels: usize,
    choice: ChannelChoice,
    mono: Vec<f32>,
    resampler: Resampler,
    high_pass: Option<HighPass>,
    /// `None` at 0 dB.
    gain: Option<f32>,
    n_clipped: u64,
}

impl Front {
    /// A front end for frames of `n_channels` samples at `rate_hz`.
    ///
    /// # Errors
    /// If the rate is out of bounds.
    ///
    /// # Panics
    /// If the high-pass is not between 0 and 8000 Hz.
    pub fn new(rate_hz: u32, n_channels: usize, options: FrontOptions) -> Result<Self, AudioError> {
        let FrontOptions {
            channel,
            gain_db,
            high_pass_hz,
        } = options;
        Ok(Front {
            n_channels,
            choice: channel,
            mono: Vec::new(),
            resampler: Resampler::new(rate_hz)?,
            high_pass: (high_pass_hz != 0.0).then(|| HighPass::new(high_pass_hz, SAMPLE_RATE_HZ)),
            gain: (gain_db != 0.0).then(|| 10f32.powf(gain_db / 20.0)),
            n_clipped: 0,
        })
    }

    /// Takes whole frames and appends the samples that are ready.
    pub fn push(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        self.mono.clear();
        to_mono(interleaved, self.n_channels, self.choice, &mut self.mono);
        let n_before = out.len();
        self.resampler.push(&self.mono, out);
        self.shape(&mut out[n_before..]);
    }

    /// Ends the stream (or the stretch before a gap): appends what is still inside and makes
    /// ready for another.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        let n_before = out.len();
        self.resampler.flush(out);
        self.shape(&mut out[n_before..]);
        if let Some(high_pass) = &mut self.high_pass {
            high_pass.reset();
        }
    }

    /// Samples so far that high-pass and gain would have taken beyond full scale.
    pub fn n_clipped(&self) -> u64 {
        self.n_clipped
    }

    /// High-pass and gain, in place. Samples that neither is to change are left as they are, to the
    /// last bit.
    fn shape(&mut self, samples: &mut [f32]) {
        if self.high_pass.is_none() && self.gain.is_none() {
            return;
        }
        if let Some(high_pass) = &mut self.high_pass {
            high_pass.run(samples);
        }
        let gain = self.gain.unwrap_or(1.0);
        for sample in samples {
            let loud = *sample * gain;
            *sample = loud.clamp(-1.0, 1.0);
            self.n_clipped += u64::from(*sample != loud);
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    const SHAPED: FrontOptions = FrontOptions {
        channel: ChannelChoice::Mix,
        gain_db: 6.0,
        high_pass_hz: 80.0,
    };

    fn through(options: FrontOptions, rate_hz: u32, pieces: &[&[f32]]) -> (Vec<f32>, u64) {
        let mut front = Front::new(rate_hz, 2, options).unwrap();
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| front.push(piece, &mut out));
        front.flush(&mut out);
        (out, front.n_clipped())
    }

    /// Stereo: a tone of half scale on the left, the same of twice the frequency on the right.
    fn tones(rate_hz: u32, hz: f32) -> Vec<f32> {
        let tone = |i: u32, hz: f32| 0.5 * (TAU * hz * i as f32 / rate_hz as f32).sin();
        let frames = (0..rate_hz / 2).flat_map(|i| [tone(i, hz), tone(i, 2.0 * hz)]);
        frames.collect()
    }

    #[test]
    fn defaults_change_nothing() {
        let sound = tones(48_000, 300.0);
        let (mut mono, mut plain) = (Vec::new(), Vec::new());
        to_mono(&sound, 2, ChannelChoice::Mix, &mut mono);
        let mut resampler = Resampler::new(48_000).unwrap();
        resampler.push(&mono, &mut plain);
        resampler.flush(&mut plain);
        let (out, n_clipped) = through(FrontOptions::default(), 48_000, &[&sound]);
        assert!(
            out.iter()
                .map(|x| x.to_bits())
                .eq(plain.iter().map(|x| x.to_bits()))
        );
        assert_eq!(n_clipped, 0);
    }

    #[test]
    fn any_split_gives_the_same_samples() {
        for rate_hz in [16_000, 44_100] {
            let sound = tones(rate_hz, 100.0);
            let whole = through(SHAPED, rate_hz, &[&sound]);
            for n_frames in [1, 7, 320, 5_000] {
                let pieces: Vec<&[f32]> = sound.chunks(2 * n_frames).collect();
                assert_eq!(through(SHAPED, rate_hz, &pieces), whole, "{n_frames}");
            }
        }
    }

    #[test]
    fn after_a_gap_it_is_as_new() {
        let sound = tones(48_000, 100.0);
        let mut front = Front::new(48_000, 2, SHAPED).unwrap();
        let [mut first, mut second] = [Vec::new(), Vec::new()];
        for out in [&mut first, &mut second] {
            front.push(&sound, out);
            front.flush(out);
        }
        assert_eq!(first, second);
    }

    #[test]
    fn gain_is_in_decibels_and_ends_at_full_scale() {
        let loudest = |samples: &[f32]| samples.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let left = FrontOptions {
            channel: ChannelChoice::Only(0),
            ..FrontOptions::default()
        };
        let sound = tones(16_000, 200.0);
        for (gain_db, height) in [(-20.0, 0.05), (6.0, 0.5 * 1.995_262), (12.0, 1.0)] {
            let (out, n_clipped) = through(FrontOptions { gain_db, ..left }, 16_000, &[&sound]);
            assert!((loudest(&out) - height).abs() < 1e-4, "{gain_db} dB");
            // A sine of twice the full scale is beyond it for two thirds of the time.
            let share = n_clipped as f32 / out.len() as f32;
            let beyond = if gain_db > 10.0 { 0.664 } else { 0.0 };
            assert!(
                (share - beyond).abs() < 0.02,
                "{gain_db} dB: {share} clipped"
            );
        }
    }

    #[test]
    fn what_is_no_sound_becomes_silence() {
        let (out, n_clipped) = through(SHAPED, 48_000, &[&[f32::NAN; 9_600]]);
        assert_eq!((out, n_clipped), (vec![0.0; 1_600], 0));
    }
}

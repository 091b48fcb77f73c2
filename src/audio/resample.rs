//! One sample rate to another, mono, as a stream: any to 16 kHz for what is heard, and to a device's for
//! what is played.
//!
//! In: samples at the source's rate, in pieces of any size. Out: samples at the wanted rate, the same
//! ones however the input was cut. Runs on the front thread, where a file is read or where something is
//! played; allocates in [`Resampler::between`] only (the caller's output vector aside). It never shifts the signal: the
//! filter's delay is cut from the start and made up for at the end.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use super::{AudioError, MAX_RATE_HZ, MIN_RATE_HZ};
use crate::dsp::SAMPLE_RATE_HZ;

/// Length of the anti-aliasing filter in samples of the lower rate: 20 ms at 16 kHz. Its
/// passband ends near 7.3 kHz, and a live stream waits one and a half times as long for its samples.
const FILTER_SAMPLES: usize = 320;

/// Blocks of at least this many samples need no even count; see [`block_samples`].
const LONG_BLOCK_SAMPLES: usize = 65_536;

/// A streaming converter from one rate to another.
pub struct Resampler {
    rate_in_hz: u32,
    rate_out_hz: u32,
    n_in: u64,
    n_out: u64,
    /// `None` between equal rates: samples pass through untouched.
    engine: Option<Engine>,
}

/// The converter proper: whole blocks in, whole blocks out.
struct Engine {
    fft: Fft<f32>,
    /// Input waiting for its block to fill.
    pending: Vec<f32>,
    n_block_in: usize,
    block_out: Vec<f32>,
    /// Output still to be dropped because it precedes the first input sample.
    n_skip: usize,
}

impl Resampler {
    /// A converter from `rate_in_hz`, which must lie in [`MIN_RATE_HZ`]`..=`[`MAX_RATE_HZ`], to
    /// 16 kHz.
    pub fn new(rate_in_hz: u32) -> Result<Self, AudioError> {
        Resampler::between(rate_in_hz, SAMPLE_RATE_HZ)
    }

    /// A converter from one rate to another, both in [`MIN_RATE_HZ`]`..=`[`MAX_RATE_HZ`].
    pub fn between(rate_in_hz: u32, rate_out_hz: u32) -> Result<Self, AudioError> {
        let bad_rate = |rate_hz| AudioError::Rate {
            origin: "the audio source".into(),
            rate_hz,
        };
        for rate_hz in [rate_in_hz, rate_out_hz] {
            if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz) {
                return Err(bad_rate(rate_hz));
            }
        }
        let engine = if rate_in_hz == rate_out_hz {
            None
        } else {
            let engine = Engine::new(rate_in_hz, rate_out_hz);
            Some(engine.ok_or_else(|| bad_rate(rate_in_hz))?)
        };
        Ok(Resampler {
            rate_in_hz,
            rate_out_hz,
            n_in: 0,
            n_out: 0,
            engine,
        })
    }

    /// The rate of the input.
    pub fn rate_in_hz(&self) -> u32 {
        self.rate_in_hz
    }

    /// Takes any number of samples and appends those that are ready at the wanted rate to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.n_in += samples.len() as u64;
        let n_before = out.len();
        match &mut self.engine {
            None => out.extend_from_slice(samples),
            Some(engine) => engine.push(samples, out),
        }
        self.n_out += (out.len() - n_before) as u64;
    }

    /// Ends the stream: appends what is still inside, so that all calls together gave
    /// `round(n_in * rate_out / rate_in)` samples, and makes ready for another stream.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        if let Some(engine) = &mut self.engine {
            let rate = u64::from(self.rate_in_hz);
            let n_total = (self.n_in * u64::from(self.rate_out_hz) * 2 + rate) / (rate * 2);
            let mut n_missing = n_total.saturating_sub(self.n_out) as usize;
            while n_missing > 0 {
                let n_before = out.len();
                engine.pad_block(out);
                let n_new = out.len() - n_before;
                out.truncate(n_before + n_new.min(n_missing));
                n_missing -= n_new.min(n_missing);
            }
        }
        self.reset();
    }

    /// Forgets the stream so far; afterwards equal to a new one.
    pub fn reset(&mut self) {
        self.n_in = 0;
        self.n_out = 0;
        if let Some(engine) = &mut self.engine {
            engine.reset();
        }
    }
}

impl Engine {
    fn new(rate_in_hz: u32, rate_out_hz: u32) -> Option<Self> {
        let (rate_in, rate_out) = (rate_in_hz as usize, rate_out_hz as usize);
        let n_block_in = block_samples(rate_in, rate_out);
        let fft = Fft::new(rate_in, rate_out, n_block_in, 1, FixedSync::Both).ok()?;
        Some(Engine {
            n_block_in: fft.input_frames_next(),
            pending: Vec::with_capacity(fft.input_frames_next()),
            block_out: vec![0.0; fft.output_frames_next()],
            n_skip: fft.output_delay(),
            fft,
        })
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.pending.clear();
        self.n_skip = self.fft.output_delay();
    }

    fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) {
        while !samples.is_empty() {
            let n_free = self.n_block_in - self.pending.len();
            let (head, rest) = samples.split_at(n_free.min(samples.len()));
            self.pending.extend_from_slice(head);
            samples = rest;
            if self.pending.len() == self.n_block_in {
                self.block(out);
            }
        }
    }

    fn pad_block(&mut self, out: &mut Vec<f32>) {
        self.pending.resize(self.n_block_in, 0.0);
        self.block(out);
    }

    /// Converts the full `pending` block.
    fn block(&mut self, out: &mut Vec<f32>) {
        let n_block_out = self.block_out.len();
        // Both sizes are those the converter itself named, so that neither wrapper nor
        // conversion can refuse them.
        let source = InterleavedSlice::new(&self.pending[..], 1, self.n_block_in)
            .expect("the input block has the length asked for");
        let mut sink = InterleavedSlice::new_mut(&mut self.block_out[..], 1, n_block_out)
            .expect("the output block has the length asked for");
        self.fft
            .process_into_buffer(&source, &mut sink, None)
            .expect("the blocks have the lengths asked for");
        self.pending.clear();
        let n_skip = self.n_skip.min(n_block_out);
        self.n_skip -= n_skip;
        out.extend_from_slice(&self.block_out[n_skip..]);
    }
}

/// Input samples a block: the shortest multiple of the ratio's period that gives the filter its
/// length. The count of periods is even, so that the filter's centre falls on a sample of both
/// rates and the delay is exact; where the period itself is long that matters less than memory.
fn block_samples(rate_in: usize, rate_out: usize) -> usize {
    let divisor = gcd(rate_in, rate_out);
    let (period_in, period_out) = (rate_in / divisor, rate_out / divisor);
    let n_periods = FILTER_SAMPLES.div_ceil(period_in.min(period_out));
    if period_in.max(period_out) >= LONG_BLOCK_SAMPLES {
        n_periods * period_in
    } else {
        n_periods.next_multiple_of(2) * period_in
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Rates of sound cards and recordings, and one that shares no factor with 16 kHz.
    const RATES_HZ: [u32; 12] = [
        8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_056, 44_100, 48_000, 88_200, 96_000,
        15_991,
    ];

    fn sine(rate_hz: u32, f_hz: f64, n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| (TAU * f_hz * i as f64 / f64::from(rate_hz)).sin() as f32)
            .collect()
    }

    fn resample(rate_hz: u32, samples: &[f32]) -> Vec<f32> {
        let mut resampler = Resampler::new(rate_hz).unwrap();
        let mut out = Vec::new();
        resampler.push(samples, &mut out);
        resampler.flush(&mut out);
        out
    }

    fn rms_db(samples: &[f32]) -> f64 {
        let power: f64 = samples.iter().map(|&x| f64::from(x).powi(2)).sum();
        10.0 * (power / samples.len() as f64).log10()
    }

    #[test]
    fn length_is_exact() {
        for rate_hz in RATES_HZ {
            for n in [0, 1, 2, 159, 160, 441, 1_000, 44_101] {
                let expected = (n as f64 * 16_000.0 / f64::from(rate_hz)).round() as usize;
                let out = resample(rate_hz, &vec![0.1; n]);
                assert_eq!(out.len(), expected, "{n} samples at {rate_hz} Hz");
            }
        }
    }

    #[test]
    fn any_split_gives_the_same_samples() {
        for rate_hz in RATES_HZ {
            let input = sine(rate_hz, 440.0, 2 * rate_hz as usize / 3);
            let whole = resample(rate_hz, &input);
            let mut resampler = Resampler::new(rate_hz).unwrap();
            let mut out = Vec::new();
            let mut rest = &input[..];
            for step in [1, 7, 160, 0, 441, 3_000, 1_013].iter().cycle() {
                let (head, tail) = rest.split_at(rest.len().min(*step));
                resampler.push(head, &mut out);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            resampler.flush(&mut out);
            assert!(out == whole, "{rate_hz} Hz");
            // Flushed is as good as new.
            let mut again = Vec::new();
            resampler.push(&input, &mut again);
            resampler.flush(&mut again);
            assert!(again == whole, "{rate_hz} Hz, second stream");
        }
    }

    #[test]
    fn signal_keeps_its_time_and_shape() {
        for rate_hz in RATES_HZ {
            let f_hz = 997.0;
            let out = resample(rate_hz, &sine(rate_hz, f_hz, rate_hz as usize));
            let expected = sine(16_000, f_hz, 16_000);
            // The ends of a sine that begins from nothing are not band-limited.
            let error: Vec<f32> = out[1_600..14_400]
                .iter()
                .zip(&expected[1_600..14_400])
                .map(|(a, b)| a - b)
                .collect();
            let error_db = rms_db(&error) - rms_db(&expected);
            assert!(error_db < -80.0, "{rate_hz} Hz: error {error_db:.1} dB");
        }
    }

    #[test]
    fn passes_speech_and_rejects_aliases() {
        for rate_hz in RATES_HZ {
            let nyquist_hz = f64::from(rate_hz.min(16_000)) / 2.0;
            let edge_hz = 0.9 * nyquist_hz;
            let out = resample(rate_hz, &sine(rate_hz, edge_hz, rate_hz as usize));
            let level_db = rms_db(&out[1_600..14_400]) + 3.0103;
            assert!(
                level_db.abs() < 0.2,
                "{rate_hz} Hz: {edge_hz} Hz at {level_db:.2} dB"
            );
            for f_hz in [
                8_001.0, 8_100.0, 9_000.0, 11_900.0, 15_990.0, 21_000.0, 40_000.0,
            ] {
                if f_hz >= f64::from(rate_hz) / 2.0 {
                    break;
                }
                let out = resample(rate_hz, &sine(rate_hz, f_hz, rate_hz as usize));
                let alias_db = rms_db(&out[1_600..14_400]) + 3.0103;
                assert!(
                    alias_db < -80.0,
                    "{rate_hz} Hz: {f_hz} Hz leaks {alias_db:.1} dB"
                );
            }
        }
    }

    #[test]
    fn sixteen_kilohertz_is_untouched() {
        let input = sine(16_000, 7_900.0, 5_003);
        assert!(resample(16_000, &input) == input);
    }

    #[test]
    fn other_rates_than_sixteen_kilohertz_come_out() {
        for (rate_in_hz, rate_out_hz) in [
            (22_050, 48_000),
            (24_000, 44_100),
            (48_000, 8_000),
            (16_000, 96_000),
        ] {
            let mut resampler = Resampler::between(rate_in_hz, rate_out_hz).unwrap();
            let mut out = Vec::new();
            let input = sine(rate_in_hz, 997.0, rate_in_hz as usize / 2);
            resampler.push(&input, &mut out);
            resampler.flush(&mut out);
            assert_eq!(out.len(), rate_out_hz as usize / 2);
            let expected = sine(rate_out_hz, 997.0, out.len());
            let n_edge = out.len() / 10;
            let inner = n_edge..out.len() - n_edge;
            let error: Vec<f32> = out[inner.clone()]
                .iter()
                .zip(&expected[inner])
                .map(|(a, b)| a - b)
                .collect();
            let error_db = rms_db(&error) - rms_db(&expected);
            assert!(
                error_db < -80.0,
                "{rate_in_hz} to {rate_out_hz}: {error_db:.1} dB"
            );
        }
        assert!(Resampler::between(16_000, 0).is_err());
    }

    #[test]
    fn absurd_rates_are_refused() {
        for rate_hz in [0, 1, 999, 384_001, u32::MAX] {
            assert!(matches!(
                Resampler::new(rate_hz),
                Err(AudioError::Rate { .. })
            ));
        }
    }
}

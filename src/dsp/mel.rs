//! The log-mel spectrogram, column by column as the samples come in.
//!
//! Enters: samples in pieces of any length. Leaves: one column of `n_mels` values per
//! [`HOP_SAMPLES`], `log10` of the energy in each mel band. Bounded memory however long the
//! signal; every column is computed from its own 400 samples alone, so that no split of the input
//! changes a bit of it. The definition is that of OpenAI's Whisper (`audio.py`: centred frames,
//! reflect padding, periodic Hann window, power spectrum, Slaney filters); its clamp to eight
//! decades below the loudest value needs the whole window and is applied later by [`normalise`].

use std::f32::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::filters::FilterBank;
use super::{HOP_SAMPLES, N_BINS, N_FFT};

/// Half a window: how far a centred frame reaches before and after its centre.
const HALF: usize = N_FFT / 2;
/// Energies below this count as this: columns of digital silence are −10.
const POWER_FLOOR: f32 = 1e-10;
/// Samples the stream holds at most: two frames and what a block adds.
const CAPACITY_SAMPLES: usize = 4096;

/// Turns a stream of samples into raw log-mel columns.
///
/// Frame `i` is centred on sample `160·i`. Before the first sample and after the last one the
/// signal is continued by its mirror image; a signal of `n` samples has `n / 160` frames.
/// Allocates in [`MelStream::new`] only.
pub struct MelStream {
    spectrum: Spectrum,
    filters: FilterBank,
    /// The samples from the next frame's first on; before [`Self::started`], from sample 0 on.
    held: Vec<f32>,
    /// Whether the mirror image before the first sample has been put in front.
    started: bool,
    /// Samples pushed since the start.
    n_pushed: u64,
    /// Frames written since the start.
    n_written: u64,
}

impl MelStream {
    /// A stream of columns with `n_mels` values each (80, or 128 for large-v3 and turbo).
    pub fn new(n_mels: usize) -> Self {
        MelStream {
            spectrum: Spectrum::new(),
            filters: FilterBank::new(n_mels),
            held: Vec::with_capacity(CAPACITY_SAMPLES),
            started: false,
            n_pushed: 0,
            n_written: 0,
        }
    }

    /// Values per column.
    pub fn n_mels(&self) -> usize {
        self.filters.n_mels()
    }

    /// Takes `samples` and appends to `out` every column they complete, `[frame][n_mels]`, raw:
    /// `log10(max(energy, 1e-10))`, not clamped. A column waits until the 200 samples after its
    /// centre are there. Values that are not finite are taken as silence or as the largest energy.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        // In blocks, so that the held samples stay within their capacity.
        for block in samples.chunks(CAPACITY_SAMPLES - 2 * N_FFT) {
            self.held.extend_from_slice(block);
            self.n_pushed += block.len() as u64;
            if !self.started && self.held.len() > HALF {
                self.start();
            }
            if self.started {
                self.write_complete_frames(out);
            }
        }
    }

    /// Ends the signal: appends the columns that reach beyond its last sample, so that
    /// `n_samples / 160` have been written in all. The stream is then as new.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        let n_frames = self.n_pushed / HOP_SAMPLES as u64;
        if self.started {
            // The mirror image never reaches back further than the held samples: an unwritten
            // frame lacks at most 40 of its own.
            let end = self.held.len();
            while self.n_written < n_frames {
                let n_missing = N_FFT.saturating_sub(self.held.len());
                self.held.extend((0..n_missing).map(|_| 0.0));
                for k in 0..n_missing {
                    self.held[end + k] = self.held[end - 2 - k];
                }
                self.write_complete_frames(out);
            }
        } else if n_frames > 0 {
            // 160 to 200 samples: a single frame, which reaches beyond both ends.
            let mut frame = [0.0; N_FFT];
            for (i, x) in frame.iter_mut().enumerate() {
                *x = self.held[mirrored(i as isize - HALF as isize, self.held.len())];
            }
            self.write_frame(&frame, out);
        }
        self.reset();
    }

    /// Forgets everything pushed: the next sample is the first of a new signal.
    pub fn reset(&mut self) {
        self.held.clear();
        self.started = false;
        self.n_pushed = 0;
        self.n_written = 0;
    }

    /// Puts the mirror image of samples 1 to 200 in front of sample 0.
    fn start(&mut self) {
        let n_held = self.held.len();
        self.held.resize(n_held + HALF, 0.0);
        self.held.copy_within(..n_held, HALF);
        for k in 1..=HALF {
            self.held[HALF - k] = self.held[HALF + k];
        }
        self.started = true;
    }

    /// Writes all frames whose samples are held and lets go of what no later frame needs.
    fn write_complete_frames(&mut self, out: &mut Vec<f32>) {
        let mut begin = 0;
        while begin + N_FFT <= self.held.len() {
            let mut frame = [0.0; N_FFT];
            frame.copy_from_slice(&self.held[begin..begin + N_FFT]);
            self.write_frame(&frame, out);
            begin += HOP_SAMPLES;
        }
        self.held.drain(..begin);
    }

    /// Appends the column of one frame of samples.
    fn write_frame(&mut self, frame: &[f32; N_FFT], out: &mut Vec<f32>) {
        let power = self.spectrum.power(frame);
        // `max`, unlike `clamp`, also turns NaN into the floor.
        let at_least_floor = self
            .filters
            .apply(power)
            .map(|energy| energy.max(POWER_FLOOR));
        out.extend(at_least_floor.map(|energy| energy.min(f32::MAX).log10()));
        self.n_written += 1;
    }
}

/// The power spectrum of a windowed frame, with the buffers that takes.
struct Spectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    /// Periodic Hann window.
    window: [f32; N_FFT],
    windowed: [f32; N_FFT],
    bins: [Complex<f32>; N_BINS],
    scratch: Vec<Complex<f32>>,
    power: [f32; N_BINS],
}

impl Spectrum {
    fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(N_FFT);
        let hann = |i: usize| (PI * i as f32 / N_FFT as f32).sin().powi(2);
        Spectrum {
            window: std::array::from_fn(hann),
            windowed: [0.0; N_FFT],
            bins: [Complex::default(); N_BINS],
            scratch: fft.make_scratch_vec(),
            power: [0.0; N_BINS],
            fft,
        }
    }

    /// |FFT(window · frame)|², one value per bin.
    fn power(&mut self, frame: &[f32; N_FFT]) -> &[f32; N_BINS] {
        for ((y, x), w) in self.windowed.iter_mut().zip(frame).zip(&self.window) {
            *y = x * w;
        }
        self.fft
            .process_with_scratch(&mut self.windowed, &mut self.bins, &mut self.scratch)
            .expect("the buffers have the plan's lengths");
        for (p, bin) in self.power.iter_mut().zip(&self.bins) {
            *p = bin.norm_sqr();
        }
        &self.power
    }
}

/// The index within `0..n` that a signal mirrored at both of its end samples shows at `i`.
fn mirrored(i: isize, n: usize) -> usize {
    let period = (2 * n as isize - 2).max(1);
    let i = i.rem_euclid(period);
    i.min(period - i).clamp(0, n as isize - 1) as usize
}

/// The raw log-mel columns of a whole signal, `[n_samples / 160][n_mels]`, as
/// [`MelStream::push`] and [`MelStream::flush`] give them. Allocates the result.
pub fn log_mel(samples: &[f32], n_mels: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(samples.len() / HOP_SAMPLES * n_mels);
    let mut stream = MelStream::new(n_mels);
    stream.push(samples, &mut out);
    stream.flush(&mut out);
    out
}

/// Brings raw columns to the range the model was trained on: `(max(x, max − 8) + 4) / 4`, where
/// `max` is the largest raw value of the window the model sees. `raw` and `out` have one length.
pub fn normalise(raw: &[f32], max: f32, out: &mut [f32]) {
    assert_eq!(
        raw.len(),
        out.len(),
        "normalise writes one value per raw value"
    );
    let floor = max - 8.0;
    for (y, x) in out.iter_mut().zip(raw) {
        *y = (x.max(floor) + 4.0) * 0.25;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dsp::golden;

    /// The signal of the golden files: the same integers as in `make_mel.py`.
    fn formula_signal(n: usize) -> Vec<f32> {
        let (mut phase, mut step, mut noise) = (0_u32, 300_u32, 12345_u32);
        let mut next = |i: usize| {
            step += u32::from(i.is_multiple_of(8));
            phase = (phase + step) % 65536;
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let saw = (phase as i32 - 32768).div_euclid(4);
            let hiss = ((noise >> 16) as i32 - 32768).div_euclid(64);
            (saw + hiss) as f32 / 32768.0
        };
        (0..n).map(&mut next).collect()
    }

    fn normalised(raw: &[f32]) -> Vec<f32> {
        let max = raw.iter().copied().fold(f32::MIN, f32::max);
        let mut out = vec![f32::NAN; raw.len()];
        normalise(raw, max, &mut out);
        out
    }

    /// Largest difference after normalisation; the lengths must agree.
    fn error(ours: &[f32], golden: &[f32]) -> f32 {
        assert_eq!(ours.len(), golden.len());
        let pairs = normalised(ours).into_iter().zip(normalised(golden));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    fn in_pieces(samples: &[f32], n_mels: usize, lengths: &[usize]) -> Vec<f32> {
        let (mut stream, mut out) = (MelStream::new(n_mels), Vec::new());
        let (mut rest, mut lengths) = (samples, lengths.iter().cycle());
        while !rest.is_empty() {
            let n = lengths.next().map_or(rest.len(), |&n| n.min(rest.len()));
            stream.push(&rest[..n], &mut out);
            rest = &rest[n..];
        }
        stream.flush(&mut out);
        out
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn agrees_with_the_reference() {
        let formula = formula_signal(8057);
        let speech = golden::speech_a();
        let cases: [(&[f32], usize, &[u8]); 3] = [
            (
                &formula,
                80,
                include_bytes!("../../tests/golden/mel_formula_80.f32"),
            ),
            (
                &formula,
                128,
                include_bytes!("../../tests/golden/mel_formula_128.f32"),
            ),
            (
                &speech[..16000],
                80,
                include_bytes!("../../tests/golden/mel_speech_80.f32"),
            ),
        ];
        for (samples, n_mels, expected) in cases {
            let off = error(&log_mel(samples, n_mels), &golden::f32s(expected));
            println!("{n_mels} mels, {} samples: off by {off:.1e}", samples.len());
            assert!(off <= 1e-4, "{n_mels} mels: off by {off}");
        }
    }

    #[test]
    fn number_of_frames_is_samples_over_hop() {
        for n in [
            0, 1, 100, 159, 160, 199, 200, 201, 319, 320, 360, 399, 400, 401, 4096, 16_057,
        ] {
            let columns = log_mel(&formula_signal(n), 80);
            assert_eq!(columns.len(), n / HOP_SAMPLES * 80, "{n} samples");
            assert!(columns.iter().all(|x| x.is_finite()));
        }
    }

    /// Against a plain statement of the padding, at lengths around half a window.
    #[test]
    fn edges_are_mirrored() {
        for n in [160, 199, 200, 201, 202, 320, 321, 359, 360, 500] {
            let samples = formula_signal(n);
            let mut plain = MelStream::new(80);
            let mut expected = Vec::new();
            for frame in 0..n / HOP_SAMPLES {
                let start = (frame * HOP_SAMPLES) as isize - HALF as isize;
                let window: [f32; N_FFT] = std::array::from_fn(|k| {
                    let (mut i, last) = (start + k as isize, n as isize - 1);
                    while !(0..=last).contains(&i) {
                        i = if i < 0 { -i } else { 2 * last - i };
                    }
                    samples[i as usize]
                });
                plain.write_frame(&window, &mut expected);
            }
            assert_eq!(bits(&log_mel(&samples, 80)), bits(&expected), "{n} samples");
        }
    }

    #[test]
    fn silence_is_the_floor() {
        assert!(log_mel(&[0.0; 1600], 80).iter().all(|&x| x == -10.0));
    }

    #[test]
    fn hostile_samples_give_finite_columns() {
        for bad in [f32::NAN, f32::INFINITY, f32::MIN, f32::MAX] {
            let mut samples = formula_signal(3200);
            samples[1000] = bad;
            let columns = log_mel(&samples, 80);
            assert!(columns.iter().all(|x| x.is_finite()), "{bad}");
            // The damage stays within the frames that contain the sample.
            let clean = log_mel(&formula_signal(3200), 80);
            assert_eq!(columns[9 * 80..], clean[9 * 80..], "{bad}");
        }
    }

    #[test]
    fn reset_and_flush_leave_a_new_stream() {
        let samples = formula_signal(5000);
        let expected = log_mel(&samples, 80);
        let mut stream = MelStream::new(80);
        let mut out = Vec::new();
        stream.push(&samples[..777], &mut out);
        stream.reset();
        for _ in 0..2 {
            out.clear();
            stream.push(&samples, &mut out);
            stream.flush(&mut out);
            assert_eq!(bits(&out), bits(&expected));
        }
    }

    #[test]
    fn held_samples_stay_within_their_capacity() {
        let mut stream = MelStream::new(80);
        let (capacity, mut out) = (stream.held.capacity(), Vec::new());
        stream.push(&formula_signal(100_000), &mut out);
        stream.push(&formula_signal(7), &mut out);
        assert_eq!(stream.held.capacity(), capacity);
    }

    #[test]
    fn normalise_clamps_eight_decades_below_the_peak() {
        let mut out = [f32::NAN; 3];
        normalise(&[1.0, -6.0, -9.0], 1.0, &mut out);
        assert_eq!(out, [1.25, -0.5, -0.75]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_bits(
            n in 0_usize..6000,
            lengths in prop::collection::vec(1_usize..1500, 1..8),
        ) {
            let samples = formula_signal(n);
            let whole = log_mel(&samples, 80);
            prop_assert_eq!(bits(&in_pieces(&samples, 80, &lengths)), bits(&whole));
        }
    }

    #[test]
    fn one_sample_at_a_time_gives_the_same_bits() {
        let samples = formula_signal(1111);
        assert_eq!(
            bits(&in_pieces(&samples, 128, &[1])),
            bits(&log_mel(&samples, 128))
        );
    }
}

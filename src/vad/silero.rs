//! The probability of speech, by the Silero VAD v6 network for 16 kHz.
//!
//! Enters: windows of 512 samples in order. Leaves: one probability per window. The weights
//! (`models/silero`, MIT licence) are part of the program. The network, from the published graph:
//!
//! ```text
//! 64 samples of context + 512, mirrored by 64 at the end      [640]
//! magnitude spectra: 4 frames of 256, hop 128                 [4, 129]
//! convolutions over 3 frames, each with ReLU                  [4, 128] → [2, 64] → [1, 64] → [1, 128]
//! LSTM cell of 128                                            [128]
//! ReLU, one output, sigmoid                                   probability
//! ```
//!
//! About 0.35 million multiplications a window. Allocates at construction only; never panics on
//! what the samples hold.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::WINDOW_SAMPLES;
use super::weights::Weights;
use crate::kernels::{Cpu, dot_f32};

/// Samples of the window before that the network sees again.
const CONTEXT_SAMPLES: usize = 64;
/// Samples after the window, made up as its mirror image.
const MIRROR_SAMPLES: usize = 64;
const INPUT_SAMPLES: usize = CONTEXT_SAMPLES + WINDOW_SAMPLES + MIRROR_SAMPLES;

const N_FFT: usize = 256;
const HOP_SAMPLES: usize = 128;
const N_BINS: usize = N_FFT / 2 + 1;
const N_FRAMES: usize = (INPUT_SAMPLES - N_FFT) / HOP_SAMPLES + 1;

/// Taps of a convolution: a frame and its two neighbours.
const N_TAPS: usize = 3;
/// Width of the LSTM's state.
const N_STATE: usize = 128;
/// Most values between two layers.
const MAX_ACTIVATIONS: usize = N_FRAMES * N_BINS;

/// The speech detector: weights, state and buffers of one stream of audio.
pub struct Vad {
    cpu: Cpu,
    spectrum: Spectrum,
    convolutions: [Convolution; 4],
    lstm: LstmCell,
    /// Weights of the output, `[N_STATE]`, and its bias.
    output: (Vec<f32>, f32),
    /// `[context, window, mirror]`.
    input: [f32; INPUT_SAMPLES],
    /// What goes into a layer and what comes out, frame-major.
    activations: [[f32; MAX_ACTIVATIONS]; 2],
}

impl Vad {
    /// A detector that has heard nothing, computing with the kernels of `cpu`.
    pub fn new(cpu: Cpu) -> Self {
        let weights = Weights::embedded();
        let convolution = |layer, stride| Convolution::new(&weights, layer, stride);
        Vad {
            cpu,
            spectrum: Spectrum::new(&weights),
            convolutions: [
                convolution("conv1", 1),
                convolution("conv2", 2),
                convolution("conv3", 2),
                convolution("conv4", 1),
            ],
            lstm: LstmCell::new(&weights),
            output: (
                weights.tensor("final_conv.weight", &[1, N_STATE, 1]),
                weights.tensor("final_conv.bias", &[1])[0],
            ),
            input: [0.0; INPUT_SAMPLES],
            activations: [[0.0; MAX_ACTIVATIONS]; 2],
        }
    }

    /// The probability (0…1) that the next `window` of 512 samples holds speech.
    ///
    /// Samples beyond −1…1 are clipped and those that are not numbers count as silence, so that a
    /// broken one cannot stay in the state.
    pub fn push(&mut self, window: &[f32]) -> f32 {
        self.take(window);
        let [a, b] = &mut self.activations;
        let mut n = self.spectrum.magnitudes(&self.input, a);
        let (mut x, mut y) = (a, b);
        for convolution in &self.convolutions {
            n = convolution.forward(self.cpu, &x[..n], y);
            std::mem::swap(&mut x, &mut y);
        }
        let hidden = self.lstm.step(self.cpu, &x[..n]);
        for (r, h) in y.iter_mut().zip(hidden) {
            *r = h.max(0.0);
        }
        let (weights, bias) = &self.output;
        sigmoid(dot_f32(self.cpu, weights, &y[..N_STATE]) + bias)
    }

    /// Lets `window` pass unjudged: the state stays as it is, and the next window still finds its
    /// context. For audio known to be silent, when the state has settled on silence.
    pub fn skip(&mut self, window: &[f32]) {
        self.take(window);
    }

    /// Forgets everything heard.
    pub fn reset(&mut self) {
        self.input.fill(0.0);
        self.lstm.reset();
    }

    /// Moves the end of the last window into the context and puts `window` after it.
    fn take(&mut self, window: &[f32]) {
        assert_eq!(
            window.len(),
            WINDOW_SAMPLES,
            "the detector takes windows of 512 samples"
        );
        self.input
            .copy_within(WINDOW_SAMPLES..WINDOW_SAMPLES + CONTEXT_SAMPLES, 0);
        for (x, &sample) in self.input[CONTEXT_SAMPLES..].iter_mut().zip(window) {
            *x = if sample.is_nan() {
                0.0
            } else {
                sample.clamp(-1.0, 1.0)
            };
        }
        let end = CONTEXT_SAMPLES + WINDOW_SAMPLES;
        for k in 0..MIRROR_SAMPLES {
            self.input[end + k] = self.input[end - 2 - k];
        }
    }
}

/// Magnitude spectra under the file's window (Hann). The published graph holds the transform as a
/// convolution.
struct Spectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; N_FFT],
    windowed: [f32; N_FFT],
    bins: [Complex<f32>; N_BINS],
    scratch: Vec<Complex<f32>>,
}

impl Spectrum {
    fn new(weights: &Weights) -> Self {
        let window = weights.tensor("stft.window", &[N_FFT]);
        let fft = RealFftPlanner::new().plan_fft_forward(N_FFT);
        Spectrum {
            window: std::array::from_fn(|i| window[i]),
            windowed: [0.0; N_FFT],
            bins: [Complex::default(); N_BINS],
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// Writes `[N_FRAMES][N_BINS]`; returns how many values that is.
    fn magnitudes(&mut self, input: &[f32; INPUT_SAMPLES], out: &mut [f32]) -> usize {
        for (frame, row) in out.chunks_exact_mut(N_BINS).enumerate() {
            let samples = &input[frame * HOP_SAMPLES..][..N_FFT];
            for ((y, x), w) in self.windowed.iter_mut().zip(samples).zip(&self.window) {
                *y = x * w;
            }
            self.fft
                .process_with_scratch(&mut self.windowed, &mut self.bins, &mut self.scratch)
                .expect("the buffers have the plan's lengths");
            for (y, bin) in row.iter_mut().zip(&self.bins) {
                *y = bin.norm_sqr().sqrt();
            }
        }
        N_FRAMES * N_BINS
    }
}

/// A convolution over three frames with zeros beyond both ends, and ReLU.
struct Convolution {
    /// `[n_out][tap][n_in]`: the frames a tap pattern covers lie side by side in the input, so
    /// that one output is one dot product.
    weights: Vec<f32>,
    bias: Vec<f32>,
    n_in: usize,
    stride: usize,
}

impl Convolution {
    /// `layer` of the file, where its weights are `[n_out][n_in][tap]`.
    fn new(file: &Weights, layer: &str, stride: usize) -> Self {
        let name = format!("{layer}.weight");
        let (n_out, n_in) = (file.shape(&name)[0], file.shape(&name)[1]);
        let stored = file.tensor(&name, &[n_out, n_in, N_TAPS]);
        let mut weights = Vec::with_capacity(stored.len());
        for row in stored.chunks_exact(n_in * N_TAPS) {
            for tap in 0..N_TAPS {
                weights.extend(row.iter().skip(tap).step_by(N_TAPS));
            }
        }
        let bias = file.tensor(&format!("{layer}.bias"), &[n_out]);
        Convolution {
            weights,
            bias,
            n_in,
            stride,
        }
    }

    /// From `x` `[n_frames][n_in]` to `out` `[n_frames / stride, rounded up][n_out]`; returns how
    /// many values were written.
    fn forward(&self, cpu: Cpu, x: &[f32], out: &mut [f32]) -> usize {
        let (n_frames, n_out) = (x.len() / self.n_in, self.bias.len());
        let n_frames_out = n_frames.div_ceil(self.stride);
        let rows = self.weights.chunks_exact(N_TAPS * self.n_in);
        for (o, (row, bias)) in rows.zip(&self.bias).enumerate() {
            for t in 0..n_frames_out {
                let centre = t * self.stride;
                // Taps on the zeros beyond the ends are left out.
                let first = centre.saturating_sub(1);
                let last = (centre + 1).min(n_frames - 1);
                let taps = (first + 1 - centre) * self.n_in..(last + 2 - centre) * self.n_in;
                let frames = first * self.n_in..(last + 1) * self.n_in;
                let sum = dot_f32(cpu, &row[taps], &x[frames]) + bias;
                out[t * n_out + o] = sum.max(0.0);
            }
        }
        n_frames_out * n_out
    }
}

/// A cell of long short-term memory (Hochreiter and Schmidhuber 1997, with a forget gate).
struct LstmCell {
    /// `[4][N_STATE][input N_STATE, hidden N_STATE]`, gates in the order input, forget, candidate,
    /// output.
    weights: Vec<f32>,
    /// `[4][N_STATE]`, the sum of the file's two.
    bias: Vec<f32>,
    /// Input and hidden state side by side.
    joined: [f32; 2 * N_STATE],
    cell: [f32; N_STATE],
    gates: [f32; 4 * N_STATE],
}

impl LstmCell {
    fn new(file: &Weights) -> Self {
        let tensor = |name: &str, shape: &[usize]| file.tensor(&format!("lstm_cell.{name}"), shape);
        let from_input = tensor("weight_ih", &[4 * N_STATE, N_STATE]);
        let from_hidden = tensor("weight_hh", &[4 * N_STATE, N_STATE]);
        let rows = from_input
            .chunks_exact(N_STATE)
            .zip(from_hidden.chunks_exact(N_STATE));
        let bias_input = tensor("bias_ih", &[4 * N_STATE]);
        let bias_hidden = tensor("bias_hh", &[4 * N_STATE]);
        LstmCell {
            weights: rows.flat_map(|(i, h)| i.iter().chain(h)).copied().collect(),
            bias: bias_input
                .iter()
                .zip(&bias_hidden)
                .map(|(i, h)| i + h)
                .collect(),
            joined: [0.0; 2 * N_STATE],
            cell: [0.0; N_STATE],
            gates: [0.0; 4 * N_STATE],
        }
    }

    /// One step with `x` `[N_STATE]`; returns the new hidden state `[N_STATE]`.
    fn step(&mut self, cpu: Cpu, x: &[f32]) -> &[f32] {
        self.joined[..N_STATE].copy_from_slice(x);
        let rows = self.weights.chunks_exact(2 * N_STATE).zip(&self.bias);
        for (gate, (row, bias)) in self.gates.iter_mut().zip(rows) {
            *gate = dot_f32(cpu, row, &self.joined) + bias;
        }
        let hidden = &mut self.joined[N_STATE..];
        for (i, (h, c)) in hidden.iter_mut().zip(&mut self.cell).enumerate() {
            let [input, forget, candidate, output] =
                std::array::from_fn(|gate| self.gates[gate * N_STATE + i]);
            *c = sigmoid(forget) * *c + sigmoid(input) * candidate.tanh();
            *h = sigmoid(output) * c.tanh();
        }
        hidden
    }

    fn reset(&mut self) {
        self.joined.fill(0.0);
        self.cell.fill(0.0);
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::golden;

    fn probabilities(vad: &mut Vad, samples: &[f32]) -> Vec<f32> {
        samples
            .chunks_exact(WINDOW_SAMPLES)
            .map(|window| vad.push(window))
            .collect()
    }

    fn off_by(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    /// Both voices, half a second of silence between them, at a tenth of the volume.
    fn quiet() -> Vec<f32> {
        let joined = [golden::speech_a(), vec![0.0; 8000], golden::speech_b()].concat();
        joined.iter().map(|x| x * 0.1).collect()
    }

    #[test]
    fn agrees_with_the_published_graph_on_every_cpu_level() {
        let cases: [(Vec<f32>, &[u8]); 3] = [
            (
                golden::speech_a(),
                include_bytes!("../../tests/golden/vad_a.f32"),
            ),
            (
                golden::speech_b(),
                include_bytes!("../../tests/golden/vad_b.f32"),
            ),
            (quiet(), include_bytes!("../../tests/golden/vad_quiet.f32")),
        ];
        for cpu in Cpu::available() {
            let mut vad = Vad::new(cpu);
            for (samples, expected) in &cases {
                vad.reset();
                let off = off_by(&probabilities(&mut vad, samples), &golden::f32s(expected));
                println!("{}: off by {off:.1e}", cpu.name());
                assert!(off <= 1e-3, "{}: off by {off}", cpu.name());
            }
        }
    }

    #[test]
    fn reset_equals_new() {
        let speech = golden::speech_a();
        let mut vad = Vad::new(Cpu::detect());
        let first = probabilities(&mut vad, &speech);
        vad.reset();
        assert_eq!(probabilities(&mut vad, &speech), first);
        assert_ne!(
            probabilities(&mut vad, &speech),
            first,
            "state does not carry over"
        );
    }

    #[test]
    fn broken_samples_do_no_lasting_harm() {
        let speech = golden::speech_a();
        let mut vad = Vad::new(Cpu::detect());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            vad.push(&[bad; WINDOW_SAMPLES]);
            let after = probabilities(&mut vad, &speech);
            assert!(after.iter().all(|p| (0.0..=1.0).contains(p)), "{bad}");
            assert!(after.iter().any(|&p| p > 0.9), "{bad}: deaf");
        }
    }

    #[test]
    fn a_skipped_window_is_context_of_the_next() {
        let speech = golden::speech_a();
        let cpu = Cpu::detect();
        let (mut skipping, mut pushing) = (Vad::new(cpu), Vad::new(cpu));
        skipping.skip(&speech[..WINDOW_SAMPLES]);
        pushing.push(&speech[..WINDOW_SAMPLES]);
        assert_eq!(skipping.input, pushing.input);
        assert_eq!(skipping.lstm.cell, [0.0; N_STATE]);
    }
}

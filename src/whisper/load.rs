//! Whisper's layers from named tensors of a file.

use crate::format::{FormatError, WhisperFile};
use crate::kernels::Cpu;
use crate::nn::{self, Compute, Convolution, KvPrecision, LayerNorm, Linear, Weights};

/// Reads layers out of one file for one CPU.
pub(super) struct Loader<'a> {
    weights: nn::Loader<'a>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(file: &'a WhisperFile, cpu: Cpu, compute: Compute) -> Self {
        Loader {
            weights: nn::Loader::new(file, cpu, compute),
        }
    }

    /// What an encoder keeps keys and values in.
    pub(super) fn kv_precision(&self, d_head: usize) -> KvPrecision {
        KvPrecision::choose(self.weights.cpu(), self.weights.compute(), d_head)
    }

    /// A tensor as floats.
    pub(super) fn floats(&mut self, name: &str) -> Result<Vec<f32>, FormatError> {
        self.weights.floats(name)
    }

    pub(super) fn layer_norm(&mut self, name: &str) -> Result<LayerNorm, FormatError> {
        let gamma = self.floats(&format!("{name}.weight"))?;
        Ok(LayerNorm::new(gamma, self.floats(&format!("{name}.bias"))?))
    }

    /// A matrix `[n_out, n_in]`, packed.
    pub(super) fn matrix(
        &mut self,
        name: &str,
        n_out: usize,
        n_in: usize,
    ) -> Result<Weights, FormatError> {
        self.weights.matrix(name, n_out, n_in)
    }

    /// The linear layer `name` with its bias.
    pub(super) fn linear(
        &mut self,
        name: &str,
        n_out: usize,
        n_in: usize,
    ) -> Result<Linear, FormatError> {
        let weights = self.matrix(&format!("{name}.weight"), n_out, n_in)?;
        let bias = self.floats(&format!("{name}.bias"))?;
        Ok(Linear::new(weights, Some(bias)))
    }

    /// Several layers of one input as one, their outputs side by side; each is `[n_state, n_state]`.
    /// The key projection has no bias: zeros stand for it.
    pub(super) fn stacked(
        &mut self,
        prefix: &str,
        parts: &[&str],
        n_state: usize,
    ) -> Result<Linear, FormatError> {
        let n_out = parts.len() * n_state;
        let names: Vec<String> = parts
            .iter()
            .map(|part| format!("{prefix}.{part}.weight"))
            .collect();
        let weights = self.weights.stack(&names, n_out, n_state)?;
        let mut bias = Vec::with_capacity(n_out);
        for part in parts {
            if *part == "key" {
                bias.resize(bias.len() + n_state, 0.0);
            } else {
                bias.extend(self.floats(&format!("{prefix}.{part}.bias"))?);
            }
        }
        Ok(Linear::new(weights, Some(bias)))
    }

    /// A convolution of width 3: the weights `[n_out, n_in, 3]` become `[n_out, 3 * n_in]`, frame
    /// by frame.
    pub(super) fn convolution(
        &mut self,
        name: &str,
        n_out: usize,
        n_in: usize,
    ) -> Result<Convolution, FormatError> {
        let taps = self.floats(&format!("{name}.weight"))?;
        let mut w = vec![0.0; n_out * 3 * n_in];
        for (to, from) in w
            .chunks_exact_mut(3 * n_in)
            .zip(taps.chunks_exact(3 * n_in))
        {
            for (channel, taps) in from.chunks_exact(3).enumerate() {
                for (tap, value) in taps.iter().enumerate() {
                    to[tap * n_in + channel] = *value;
                }
            }
        }
        let bias = self.floats(&format!("{name}.bias"))?;
        Ok(Convolution::pack(
            self.weights.cpu(),
            self.weights.compute(),
            &w,
            bias,
        ))
    }
}

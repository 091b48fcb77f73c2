//! From named tensors of a file to packed layers, one tensor at a time, so that source and packed
//! weights are never both resident.

use crate::format::{FormatError, WhisperFile};
use crate::kernels::Cpu;
use crate::nn::{Compute, LayerNorm, Linear, Weights};

/// Reads layers out of one file for one CPU.
pub(super) struct Loader<'a> {
    file: &'a WhisperFile,
    cpu: Cpu,
    compute: Compute,
    /// Source values, reused from tensor to tensor.
    buffer: Vec<f32>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(file: &'a WhisperFile, cpu: Cpu, compute: Compute) -> Self {
        Loader {
            file,
            cpu,
            compute,
            buffer: Vec::new(),
        }
    }

    /// A tensor as floats.
    pub(super) fn floats(&mut self, name: &str) -> Result<Vec<f32>, FormatError> {
        let mut out = Vec::new();
        self.file.read(name, &mut out)?;
        self.check_finite(name, &out)?;
        Ok(out)
    }

    /// Reads a tensor as floats into the buffer.
    fn read(&mut self, name: &str) -> Result<(), FormatError> {
        self.file.read(name, &mut self.buffer)?;
        self.check_finite(name, &self.buffer)
    }

    /// One weight that is no number makes all results none: the text would be empty and nobody
    /// would know why.
    fn check_finite(&self, name: &str, values: &[f32]) -> Result<(), FormatError> {
        // Without a way out of the inner loop, it is vectorised.
        let all_finite = |part: &[f32]| part.iter().fold(true, |all, v| all & v.is_finite());
        if values.chunks(4096).all(all_finite) {
            return Ok(());
        }
        Err(FormatError::NotFinite {
            path: self.file.path().to_owned(),
            tensor: name.to_owned(),
        })
    }

    pub(super) fn layer_norm(&mut self, name: &str) -> Result<LayerNorm, FormatError> {
        let gamma = self.floats(&format!("{name}.weight"))?;
        Ok(LayerNorm::new(gamma, self.floats(&format!("{name}.bias"))?))
    }

    /// A matrix `[n_out, n_in]`, packed. Files that hold 8-bit rows keep them as they are.
    pub(super) fn matrix(
        &mut self,
        name: &str,
        n_out: usize,
        n_in: usize,
    ) -> Result<Weights, FormatError> {
        if self.compute == Compute::Int8
            && let Some((q, scale)) = self.file.read_i8(name)?
        {
            self.check_finite(name, &scale)?;
            let packed = crate::kernels::PackedI8::from_i8(self.cpu, &q, &scale, n_out, n_in);
            return Ok(Weights::I8(packed));
        }
        self.read(name)?;
        Ok(Weights::pack(
            self.cpu,
            self.compute,
            &self.buffer,
            n_out,
            n_in,
        ))
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
        let mut weights = Vec::with_capacity(parts.len() * n_state * n_state);
        let mut bias = Vec::with_capacity(parts.len() * n_state);
        for part in parts {
            self.read(&format!("{prefix}.{part}.weight"))?;
            weights.extend_from_slice(&self.buffer);
            if *part == "key" {
                bias.resize(bias.len() + n_state, 0.0);
            } else {
                bias.extend(self.floats(&format!("{prefix}.{part}.bias"))?);
            }
        }
        let n_out = parts.len() * n_state;
        let packed = Weights::pack(self.cpu, self.compute, &weights, n_out, n_state);
        Ok(Linear::new(packed, Some(bias)))
    }

    /// A convolution of width 3 as a linear layer over three neighbouring frames: the weights
    /// `[n_out, n_in, 3]` become `[n_out, 3 * n_in]`, frame by frame. It stays in floats: the
    /// front is a twentieth of the work and everything behind it depends on it.
    pub(super) fn convolution(
        &mut self,
        name: &str,
        n_out: usize,
        n_in: usize,
    ) -> Result<Linear, FormatError> {
        self.read(&format!("{name}.weight"))?;
        let mut w = vec![0.0; n_out * 3 * n_in];
        for (to, from) in w
            .chunks_exact_mut(3 * n_in)
            .zip(self.buffer.chunks_exact(3 * n_in))
        {
            for (channel, taps) in from.chunks_exact(3).enumerate() {
                for (tap, value) in taps.iter().enumerate() {
                    to[tap * n_in + channel] = *value;
                }
            }
        }
        let packed = Weights::pack(self.cpu, Compute::F32, &w, n_out, 3 * n_in);
        let bias = self.floats(&format!("{name}.bias"))?;
        Ok(Linear::new(packed, Some(bias)))
    }
}

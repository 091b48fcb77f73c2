//! From named tensors of a file to packed layers, one layer at a time: beside the packed weights no
//! more than a few rows of source are resident, or one layer's if it is to be packed as floats.

use std::ops::Range;

use crate::format::{Encoding, FormatError, WhisperFile};
use crate::kernels::{BlockFormat, Cpu, PackedBlocks, PackedI8};
use crate::nn::{Compute, Convolution, KvPrecision, LayerNorm, Linear, Weights};

/// Numbers of a matrix that are floats at a time while it is quantised: 4 MB of them.
const CHUNK_LEN: usize = 1 << 20;

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

    /// What an encoder keeps keys and values in.
    pub(super) fn kv_precision(&self, d_head: usize) -> KvPrecision {
        KvPrecision::choose(self.cpu, self.compute, d_head)
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
        Err(self.not_finite(name))
    }

    fn not_finite(&self, name: &str) -> FormatError {
        FormatError::NotFinite {
            path: self.file.path().to_owned(),
            tensor: name.to_owned(),
        }
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
        self.stack(&[name.to_owned()], n_out, n_in)
    }

    /// Several matrices of width `n_in`, one below another, packed as one of `n_out` rows.
    fn stack(
        &mut self,
        names: &[String],
        n_out: usize,
        n_in: usize,
    ) -> Result<Weights, FormatError> {
        match self.compute {
            Compute::F32 => {
                let mut weights = Vec::with_capacity(n_out * n_in);
                for name in names {
                    self.append_floats(name, n_in, &mut weights)?;
                }
                let packed = Weights::pack(self.cpu, self.compute, &weights, n_out, n_in);
                Ok(packed)
            }
            Compute::Int8 => {
                let mut packed = PackedI8::zeroed(self.cpu, n_out, n_in);
                let mut row = 0;
                for name in names {
                    row = self.pack_int8(name, n_in, &mut packed, row)?;
                }
                Ok(Weights::I8(packed))
            }
            Compute::Blocks(format) => {
                let mut packed = PackedBlocks::zeroed(format, n_out, n_in);
                let mut row = 0;
                for name in names {
                    row = self.pack_blocks(name, n_in, &mut packed, row)?;
                }
                Ok(Weights::Blocks(packed))
            }
        }
    }

    /// Appends all rows of a tensor as floats.
    fn append_floats(
        &mut self,
        name: &str,
        n_in: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), FormatError> {
        for rows in self.chunks(name, n_in) {
            self.read_rows(name, rows)?;
            out.extend_from_slice(&self.buffer);
        }
        Ok(())
    }

    /// Packs all rows of a tensor from row `first` of `out` on, and gives the row behind them. Rows
    /// that the file holds as 8-bit integers stay as they are; others are quantised a few at a
    /// time, so that an embedding is never in memory as floats.
    fn pack_int8(
        &mut self,
        name: &str,
        n_in: usize,
        out: &mut PackedI8,
        first: usize,
    ) -> Result<usize, FormatError> {
        let mut row = first;
        if let Some((q, scale)) = self.file.read_i8(name)? {
            self.check_finite(name, &scale)?;
            for (q, scale) in q.chunks_exact(n_in).zip(scale) {
                out.set_row(row, q, scale);
                row += 1;
            }
            return Ok(row);
        }
        let mut scratch = Vec::new();
        for rows in self.chunks(name, n_in) {
            self.read_rows(name, rows)?;
            for values in self.buffer.chunks_exact(n_in) {
                out.set_row_f32(row, values, &mut scratch);
                row += 1;
            }
        }
        Ok(row)
    }

    /// Packs all rows of a tensor from row `first` of `out` on, and gives the row behind them. Rows
    /// that the file holds in blocks of the same codes keep them; all others are quantised, a few
    /// at a time.
    fn pack_blocks(
        &mut self,
        name: &str,
        n_in: usize,
        out: &mut PackedBlocks,
        first: usize,
    ) -> Result<usize, FormatError> {
        let stored = match self.file.block_type(name) {
            Some(Encoding::Block(block)) => Some(block),
            _ => None,
        };
        let keeps_codes = stored.and_then(BlockFormat::holding) == Some(out.format());
        let (mut bytes, mut scratch, mut row) = (Vec::new(), (Vec::new(), Vec::new()), first);
        for rows in self.chunks(name, n_in) {
            let n_rows = rows.len();
            let block = match keeps_codes {
                true => self.file.read_blocks(name, rows.clone(), &mut bytes)?,
                false => None,
            };
            if let Some(block) = block {
                for bytes in bytes.chunks_exact(bytes.len() / n_rows) {
                    if !out.set_row(row, block, bytes) {
                        return Err(self.not_finite(name));
                    }
                    row += 1;
                }
                continue;
            }
            self.read_rows(name, rows)?;
            for values in self.buffer.chunks_exact(n_in) {
                if !out.set_row_f32(row, values, &mut scratch) {
                    return Err(self.not_finite(name));
                }
                row += 1;
            }
        }
        Ok(row)
    }

    /// The rows of a tensor in chunks of about [`CHUNK_LEN`] numbers.
    fn chunks(&self, name: &str, n_in: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let n_rows = self.file.shape(name).and_then(|s| s.first().copied());
        let n_rows = n_rows.unwrap_or(0);
        let step = (CHUNK_LEN / n_in).max(1);
        (0..n_rows)
            .step_by(step)
            .map(move |start| start..n_rows.min(start + step))
    }

    /// Reads some rows of a tensor as floats into the buffer.
    fn read_rows(&mut self, name: &str, rows: Range<usize>) -> Result<(), FormatError> {
        self.file.read_rows(name, rows, &mut self.buffer)?;
        self.check_finite(name, &self.buffer)
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
        let weights = self.stack(&names, n_out, n_state)?;
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
        let bias = self.floats(&format!("{name}.bias"))?;
        Ok(Convolution::pack(self.cpu, self.compute, &w, bias))
    }
}

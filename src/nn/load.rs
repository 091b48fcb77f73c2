//! From named tensors of a file to packed weights, one matrix at a time: beside the packed weights no
//! more than a few rows of source are resident, or one matrix if it is to be packed as floats.

use std::ops::Range;

use crate::format::{Encoding, FormatError, Tensors};
use crate::kernels::{BlockFormat, Cpu, PackedBlocks, PackedI8};

use super::{Compute, Weights};

/// Numbers of a matrix that are floats at a time while it is quantised: 4 MB of them.
const CHUNK_LEN: usize = 1 << 20;

/// Reads matrices and vectors out of one file for one CPU.
pub struct Loader<'a> {
    file: &'a Tensors,
    cpu: Cpu,
    compute: Compute,
    /// Source values, reused from tensor to tensor.
    buffer: Vec<f32>,
}

impl<'a> Loader<'a> {
    /// Nothing is read yet.
    pub fn new(file: &'a Tensors, cpu: Cpu, compute: Compute) -> Self {
        Loader {
            file,
            cpu,
            compute,
            buffer: Vec::new(),
        }
    }

    /// The CPU that weights are packed for.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// The arithmetic that weights are packed for.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Packs what follows for another arithmetic.
    pub fn set_compute(&mut self, compute: Compute) {
        self.compute = compute;
    }

    /// The file.
    pub fn file(&self) -> &'a Tensors {
        self.file
    }

    /// A tensor as floats.
    pub fn floats(&mut self, name: &str) -> Result<Vec<f32>, FormatError> {
        let mut out = Vec::new();
        self.file.read(name, &mut out)?;
        self.check_finite(name, &out)?;
        Ok(out)
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

    /// A matrix `[n_out, n_in]`, packed.
    pub fn matrix(
        &mut self,
        name: &str,
        n_out: usize,
        n_in: usize,
    ) -> Result<Weights, FormatError> {
        self.stack(&[name.to_owned()], n_out, n_in)
    }

    /// Several matrices of width `n_in`, one below another, packed as one of `n_out` rows.
    pub fn stack(
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
}

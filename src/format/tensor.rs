//! One tensor within a file: where its bytes lie, and how they become numbers.

use std::ops::Range;

use super::FormatError;
use super::source::Source;
use crate::quant::{self, BlockType};

/// 8-bit integers, row-major, and one scale a row: weight = integer × scale.
pub type Int8Rows = (Vec<i8>, Vec<f32>);

/// Numbers converted at a time while a tensor is read: whole blocks of every type.
const CHUNK_LEN: usize = 1 << 18;

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats or ggml blocks.
    Block(BlockType),
    /// CTranslate2's 8-bit integers, with one scale a row (or one for all).
    Int8,
    /// CTranslate2's 16-bit integers, with one scale (or one a row).
    Int16,
}

impl Encoding {
    /// Bytes of `n` numbers; none when that is no whole number of blocks, or overflows.
    pub(super) fn bytes_for(self, n: usize) -> Option<usize> {
        match self {
            Encoding::Block(block) => block.bytes_for(n),
            Encoding::Int8 => Some(n),
            Encoding::Int16 => n.checked_mul(2),
        }
    }
}

/// Where the scales of an integer tensor lie: `f32`, stored value = weight × scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    pub(super) at: u64,
    /// One, or one a row.
    pub(super) n: usize,
}

/// A tensor of a file whose bytes are known to lie within it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Outermost first.
    pub(super) shape: Vec<usize>,
    pub(super) encoding: Encoding,
    pub(super) at: u64,
    pub(super) scales: Option<Scales>,
}

/// The product of the dimensions; none on overflow.
pub(super) fn n_elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d))
}

impl Stored {
    /// Numbers in the tensor. The shape was checked against the file when it was opened.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn n_rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The rows `rows` as a tensor of its own; none when they are not there or do not begin at
    /// a block.
    pub(super) fn rows(&self, rows: Range<usize>) -> Option<Stored> {
        if rows.start > rows.end || rows.end > self.n_rows() {
            return None;
        }
        let before = self
            .encoding
            .bytes_for(self.row_len().checked_mul(rows.start)?)?;
        self.encoding.bytes_for(self.row_len())?;
        let mut part = self.clone();
        *part.shape.first_mut()? = rows.len();
        part.at += before as u64;
        if let Some(scales) = part.scales.as_mut().filter(|s| s.n > 1) {
            scales.at += 4 * rows.start as u64;
            scales.n = rows.len();
        }
        Some(part)
    }

    /// The scales, one a row: weight = stored value × scale. Ones for tensors without.
    fn row_scales(&self, source: &Source, name: &str) -> Result<Vec<f32>, FormatError> {
        let Some(scales) = self.scales else {
            return Ok(vec![1.0; self.n_rows()]);
        };
        let mut bytes = vec![0; 4 * scales.n];
        source.read_at(scales.at, &mut bytes, name)?;
        let mut inverse = vec![0.0; scales.n];
        convert(BlockType::F32, &bytes, &mut inverse, source, name)?;
        // A row of zeros may carry any scale.
        let scale = |s: &f32| if *s == 0.0 { 0.0 } else { 1.0 / s };
        let mut out: Vec<f32> = inverse.iter().map(scale).collect();
        if let [one] = out[..] {
            out.resize(self.n_rows(), one);
        }
        Ok(out)
    }

    /// All numbers of the tensor into `out`, which is resized; row-major.
    pub(super) fn read(
        &self,
        source: &Source,
        name: &str,
        out: &mut Vec<f32>,
    ) -> Result<(), FormatError> {
        out.clear();
        out.resize(self.len(), 0.0);
        let mut buffer = Vec::new();
        let mut at = self.at;
        for values in out.chunks_mut(CHUNK_LEN) {
            let n_bytes = self.encoding.bytes_for(values.len());
            buffer.resize(n_bytes.unwrap_or_default(), 0);
            source.read_at(at, &mut buffer, name)?;
            at += buffer.len() as u64;
            match self.encoding {
                Encoding::Block(block) => convert(block, &buffer, values, source, name)?,
                Encoding::Int8 => {
                    for (value, raw) in values.iter_mut().zip(&buffer) {
                        *value = f32::from(raw.cast_signed());
                    }
                }
                Encoding::Int16 => {
                    for (value, raw) in values.iter_mut().zip(buffer.as_chunks::<2>().0) {
                        *value = f32::from(i16::from_le_bytes(*raw));
                    }
                }
            }
        }
        if self.scales.is_some() && !out.is_empty() {
            let scales = self.row_scales(source, name)?;
            for (row, scale) in out.chunks_mut(self.row_len()).zip(&scales) {
                row.iter_mut().for_each(|v| *v *= scale);
            }
        }
        Ok(())
    }

    /// All blocks of the tensor as they are stored, into `out`, which is resized; gives their type,
    /// or none for a tensor that is not in blocks of several numbers.
    pub(super) fn read_blocks(
        &self,
        source: &Source,
        name: &str,
        out: &mut Vec<u8>,
    ) -> Result<Option<BlockType>, FormatError> {
        let Encoding::Block(block) = self.encoding else {
            return Ok(None);
        };
        let n_bytes = block.bytes_for(self.len());
        let Some(n_bytes) = n_bytes.filter(|_| block.block_len() > 1) else {
            return Ok(None);
        };
        out.resize(n_bytes, 0);
        source.read_at(self.at, out, name)?;
        Ok(Some(block))
    }

    /// The 8-bit integers and one scale a row, weight = integer × scale; none for other
    /// encodings.
    pub(super) fn read_i8(
        &self,
        source: &Source,
        name: &str,
    ) -> Result<Option<Int8Rows>, FormatError> {
        if self.encoding != Encoding::Int8 {
            return Ok(None);
        }
        let mut out = vec![0_i8; self.len()];
        let mut buffer = Vec::new();
        let mut at = self.at;
        for values in out.chunks_mut(CHUNK_LEN) {
            buffer.resize(values.len(), 0);
            source.read_at(at, &mut buffer, name)?;
            at += buffer.len() as u64;
            for (value, raw) in values.iter_mut().zip(&buffer) {
                *value = raw.cast_signed();
            }
        }
        Ok(Some((out, self.row_scales(source, name)?)))
    }
}

fn convert(
    block: BlockType,
    bytes: &[u8],
    out: &mut [f32],
    source: &Source,
    name: &str,
) -> Result<(), FormatError> {
    quant::dequantize(block, bytes, out).map_err(|cause| FormatError::Convert {
        path: source.path().to_owned(),
        tensor: name.to_owned(),
        source: cause,
    })
}

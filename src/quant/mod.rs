//! Numbers as model files store them, and back.
//!
//! What enters: the bytes of whole blocks, or `f32` values. What leaves: `f32` values, or blocks.
//! A *block* is the smallest unit a type can be cut into: one number for the float types, 32
//! numbers that share a scale for the simple quantised types, 256 numbers with scales of their
//! own for the K-quants. The layouts are those of the ggml library (`ggml-common.h`), all
//! little-endian. No I/O, no threads, no panic on any content of the bytes.

mod blocks32;
mod codes;
mod float;
mod kquants;
mod kquants_write;

pub use codes::{Codes, coded_as, each_codes};

use thiserror::Error;

/// How the numbers of a tensor are stored in a ggml or GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)] // the names the format itself uses
pub enum BlockType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// 4 bits and a scale for 32 numbers.
    Q4_0,
    /// 4 bits, a scale and a minimum for 32 numbers.
    Q4_1,
    /// 5 bits and a scale for 32 numbers.
    Q5_0,
    /// 5 bits, a scale and a minimum for 32 numbers.
    Q5_1,
    /// 8 bits and a scale for 32 numbers.
    Q8_0,
    /// About 2.6 bits a number, 256 numbers a block.
    Q2K,
    /// About 3.4 bits a number, 256 numbers a block.
    Q3K,
    /// 4.5 bits a number, 256 numbers a block.
    Q4K,
    /// 5.5 bits a number, 256 numbers a block.
    Q5K,
    /// About 6.6 bits a number, 256 numbers a block.
    Q6K,
    /// 4 bits that stand for 16 unevenly spaced steps, and a scale for 32 numbers.
    IQ4_NL,
}

/// Why bytes and numbers could not be converted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum QuantError {
    /// The count of numbers is not a whole number of blocks.
    #[error("{n} numbers are not a whole number of {} blocks of {}", .block.name(), .block.block_len())]
    PartialBlock {
        /// The type asked for.
        block: BlockType,
        /// The count of numbers.
        n: usize,
    },
    /// Bytes and numbers do not belong together.
    #[error("{n} numbers of {} do not fit in {n_bytes} bytes", .block.name())]
    Length {
        /// The type asked for.
        block: BlockType,
        /// The count of numbers.
        n: usize,
        /// The count of bytes given.
        n_bytes: usize,
    },
    /// The smallest K-quants and uneven steps are read, not written.
    #[error("writing {} is not supported", .0.name())]
    CannotWrite(BlockType),
}

impl BlockType {
    /// Every type.
    pub const ALL: [BlockType; 14] = [
        BlockType::F32,
        BlockType::F16,
        BlockType::BF16,
        BlockType::Q4_0,
        BlockType::Q4_1,
        BlockType::Q5_0,
        BlockType::Q5_1,
        BlockType::Q8_0,
        BlockType::Q2K,
        BlockType::Q3K,
        BlockType::Q4K,
        BlockType::Q5K,
        BlockType::Q6K,
        BlockType::IQ4_NL,
    ];

    /// Numbers in one block.
    pub const fn block_len(self) -> usize {
        use BlockType::*;
        match self {
            F32 | F16 | BF16 => 1,
            Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0 | IQ4_NL => blocks32::BLOCK_LEN,
            Q2K | Q3K | Q4K | Q5K | Q6K => kquants::BLOCK_LEN,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        use BlockType::*;
        match self {
            F32 => 4,
            F16 | BF16 => 2,
            Q4_0 | IQ4_NL => blocks32::Q4_0_BYTES,
            Q4_1 => blocks32::Q4_1_BYTES,
            Q5_0 => blocks32::Q5_0_BYTES,
            Q5_1 => blocks32::Q5_1_BYTES,
            Q8_0 => blocks32::Q8_0_BYTES,
            Q2K => kquants::Q2K_BYTES,
            Q3K => kquants::Q3K_BYTES,
            Q4K => kquants::Q4K_BYTES,
            Q5K => kquants::Q5K_BYTES,
            Q6K => kquants::Q6K_BYTES,
        }
    }

    /// Bytes of `n` numbers; none when `n` is not a whole number of blocks or the product
    /// overflows.
    pub fn bytes_for(self, n: usize) -> Option<usize> {
        if !n.is_multiple_of(self.block_len()) {
            return None;
        }
        (n / self.block_len()).checked_mul(self.block_bytes())
    }

    /// The type's number in a ggml or GGUF file (`enum ggml_type`).
    pub const fn ggml_id(self) -> u32 {
        use BlockType::*;
        match self {
            F32 => 0,
            F16 => 1,
            Q4_0 => 2,
            Q4_1 => 3,
            Q5_0 => 6,
            Q5_1 => 7,
            Q8_0 => 8,
            Q2K => 10,
            Q3K => 11,
            Q4K => 12,
            Q5K => 13,
            Q6K => 14,
            IQ4_NL => 20,
            BF16 => 30,
        }
    }

    /// The type with this number in a ggml or GGUF file.
    pub fn from_ggml_id(id: u32) -> Option<BlockType> {
        BlockType::ALL.into_iter().find(|t| t.ggml_id() == id)
    }

    /// The name users know the type by.
    pub const fn name(self) -> &'static str {
        use BlockType::*;
        match self {
            F32 => "f32",
            F16 => "f16",
            BF16 => "bf16",
            Q4_0 => "q4_0",
            Q4_1 => "q4_1",
            Q5_0 => "q5_0",
            Q5_1 => "q5_1",
            Q8_0 => "q8_0",
            Q2K => "q2_K",
            Q3K => "q3_K",
            Q4K => "q4_K",
            Q5K => "q5_K",
            Q6K => "q6_K",
            IQ4_NL => "iq4_nl",
        }
    }
}

/// Numbers from blocks: `bytes` holds exactly `out.len()` numbers.
///
/// Does not allocate. Every bit pattern is accepted; scales that are not finite give numbers
/// that are not finite.
pub fn dequantize(block: BlockType, bytes: &[u8], out: &mut [f32]) -> Result<(), QuantError> {
    use BlockType::*;
    let n = out.len();
    let needed = block
        .bytes_for(n)
        .ok_or(QuantError::PartialBlock { block, n })?;
    if needed != bytes.len() {
        let n_bytes = bytes.len();
        return Err(QuantError::Length { block, n, n_bytes });
    }
    match block {
        F32 => float::read_f32(bytes, out),
        F16 => float::read_f16(bytes, out),
        BF16 => float::read_bf16(bytes, out),
        Q4_0 => blocks32::read_q4_0(bytes, out),
        Q4_1 => blocks32::read_q4_1(bytes, out),
        Q5_0 => blocks32::read_q5_0(bytes, out),
        Q5_1 => blocks32::read_q5_1(bytes, out),
        Q8_0 => blocks32::read_q8_0(bytes, out),
        Q2K => kquants::read_q2k(bytes, out),
        Q3K => kquants::read_q3k(bytes, out),
        Q4K => kquants::read_q4k(bytes, out),
        Q5K => kquants::read_q5k(bytes, out),
        Q6K => kquants::read_q6k(bytes, out),
        IQ4_NL => blocks32::read_iq4_nl(bytes, out),
    }
    Ok(())
}

/// Appends `x` to `out` as blocks. All types but Q2_K, Q3_K and IQ4_NL; those of up to 32 numbers a block
/// rounded as ggml's reference does (`quantize_row_*_ref`), so that the bytes are the same.
pub fn quantize(block: BlockType, x: &[f32], out: &mut Vec<u8>) -> Result<(), QuantError> {
    use BlockType::*;
    let n_bytes = block
        .bytes_for(x.len())
        .ok_or(QuantError::PartialBlock { block, n: x.len() })?;
    out.reserve(n_bytes);
    match block {
        F32 => float::write_f32(x, out),
        F16 => float::write_f16(x, out),
        BF16 => float::write_bf16(x, out),
        Q4_0 => blocks32::write_q4_0(x, out),
        Q4_1 => blocks32::write_q4_1(x, out),
        Q5_0 => blocks32::write_q5_0(x, out),
        Q5_1 => blocks32::write_q5_1(x, out),
        Q8_0 => blocks32::write_q8_0(x, out),
        Q4K => kquants_write::write_q4k(x, out),
        Q5K => kquants_write::write_q5k(x, out),
        Q6K => kquants_write::write_q6k(x, out),
        Q2K | Q3K | IQ4_NL => return Err(QuantError::CannotWrite(block)),
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

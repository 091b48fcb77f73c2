//! Blocks of 32 as they are stored, for code that multiplies them without making floats of them.

use half::f16;

use super::blocks32::{
    BLOCK_LEN, HIGH_BITS, Q4_0_BYTES, Q4_1_BYTES, Q5_0_BYTES, Q5_1_BYTES, Q8_0_BYTES, SCALE,
    high_bits_at, nibbles, quintets,
};
use super::{BlockType, kquants};

/// 32 numbers: `x = scale · q + minimum`, or `scale · (q - offset)` for types without a minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codes {
    /// What one step of `q` is worth.
    pub scale: f16,
    /// The number of code 0; 0 for types without.
    pub minimum: f16,
    /// In order; those of [`BlockType::Q8_0`] are signed bytes.
    pub q: [u8; BLOCK_LEN],
}

impl Codes {
    /// Whether all 32 numbers are.
    pub fn is_finite(&self) -> bool {
        self.scale.is_finite() && self.minimum.is_finite()
    }
}

/// The type of simple blocks that holds the very codes of `block`: itself, or for a K-quant whose
/// groups are 32 long with a scale and a minimum each, the simple type with both. Its scales are
/// then rounded to half precision, a relative error of at most 2⁻¹¹.
pub fn coded_as(block: BlockType) -> Option<BlockType> {
    use BlockType::*;
    match block {
        Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0 => Some(block),
        Q4K => Some(Q4_1),
        Q5K => Some(Q5_1),
        F32 | F16 | BF16 | Q2K | Q3K | Q6K | IQ4_NL => None,
    }
}

/// Calls `take` with the codes of every 32 numbers in `bytes`, whole blocks of `block`; with none
/// for types that [`coded_as`] does not know. Does not allocate.
pub fn each_codes(block: BlockType, bytes: &[u8], take: &mut dyn FnMut(Codes)) {
    use BlockType::*;
    match block {
        Q4_0 => each::<Q4_0_BYTES>(bytes, take, |b| four(b, SCALE, f16::ZERO)),
        Q4_1 => each::<Q4_1_BYTES>(bytes, take, |b| four(b, 2 * SCALE, half(b, SCALE))),
        Q5_0 => each::<Q5_0_BYTES>(bytes, take, |b| five(b, SCALE, f16::ZERO)),
        Q5_1 => each::<Q5_1_BYTES>(bytes, take, |b| five(b, 2 * SCALE, half(b, SCALE))),
        Q8_0 => each::<Q8_0_BYTES>(bytes, take, |b| Codes {
            scale: half(b, 0),
            minimum: f16::ZERO,
            q: std::array::from_fn(|k| b[SCALE + k]),
        }),
        Q4K => kquants::each_q4k_codes(bytes, take),
        Q5K => kquants::each_q5k_codes(bytes, take),
        F32 | F16 | BF16 | Q2K | Q3K | Q6K | IQ4_NL => {}
    }
}

fn each<const BYTES: usize>(
    bytes: &[u8],
    take: &mut dyn FnMut(Codes),
    codes: impl Fn(&[u8; BYTES]) -> Codes,
) {
    bytes
        .as_chunks::<BYTES>()
        .0
        .iter()
        .for_each(|b| take(codes(b)));
}

fn half(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

/// A block of 4-bit numbers that begin at byte `at`.
fn four(block: &[u8], at: usize, minimum: f16) -> Codes {
    let mut q = [0; BLOCK_LEN];
    let (first, second) = q.split_at_mut(BLOCK_LEN / 2);
    for (j, (low, up)) in first.iter_mut().zip(second).enumerate() {
        (*low, *up) = nibbles(&block[at..], j);
    }
    Codes {
        scale: half(block, 0),
        minimum,
        q,
    }
}

/// A block of 5-bit numbers whose fifth bits begin at byte `at`.
fn five(block: &[u8], at: usize, minimum: f16) -> Codes {
    let high = high_bits_at(block, at);
    let mut q = [0; BLOCK_LEN];
    let (first, second) = q.split_at_mut(BLOCK_LEN / 2);
    for (j, (low, up)) in first.iter_mut().zip(second).enumerate() {
        (*low, *up) = quintets(&block[at + HIGH_BITS..], high, j);
    }
    Codes {
        scale: half(block, 0),
        minimum,
        q,
    }
}

//! Weights of 4, 5 and 8 bits in blocks of 32 along n_in, each block with a scale of its own:
//! a matrix in half the memory of int8 rows, or a little over it.
//!
//! The numbers are those of a model file's blocks (`quant`), code for code; only their places
//! differ. Eight outputs make a panel, which is the same for every level:
//! `[n_in / 32][one block of eight outputs]`, and in such a block come
//!
//! * the scales, `[8]` halves;
//! * the minimums, `[8]` halves, for types that have them;
//! * the fifth bits of 5-bit types, `[8][4]` bytes: bit `p + 4` of byte (c, j) belongs to number
//!   4p + j of output c, bit `p` to number 16 + 4p + j;
//! * the codes: of 4 bits `[4][8][4]` bytes, number 4p + j of output c in the low half of byte
//!   (p, c, j) and number 16 + 4p + j in the high half; of 8 bits `[8][8][4]` signed bytes.
//!
//! Four neighbours along n_in lie together, as instructions want them that add up four products.
//! Rows are padded with zeros to whole blocks, outputs to whole tiles of two panels.

use half::f16;

use super::packed::Aligned;
use crate::quant::{self, BlockType, Codes};

/// Numbers along n_in that share a scale.
pub(super) const BLOCK_LEN: usize = 32;

/// Outputs of a panel.
pub(super) const PANEL: usize = 8;

/// Outputs of a tile: two panels.
pub(super) const COLUMNS: usize = 2 * PANEL;

/// Bytes of eight halves.
pub(super) const HALVES_BYTES: usize = 2 * PANEL;

/// Bytes of the fifth bits of one block of a panel.
pub(super) const FIFTH_BYTES: usize = 4 * PANEL;

/// How the numbers of a block are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)] // the names the files use
pub enum BlockFormat {
    /// 4 bits and a scale.
    Q4_0,
    /// 4 bits, a scale and a minimum.
    Q4_1,
    /// 5 bits and a scale.
    Q5_0,
    /// 5 bits, a scale and a minimum.
    Q5_1,
    /// 8 bits and a scale.
    Q8_0,
}

impl BlockFormat {
    /// Every format.
    pub const ALL: [BlockFormat; 5] = [
        BlockFormat::Q4_0,
        BlockFormat::Q4_1,
        BlockFormat::Q5_0,
        BlockFormat::Q5_1,
        BlockFormat::Q8_0,
    ];

    /// The type of a file's blocks that these are.
    pub const fn block_type(self) -> BlockType {
        match self {
            BlockFormat::Q4_0 => BlockType::Q4_0,
            BlockFormat::Q4_1 => BlockType::Q4_1,
            BlockFormat::Q5_0 => BlockType::Q5_0,
            BlockFormat::Q5_1 => BlockType::Q5_1,
            BlockFormat::Q8_0 => BlockType::Q8_0,
        }
    }

    /// The name users know it by.
    pub const fn name(self) -> &'static str {
        self.block_type().name()
    }

    /// The format that holds the codes of `block` as they are; see [`quant::coded_as`].
    pub fn holding(block: BlockType) -> Option<BlockFormat> {
        let own = quant::coded_as(block)?;
        BlockFormat::ALL.into_iter().find(|f| f.block_type() == own)
    }

    /// Whether a block has a minimum.
    pub(super) const fn has_minimum(self) -> bool {
        matches!(self, BlockFormat::Q4_1 | BlockFormat::Q5_1)
    }

    /// Whether codes have a fifth bit stored apart.
    pub(super) const fn has_fifth(self) -> bool {
        matches!(self, BlockFormat::Q5_0 | BlockFormat::Q5_1)
    }

    /// What is taken off a code so that codes lie on both sides of 0.
    pub(super) const fn offset(self) -> u8 {
        match self {
            BlockFormat::Q4_0 | BlockFormat::Q4_1 => 8,
            BlockFormat::Q5_0 | BlockFormat::Q5_1 => 16,
            BlockFormat::Q8_0 => 0,
        }
    }

    /// Where the fifth bits begin in a block of a panel: behind scales and minimums.
    pub(super) const fn fifth_at(self) -> usize {
        match self.has_minimum() {
            true => 2 * HALVES_BYTES,
            false => HALVES_BYTES,
        }
    }

    /// Where the codes begin in a block of a panel.
    pub(super) const fn codes_at(self) -> usize {
        match self.has_fifth() {
            true => self.fifth_at() + FIFTH_BYTES,
            false => self.fifth_at(),
        }
    }

    /// Bytes of a block of a panel.
    pub(super) const fn panel_block_bytes(self) -> usize {
        let code_bytes = match self {
            BlockFormat::Q8_0 => BLOCK_LEN * PANEL,
            _ => BLOCK_LEN * PANEL / 2,
        };
        self.codes_at() + code_bytes
    }
}

/// Weights `[n_out, n_in]` in blocks. The same at every level.
#[derive(Clone)]
pub struct PackedBlocks {
    format: BlockFormat,
    n_out: usize,
    n_in: usize,
    panels: Aligned<u8>,
}

impl PackedBlocks {
    /// A matrix of zeros, to be filled row by row. Allocates.
    pub fn zeroed(format: BlockFormat, n_out: usize, n_in: usize) -> Self {
        let n_panels = n_out.next_multiple_of(COLUMNS) / PANEL;
        let panel_bytes = n_in.div_ceil(BLOCK_LEN) * format.panel_block_bytes();
        PackedBlocks {
            format,
            n_out,
            n_in,
            panels: Aligned::zeroed(n_panels * panel_bytes),
        }
    }

    /// Quantises and packs `w` `[n_out, n_in]`; rows that are no whole number of blocks are filled
    /// with zeros. Allocates.
    pub fn new(format: BlockFormat, w: &[f32], n_out: usize, n_in: usize) -> Self {
        assert_eq!(w.len(), n_out * n_in, "weights are not [n_out, n_in]");
        let mut packed = PackedBlocks::zeroed(format, n_out, n_in);
        let mut scratch = (Vec::new(), Vec::new());
        for (row, values) in w.chunks_exact(n_in.max(1)).enumerate() {
            packed.set_row_f32(row, values, &mut scratch);
        }
        packed
    }

    /// Quantises one row, `[n_in]`; says whether its scales are finite as halves. `scratch` is grown
    /// to a row and its blocks.
    pub fn set_row_f32(
        &mut self,
        row: usize,
        values: &[f32],
        (padded, blocks): &mut (Vec<f32>, Vec<u8>),
    ) -> bool {
        assert_eq!(values.len(), self.n_in, "a row is not [n_in]");
        padded.clear();
        padded.extend_from_slice(values);
        padded.resize(self.n_in.next_multiple_of(BLOCK_LEN), 0.0);
        blocks.clear();
        let written = quant::quantize(self.format.block_type(), padded, blocks);
        assert!(written.is_ok(), "whole blocks of a type that is written");
        self.set_row(row, self.format.block_type(), blocks)
    }

    /// Packs one row that is in blocks already: of this format, or of a type whose codes it holds
    /// ([`BlockFormat::holding`]). Says whether all its numbers are finite.
    pub fn set_row(&mut self, row: usize, block: BlockType, bytes: &[u8]) -> bool {
        assert!(row < self.n_out, "no such row");
        assert_eq!(
            BlockFormat::holding(block),
            Some(self.format),
            "codes of another format"
        );
        let n_padded = self.n_in.next_multiple_of(BLOCK_LEN);
        let n_bytes = block.bytes_for(n_padded);
        assert_eq!(n_bytes, Some(bytes.len()), "bytes are not [n_in]");
        let (mut at, mut is_finite) = (0, true);
        quant::each_codes(block, bytes, &mut |codes| {
            is_finite &= codes.is_finite();
            self.put(row, at, &codes);
            at += 1;
        });
        is_finite
    }

    /// Block `block` of row `row`.
    fn put(&mut self, row: usize, block: usize, codes: &Codes) {
        let (format, column, at) = (self.format, row % PANEL, self.block_at(row, block));
        let to = &mut self.panels[at..at + format.panel_block_bytes()];
        to[2 * column..][..2].copy_from_slice(&codes.scale.to_le_bytes());
        if format.has_minimum() {
            to[HALVES_BYTES + 2 * column..][..2].copy_from_slice(&codes.minimum.to_le_bytes());
        }
        for (k, &q) in codes.q.iter().enumerate() {
            let (group, within) = (k / 4, 4 * column + k % 4);
            if format == BlockFormat::Q8_0 {
                to[format.codes_at() + 4 * PANEL * group + within] = q;
                continue;
            }
            let (p, is_high) = (group % 4, group / 4);
            // A row may be packed twice: nothing of the first must stay.
            let byte = &mut to[format.codes_at() + 4 * PANEL * p + within];
            *byte = *byte & !(0x0f << (4 * is_high)) | (q & 0x0f) << (4 * is_high);
            if format.has_fifth() {
                let bit = p + 4 * (1 - is_high);
                let byte = &mut to[format.fifth_at() + within];
                *byte = *byte & !(1 << bit) | (q >> 4 & 1) << bit;
            }
        }
    }

    fn block_at(&self, row: usize, block: usize) -> usize {
        (row / PANEL * self.n_blocks() + block) * self.format.panel_block_bytes()
    }

    /// The format.
    pub fn format(&self) -> BlockFormat {
        self.format
    }

    /// The number of outputs (rows of the matrix).
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The number of inputs (columns of the matrix).
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// The memory held.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }

    /// Writes one row of the matrix, as f32, to `out` `[n_in]`.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_out && out.len() == self.n_in);
        let mut codes = [0; BLOCK_LEN * PANEL];
        for (block, out) in out.chunks_mut(BLOCK_LEN).enumerate() {
            let at = self.block_at(row, block);
            let from = &self.panels[at..at + self.format.panel_block_bytes()];
            centred(self.format, from, &mut codes);
            let (scales, bases) = scales_and_bases(self.format, from);
            let column = row % PANEL;
            for (k, out) in out.iter_mut().enumerate() {
                let q = codes[(k / 4 * PANEL + column) * 4 + k % 4];
                *out = scales[column] * f32::from(q) + bases[column];
            }
        }
    }

    /// Blocks of a row.
    pub(super) fn n_blocks(&self) -> usize {
        self.n_in.div_ceil(BLOCK_LEN)
    }

    /// Bytes of the two panels of a tile.
    pub(super) fn tile_bytes(&self) -> usize {
        2 * self.n_blocks() * self.format.panel_block_bytes()
    }

    /// `[n_out / 8][n_blocks][panel_block_bytes]`, an even number of panels.
    pub(super) fn panels(&self) -> &[u8] {
        &self.panels
    }
}

/// The codes of a block of a panel less their offset, `[8][8][4]`: number 4g + j of output c at
/// (g, c, j).
#[inline(always)]
pub(super) fn centred(format: BlockFormat, block: &[u8], out: &mut [i8; BLOCK_LEN * PANEL]) {
    const GROUP: usize = 4 * PANEL;
    let codes = &block[format.codes_at()..format.panel_block_bytes()];
    if format == BlockFormat::Q8_0 {
        for (out, &q) in out.iter_mut().zip(codes) {
            *out = q.cast_signed();
        }
        return;
    }
    let fifth = format.has_fifth().then(|| &block[format.fifth_at()..]);
    let offset = format.offset();
    let (low, high) = out.split_at_mut(4 * GROUP);
    for p in 0..4 {
        for i in 0..GROUP {
            let code = codes[p * GROUP + i];
            let bits = fifth.map_or(0, |fifth| fifth[i] >> p);
            low[p * GROUP + i] = (code & 0x0f | bits & 0x10)
                .wrapping_sub(offset)
                .cast_signed();
            high[p * GROUP + i] = (code >> 4 | bits << 4 & 0x10)
                .wrapping_sub(offset)
                .cast_signed();
        }
    }
}

/// The scales of a block of a panel, and what number a centred code of 0 stands for: 0 for types
/// without a minimum.
#[inline(always)]
pub(super) fn scales_and_bases(format: BlockFormat, block: &[u8]) -> ([f32; PANEL], [f32; PANEL]) {
    let half = |i: usize| f16::from_le_bytes([block[2 * i], block[2 * i + 1]]).to_f32();
    let scales = std::array::from_fn(half);
    if !format.has_minimum() {
        return (scales, [0.0; PANEL]);
    }
    let offset = f32::from(format.offset());
    // The offset is a power of two: fused or not, this is rounded once.
    let bases = std::array::from_fn(|i| scales[i] * offset + half(PANEL + i));
    (scales, bases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_the_files_blocks_say() {
        for format in BlockFormat::ALL {
            for (n_out, n_in) in [(1, 1), (5, 7), (8, 32), (17, 33), (33, 64), (9, 130)] {
                let value = |i: usize| ((i * 37 + i / 7) % 101) as f32 / 50.0 - 0.9;
                let w: Vec<f32> = (0..n_out * n_in).map(value).collect();
                let packed = PackedBlocks::new(format, &w, n_out, n_in);
                let (mut row, mut bytes) = (vec![f32::NAN; n_in], Vec::new());
                for (i, values) in w.chunks_exact(n_in).enumerate() {
                    let mut padded = values.to_vec();
                    padded.resize(n_in.next_multiple_of(BLOCK_LEN), 0.0);
                    bytes.clear();
                    let block = format.block_type();
                    assert_eq!(quant::quantize(block, &padded, &mut bytes), Ok(()));
                    assert_eq!(quant::dequantize(block, &bytes, &mut padded), Ok(()));
                    packed.dequantize_row(i, &mut row);
                    for (a, b) in row.iter().zip(&padded) {
                        assert!((a - b).abs() < 1e-6, "{format:?} {i}: {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_is_replaced_whole() {
        for format in BlockFormat::ALL {
            let ones: Vec<f32> = (0..96).map(|i| (i % 7) as f32).collect();
            let other: Vec<f32> = (0..96).map(|i| (i % 5) as f32 - 1.0).collect();
            let mut packed = PackedBlocks::new(format, &ones, 3, 32);
            let mut scratch = (Vec::new(), Vec::new());
            packed.set_row_f32(1, &other[32..64], &mut scratch);
            let fresh = PackedBlocks::new(format, &other, 3, 32);
            let (mut a, mut b) = ([f32::NAN; 32], [f32::NAN; 32]);
            packed.dequantize_row(1, &mut a);
            fresh.dequantize_row(1, &mut b);
            assert_eq!(a, b, "{format:?}");
        }
    }

    #[test]
    fn scales_that_are_no_numbers_are_told() {
        let mut packed = PackedBlocks::zeroed(BlockFormat::Q4_1, 1, 32);
        let mut block = vec![0x11; 20];
        block[..4].copy_from_slice(&[0x00, 0x3c, 0x00, 0x3c]);
        assert!(packed.set_row(0, BlockType::Q4_1, &block));
        block[1] = 0x7c;
        assert!(!packed.set_row(0, BlockType::Q4_1, &block));
        block[1] = 0x3c;
        block[3] = 0x7e;
        assert!(!packed.set_row(0, BlockType::Q4_1, &block));
    }
}

//! Products with weights in blocks: activations in blocks, the tile written for reading, and the
//! loop around the tiles.
//!
//! Activations are 8-bit integers with a scale for each 32, made on the fly. An output is
//! `Σ_blocks scale_w · scale_x · Σ_k (code_k - offset) · x_k`, and for types with a minimum plus
//! `Σ_blocks base_w · scale_x · Σ_k x_k`. The inner sums are exact.

use std::ops::Range;

use super::blocks::{self, BLOCK_LEN, BlockFormat, COLUMNS, PANEL, PackedBlocks};
use super::epilogue::{Epilogue, Frame};
use super::matmul::Grid;
use super::portable::Arith;
use super::table::Tiles;
use super::{Exec, QuantizedRows};

/// The most rows of a tile.
pub(super) const BLOCK_ROWS: usize = 6;

/// Bytes of a block of activations: 32 signed bytes; then, at [`SCALE_AT`], the scale;
/// at [`SUM_AT`], the scaled sum; at [`PAIRS_AT`], two 16-bit sums; and four bytes to spare.
pub(super) const RECORD_BYTES: usize = 48;
/// Where the scale lies, an f32: activation = q · scale.
pub(super) const SCALE_AT: usize = 32;
/// Where scale · Σ q lies, an f32.
pub(super) const SUM_AT: usize = 36;
/// Where -8 · Σ q lies, as two i16: for the q whose place modulo 4 is below 2, and for the others.
/// A tile that adds up unsigned codes of 4 bits in 16-bit lanes, pair by pair, begins with these
/// and so ends with the sums of code - 8, which fit where sums of codes may not; of 5 bits, with
/// twice these.
pub(super) const PAIRS_AT: usize = 40;

/// One tile in blocks: `acc[i][j] = a[i] · b[j]`.
#[derive(Clone, Copy)]
pub(super) struct TileBlocks {
    pub(super) format: BlockFormat,
    /// Rows of n_blocks records of [`RECORD_BYTES`], `row_bytes` apart; aligned to 16 bytes.
    pub(super) a: *const u8,
    pub(super) row_bytes: usize,
    /// Rows of `a`, from 1 to [`BLOCK_ROWS`].
    pub(super) m: usize,
    /// Two panels, `[2][n_blocks][panel_block_bytes]`.
    pub(super) b: *const u8,
    pub(super) n_blocks: usize,
    /// `[m][COLUMNS]`, overwritten.
    pub(super) acc: *mut f32,
}

/// A product with weights in blocks.
pub(super) struct BlocksJob<'a> {
    frame: Frame<'a>,
    x: &'a QuantizedRows,
    w: &'a PackedBlocks,
}

/// `out = epilogue(x · wᵀ)` with x `[n, n_in]` quantised in blocks, w `[n_out, n_in]`, out
/// `[n, n_out]`.
pub fn matmul_blocks(
    exec: &Exec,
    x: &QuantizedRows,
    w: &PackedBlocks,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    matmul_blocks_rows(exec, x, w, 0..w.n_out(), epilogue, out);
}

/// As [`matmul_blocks`] for some outputs (rows of w) only: out `[n, outputs.len()]`, and so the
/// bias.
pub fn matmul_blocks_rows(
    exec: &Exec,
    x: &QuantizedRows,
    w: &PackedBlocks,
    outputs: Range<usize>,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    assert!(x.in_blocks(), "rows were not quantised in blocks");
    assert_eq!(x.n_in(), w.n_in(), "rows and weights do not fit");
    let frame = Frame::new(x.n_rows(), w.n_out(), outputs, epilogue, out);
    let table = exec.cpu().table();
    let grid = Grid {
        n_rows: x.n_rows(),
        tile_rows: BLOCK_ROWS,
        row_bytes: x.row_bytes(),
        columns: COLUMNS,
        panel_bytes: w.tile_bytes(),
        block_bytes: 256 * 1024,
        macs_per_ns: 60,
    };
    let outputs = frame.outputs.clone();
    let job = BlocksJob { frame, x, w };
    grid.run(exec, outputs, |rows, panels| {
        // SAFETY: the table belongs to a level of this machine, and `grid.run` hands out
        // disjoint blocks inside the output.
        unsafe { (table.matmul_blocks)(&job, rows, panels) }
    });
}

/// One block of a product with weights in blocks.
///
/// # Safety
/// The CPU runs level L; `rows` and `panels` are inside the product; no other thread works on the
/// same block.
#[inline(always)]
pub(super) unsafe fn block<L: Tiles>(job: &BlocksJob, rows: Range<usize>, panels: Range<usize>) {
    let mut sums = [0.0_f32; BLOCK_ROWS * COLUMNS];
    let (tile_bytes, row_bytes) = (job.w.tile_bytes(), job.x.row_bytes());
    for panel in panels {
        let b = &job.w.panels()[panel * tile_bytes..][..tile_bytes];
        for row in rows.clone().step_by(BLOCK_ROWS) {
            let m = BLOCK_ROWS.min(rows.end - row);
            let a = &job.x.data()[row * row_bytes..(row + m) * row_bytes];
            assert!(a.len() == m * job.w.n_blocks() * RECORD_BYTES);
            let tile = TileBlocks {
                format: job.w.format(),
                a: a.as_ptr(),
                row_bytes,
                m,
                b: b.as_ptr(),
                n_blocks: job.w.n_blocks(),
                acc: sums.as_mut_ptr(),
            };
            // SAFETY: the slices above hold m rows and two panels, `sums` the largest tile; the
            // block belongs to this thread.
            unsafe {
                L::tile_blocks(&tile);
                job.frame
                    .finish::<L>(row..row + m, panel, COLUMNS, &sums[..m * COLUMNS]);
            }
        }
    }
}

/// The scale that makes `largest` 127, and its inverse; zero for a block of zeros.
#[inline(always)]
pub(super) fn scale_of(largest: f32) -> (f32, f32) {
    if largest < 1e-30 {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    }
}

/// Puts the scale and the sums into a record; `pairs` are the sums of q whose place modulo 4 is
/// below 2, and of the others. Sixteen bits hold -8 times these unless they are no numbers.
#[inline(always)]
pub(super) fn put_sums(record: &mut [u8; RECORD_BYTES], scale: f32, pairs: [i32; 2]) {
    let sum = scale * pairs[0].wrapping_add(pairs[1]) as f32;
    record[SCALE_AT..][..4].copy_from_slice(&scale.to_le_bytes());
    record[SUM_AT..][..4].copy_from_slice(&sum.to_le_bytes());
    for (i, pair) in pairs.iter().enumerate() {
        let offset_sum = pair.wrapping_mul(-8) as i16;
        record[PAIRS_AT + 2 * i..][..2].copy_from_slice(&offset_sum.to_le_bytes());
    }
}

/// Quantises one row into records; what is missing to whole blocks counts as zeros. A block with
/// NaN or infinity has a scale that is none.
#[inline(always)]
pub(super) fn quantize_row(x: &[f32], out: &mut [u8]) {
    let records = out.as_chunks_mut::<RECORD_BYTES>().0;
    let (whole, rest) = x.as_chunks::<BLOCK_LEN>();
    let (records, padded) = records.split_at_mut(whole.len());
    for (x, record) in whole.iter().zip(records) {
        quantize_block(x, record);
    }
    for record in padded {
        let mut last = [0.0; BLOCK_LEN];
        last[..rest.len()].copy_from_slice(rest);
        quantize_block(&last, record);
    }
}

/// Quantises 32 numbers. Loops over eight at a time become vectors.
#[inline(always)]
fn quantize_block(x: &[f32; BLOCK_LEN], record: &mut [u8; RECORD_BYTES]) {
    /// Adding this rounds to an integer, which then is in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let mut largest = [0_u32; 8];
    for x in x.as_chunks::<8>().0 {
        for (largest, x) in largest.iter_mut().zip(x) {
            *largest = (*largest).max(x.to_bits() & 0x7fff_ffff);
        }
    }
    let largest = f32::from_bits(largest.iter().fold(0, |most, v| most.max(*v)));
    let (scale, inverse) = scale_of(largest);
    let mut q = [0_i32; BLOCK_LEN];
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse + ROUND).to_bits().cast_signed();
        *q = q.wrapping_sub(ROUND.to_bits().cast_signed());
    }
    let mut lanes = [0_i32; 8];
    for q in q.as_chunks::<8>().0 {
        for (lane, q) in lanes.iter_mut().zip(q) {
            *lane = lane.wrapping_add(*q);
        }
    }
    for (to, q) in record.iter_mut().zip(&q) {
        *to = *q as u8;
    }
    let pair = |at: usize| {
        let four = [lanes[at], lanes[at + 1], lanes[at + 4], lanes[at + 5]];
        four.iter().fold(0_i32, |sum, q| sum.wrapping_add(*q))
    };
    let pairs = [pair(0), pair(2)];
    put_sums(record, scale, pairs);
}

/// The tile in plain Rust: the reference of `Tiles::tile_blocks`.
///
/// # Safety
/// All pointers of `tile` are valid for its sizes.
#[inline(always)]
pub(super) unsafe fn tile<A: Arith>(tile: &TileBlocks) {
    let block_bytes = tile.format.panel_block_bytes();
    let mut codes = [0_i8; BLOCK_LEN * PANEL];
    for half in 0..COLUMNS / PANEL {
        let mut sums = [[0.0_f32; PANEL]; BLOCK_ROWS];
        for block in 0..tile.n_blocks {
            let at = (half * tile.n_blocks + block) * block_bytes;
            // SAFETY: the panels hold this block.
            let b = unsafe { std::slice::from_raw_parts(tile.b.add(at), block_bytes) };
            blocks::centred(tile.format, b, &mut codes);
            let (scales, bases) = blocks::scales_and_bases(tile.format, b);
            for (i, sums) in sums.iter_mut().enumerate().take(tile.m) {
                // SAFETY: row i has n_blocks records.
                let record = unsafe {
                    let at = i * tile.row_bytes + block * RECORD_BYTES;
                    &*tile.a.add(at).cast::<[u8; RECORD_BYTES]>()
                };
                let exact = products(record, &codes);
                let [scale, sum] = [SCALE_AT, SUM_AT].map(|at| {
                    f32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
                });
                for c in 0..PANEL {
                    sums[c] = A::madd(exact[c] as f32, scales[c] * scale, sums[c]);
                    if tile.format.has_minimum() {
                        sums[c] = A::madd(bases[c], sum, sums[c]);
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate().take(tile.m) {
            // SAFETY: `acc` holds m rows of the columns.
            unsafe {
                let to = tile.acc.add(i * COLUMNS + half * PANEL);
                to.cast::<[f32; PANEL]>().write_unaligned(*sums);
            }
        }
    }
}

/// `Σ_k q[k] · codes[k][c]` for the eight outputs of a panel.
#[inline(always)]
fn products(record: &[u8; RECORD_BYTES], codes: &[i8; BLOCK_LEN * PANEL]) -> [i32; PANEL] {
    let mut sums = [0_i32; PANEL];
    let groups = codes.as_chunks::<{ 4 * PANEL }>().0;
    for (q, codes) in record.as_chunks::<4>().0.iter().zip(groups) {
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
            for (q, code) in q.iter().zip(codes) {
                *sum += i32::from(i16::from(q.cast_signed()) * i16::from(*code));
            }
        }
    }
    sums
}

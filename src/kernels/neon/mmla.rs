//! The int8 tile with `smmla`: a 2 × 8 by 8 × 2 product in one instruction.
//!
//! Panel `[k / 8][16 columns][8]`: one vector holds 8 neighbours along k of two columns. Rows go
//! in pairs; of an odd number the last is paired with itself and its twin's sums are dropped.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::table::TileI8;
use super::{COLUMNS, ROWS};

pub(super) const GROUP: usize = 8;

/// Pairs of columns.
const N: usize = COLUMNS / 2;

i8mm! {
    /// # Safety
    /// The CPU has `i8mm`; the pointers of `tile` are valid for its sizes, `1 ≤ m ≤ ROWS`.
    #[inline]
    pub(super) unsafe fn tile(tile: &TileI8) {
        // SAFETY: the caller vouches for the pointers; there are so many pairs of rows.
        unsafe {
            match tile.m {
                1 | 2 => pairs::<1>(tile),
                3 | ROWS => pairs::<2>(tile),
                m => unreachable!("{m} rows in a tile of {ROWS}"),
            }
        }
    }
}

i8mm! {
    /// # Safety
    /// As for [`tile`]; the tile has P pairs of rows, the last perhaps with one only.
    #[inline]
    unsafe fn pairs<const P: usize>(tile: &TileI8) {
        // Per pair of rows and pair of columns the sums (0,0) (0,1) (1,0) (1,1).
        let mut acc = [[vdupq_n_s32(0); N]; P];
        for k in (0..tile.k).step_by(16) {
            let mut a = [[vdupq_n_s8(0); 2]; P];
            for (pair, a) in a.iter_mut().enumerate() {
                // SAFETY: k is a multiple of 16 below the row's length, itself a multiple of 64.
                let (upper, lower) = unsafe { (load(tile, 2 * pair, k), load(tile, 2 * pair + 1, k)) };
                *a = [
                    vreinterpretq_s8_s64(vzip1q_s64(upper, lower)),
                    vreinterpretq_s8_s64(vzip2q_s64(upper, lower)),
                ];
            }
            for half in 0..2 {
                // SAFETY: groups k / 8 and k / 8 + 1 of the panel.
                let b = unsafe { tile.b.add((k + GROUP * half) * COLUMNS) };
                for j in 0..N {
                    // SAFETY: the group has N vectors.
                    let b = unsafe { vld1q_s8(b.add(16 * j)) };
                    for (acc, a) in acc.iter_mut().zip(&a) {
                        // SAFETY: the CPU has the instruction.
                        unsafe { multiply(&mut acc[j], a[half], b) };
                    }
                }
            }
        }
        for (pair, acc) in acc.iter().enumerate() {
            for j in (0..N).step_by(2) {
                let (left, right) = (
                    vreinterpretq_s64_s32(acc[j]),
                    vreinterpretq_s64_s32(acc[j + 1]),
                );
                let rows = [vzip1q_s64(left, right), vzip2q_s64(left, right)];
                for (i, sums) in rows.into_iter().enumerate().take(tile.m - 2 * pair) {
                    let at = (2 * pair + i) * COLUMNS + 2 * j;
                    // SAFETY: `acc` has room for m rows of the columns, and 2 · pair + i is below m.
                    unsafe { vst1q_s32(tile.acc.add(at), vreinterpretq_s32_s64(sums)) };
                }
            }
        }
    }
}

i8mm! {
    /// 16 activations of a row, or of the last row where there are fewer.
    ///
    /// # Safety
    /// The rows have 16 bytes at k.
    #[inline]
    unsafe fn load(tile: &TileI8, row: usize, k: usize) -> int64x2_t {
        let row = row.min(tile.m - 1);
        // SAFETY: the caller vouches for k, and the row exists.
        unsafe { vreinterpretq_s64_s8(vld1q_s8(tile.a.add(row * tile.row_bytes + k).cast())) }
    }
}

i8mm! {
    /// `sums += a · bᵀ`, with a and b of two rows of 8.
    ///
    /// # Safety
    /// The CPU has `i8mm`.
    #[inline]
    unsafe fn multiply(sums: &mut int32x4_t, a: int8x16_t, b: int8x16_t) {
        // SAFETY: the CPU has the instruction, which touches nothing but its registers.
        unsafe {
            asm!(
                "smmla {sums:v}.4s, {a:v}.16b, {b:v}.16b",
                sums = inout(vreg) *sums,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}

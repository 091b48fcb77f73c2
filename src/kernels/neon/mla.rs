//! The int8 tile for every 64-bit Arm CPU, by `smull`, `smlal` and `sadalp`.
//!
//! Panel `[k / 16][16 columns][16]`: one vector holds 16 neighbours along k of one column. Two
//! products of magnitudes up to 127 · 128 fit into 16 bits (activations never are -128), so 16
//! products take three instructions; the four partial sums of each output are added up at the
//! end.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::table::TileI8;
use super::{COLUMNS, ROWS};

pub(super) const GROUP: usize = 16;

neon! {
    /// # Safety
    /// The pointers of `tile` are valid for its sizes, `1 ≤ m ≤ ROWS`.
    #[inline]
    pub(super) unsafe fn tile(tile: &TileI8) {
        // SAFETY: the caller vouches for the pointers; M is the number of rows, N divides COLUMNS.
        unsafe {
            match tile.m {
                1 => parts::<1, 16>(tile),
                2 => parts::<2, 8>(tile),
                3 => parts::<3, 4>(tile),
                ROWS => parts::<ROWS, 4>(tile),
                m => unreachable!("{m} rows in a tile of {ROWS}"),
            }
        }
    }
}

neon! {
    /// The tile in parts of N columns, as many as the registers hold sums for.
    ///
    /// # Safety
    /// As for [`tile`]; the tile has M rows, N divides COLUMNS and is a multiple of 4.
    #[inline]
    unsafe fn parts<const M: usize, const N: usize>(tile: &TileI8) {
        for first in (0..COLUMNS).step_by(N) {
            let mut acc = [[vdupq_n_s32(0); N]; M];
            for k in (0..tile.k).step_by(GROUP) {
                let mut a = [vdupq_n_s8(0); M];
                for (i, a) in a.iter_mut().enumerate() {
                    // SAFETY: k is a multiple of 16 below the row's length, itself a multiple of 64.
                    *a = unsafe { vld1q_s8(tile.a.add(i * tile.row_bytes + k).cast()) };
                }
                for j in (0..N).step_by(2) {
                    // SAFETY: columns first + j and first + j + 1 in group k / 16 of the panel.
                    let b = unsafe {
                        let b = tile.b.add(k * COLUMNS + (first + j) * GROUP);
                        [vld1q_s8(b), vld1q_s8(b.add(GROUP))]
                    };
                    for i in 0..M {
                        let [left, right] = [acc[i][j], acc[i][j + 1]];
                        [acc[i][j], acc[i][j + 1]] = multiply([left, right], a[i], b);
                    }
                }
            }
            for (i, acc) in acc.iter().enumerate() {
                for j in (0..N).step_by(4) {
                    let left = vpaddq_s32(acc[j], acc[j + 1]);
                    let right = vpaddq_s32(acc[j + 2], acc[j + 3]);
                    let at = i * COLUMNS + first + j;
                    // SAFETY: `acc` has room for M rows of the columns.
                    unsafe { vst1q_s32(tile.acc.add(at), vpaddq_s32(left, right)) };
                }
            }
        }
    }
}

neon! {
    /// Adds the products of `a` with two columns to their partial sums.
    ///
    /// As one block of assembly, because the compiler would otherwise compute all products of a step
    /// first and run out of registers for them.
    #[inline]
    fn multiply(mut sums: [int32x4_t; 2], a: int8x16_t, b: [int8x16_t; 2]) -> [int32x4_t; 2] {
        // SAFETY: every 64-bit Arm CPU has these instructions, which touch nothing but registers.
        unsafe {
            asm!(
                "smull {p0:v}.8h, {a:v}.8b, {b0:v}.8b",
                "smull {p1:v}.8h, {a:v}.8b, {b1:v}.8b",
                "smlal2 {p0:v}.8h, {a:v}.16b, {b0:v}.16b",
                "smlal2 {p1:v}.8h, {a:v}.16b, {b1:v}.16b",
                "sadalp {s0:v}.4s, {p0:v}.8h",
                "sadalp {s1:v}.4s, {p1:v}.8h",
                p0 = out(vreg) _,
                p1 = out(vreg) _,
                s0 = inout(vreg) sums[0],
                s1 = inout(vreg) sums[1],
                a = in(vreg) a,
                b0 = in(vreg) b[0],
                b1 = in(vreg) b[1],
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sums
    }
}

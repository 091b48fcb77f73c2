//! The int8 tile with `sdot`: four products of each lane in one instruction.
//!
//! Panel `[k / 4][16 columns][4]`: one vector holds 4 neighbours along k of four columns; the
//! activations' four neighbours are taken by lane from a vector of 16.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::table::TileI8;
use super::{COLUMNS, ROWS};

pub(super) const GROUP: usize = 4;

/// Vectors of one row of sums.
const N: usize = COLUMNS / 4;

dotprod! {
    /// # Safety
    /// The CPU has `dotprod`; the pointers of `tile` are valid for its sizes, `1 ≤ m ≤ ROWS`.
    #[inline]
    pub(super) unsafe fn tile(tile: &TileI8) {
        // SAFETY: the caller vouches for the pointers; M is the number of rows.
        unsafe {
            match tile.m {
                1 => rows::<1>(tile),
                2 => rows::<2>(tile),
                3 => rows::<3>(tile),
                ROWS => rows::<ROWS>(tile),
                m => unreachable!("{m} rows in a tile of {ROWS}"),
            }
        }
    }
}

dotprod! {
    /// # Safety
    /// As for [`tile`]; the tile has M rows.
    #[inline]
    unsafe fn rows<const M: usize>(tile: &TileI8) {
        let mut acc = [[vdupq_n_s32(0); N]; M];
        for k in (0..tile.k).step_by(16) {
            let mut a = [vdupq_n_s8(0); M];
            for (i, a) in a.iter_mut().enumerate() {
                // SAFETY: k is a multiple of 16 below the row's length, itself a multiple of 64.
                *a = unsafe { vld1q_s8(tile.a.add(i * tile.row_bytes + k).cast()) };
            }
            // SAFETY: four groups of the panel from k on.
            unsafe {
                let b = tile.b.add(k * COLUMNS);
                group::<0, M>(&mut acc, &a, b);
                group::<1, M>(&mut acc, &a, b.add(GROUP * COLUMNS));
                group::<2, M>(&mut acc, &a, b.add(2 * GROUP * COLUMNS));
                group::<3, M>(&mut acc, &a, b.add(3 * GROUP * COLUMNS));
            }
        }
        for (i, acc) in acc.iter().enumerate() {
            for (j, &sums) in acc.iter().enumerate() {
                // SAFETY: `acc` has room for M rows of the columns.
                unsafe { vst1q_s32(tile.acc.add(i * COLUMNS + 4 * j), sums) };
            }
        }
    }
}

dotprod! {
    /// Adds one group of the panel, `[16 columns][4]` at `b`, times lane LANE of the activations.
    ///
    /// # Safety
    /// The CPU has `dotprod`; `b` is valid for one group.
    #[inline]
    unsafe fn group<const LANE: usize, const M: usize>(
        acc: &mut [[int32x4_t; N]; M],
        a: &[int8x16_t; M],
        b: *const i8,
    ) {
        for j in 0..N {
            // SAFETY: the group has N vectors.
            let b = unsafe { vld1q_s8(b.add(16 * j)) };
            for (acc, &a) in acc.iter_mut().zip(a) {
                // SAFETY: the CPU has the instruction, which touches nothing but its registers.
                unsafe {
                    asm!(
                        "sdot {sum:v}.4s, {b:v}.16b, {a:v}.4b[{lane}]",
                        sum = inout(vreg) acc[j],
                        b = in(vreg) b,
                        a = in(vreg) a,
                        lane = const LANE,
                        options(pure, nomem, nostack, preserves_flags)
                    );
                }
            }
        }
    }
}

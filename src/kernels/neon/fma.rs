//! The f32 tile: 4 rows × 16 columns, one fused multiply-add per product, in the order of k.
//!
//! Of the left side, four neighbours are loaded at a time and multiplied lane by lane: along k
//! where a row is contiguous (a linear layer, scores), across the rows where those are
//! (probabilities · values). Both ways add in the same order.

use std::arch::aarch64::*;

use super::super::table::TileF32;
use super::{COLUMNS, ROWS};

/// Vectors of one row of sums.
const N: usize = COLUMNS / 4;

type Sums<const M: usize> = [[float32x4_t; N]; M];

neon! {
    /// # Safety
    /// The pointers of `tile` are valid for its sizes, `1 ≤ m ≤ ROWS`.
    #[inline]
    pub(super) unsafe fn tile(tile: &TileF32) {
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

neon! {
    /// # Safety
    /// As for [`tile`]; the tile has M rows.
    #[inline]
    unsafe fn rows<const M: usize>(tile: &TileF32) {
        let mut acc: Sums<M> = [[vdupq_n_f32(0.0); N]; M];
        // SAFETY: the caller vouches for the pointers.
        let done = unsafe {
            if tile.k_stride == 1 {
                along_k(tile, &mut acc)
            } else if tile.row_stride == 1 && M == ROWS {
                across_rows(tile, &mut acc)
            } else {
                0
            }
        };
        for k in done..tile.k {
            // SAFETY: k is below tile.k.
            let b = unsafe { columns(tile, k) };
            for (i, acc) in acc.iter_mut().enumerate() {
                // SAFETY: element (i, k) of the left side.
                let a = unsafe { *tile.a.add(i * tile.row_stride + k * tile.k_stride) };
                for j in 0..N {
                    acc[j] = vfmaq_n_f32(acc[j], b[j], a);
                }
            }
        }
        for (i, acc) in acc.iter().enumerate() {
            for (j, &sums) in acc.iter().enumerate() {
                // SAFETY: `acc` has room for M rows of the columns.
                unsafe { vst1q_f32(tile.acc.add(i * COLUMNS + 4 * j), sums) };
            }
        }
    }
}

/// Row k of the panel.
///
/// # Safety
/// k is below `tile.k`.
#[inline(always)]
unsafe fn columns(tile: &TileF32, k: usize) -> [float32x4_t; N] {
    // SAFETY: the panel has tile.k rows of the columns.
    unsafe {
        let b = tile.b.add(k * COLUMNS);
        [
            vld1q_f32(b),
            vld1q_f32(b.add(4)),
            vld1q_f32(b.add(8)),
            vld1q_f32(b.add(12)),
        ]
    }
}

neon! {
    /// `acc[j] += b[j] * a[LANE]`.
    #[inline]
    fn add_lane<const LANE: i32>(acc: &mut [float32x4_t; N], b: &[float32x4_t; N], a: float32x4_t) {
        for j in 0..N {
            acc[j] = vfmaq_laneq_f32::<LANE>(acc[j], b[j], a);
        }
    }
}

neon! {
    /// Four k at a time; returns how many were done.
    ///
    /// # Safety
    /// As for [`rows`]; rows of the left side are contiguous.
    #[inline]
    unsafe fn along_k<const M: usize>(tile: &TileF32, acc: &mut Sums<M>) -> usize {
        let whole = tile.k / 4 * 4;
        for k in (0..whole).step_by(4) {
            let mut a = [vdupq_n_f32(0.0); M];
            for (i, a) in a.iter_mut().enumerate() {
                // SAFETY: k + 4 is at most tile.k.
                *a = unsafe { vld1q_f32(tile.a.add(i * tile.row_stride + k)) };
            }
            // SAFETY: as above.
            let b = unsafe { columns(tile, k) };
            (0..M).for_each(|i| add_lane::<0>(&mut acc[i], &b, a[i]));
            // SAFETY: as above.
            let b = unsafe { columns(tile, k + 1) };
            (0..M).for_each(|i| add_lane::<1>(&mut acc[i], &b, a[i]));
            // SAFETY: as above.
            let b = unsafe { columns(tile, k + 2) };
            (0..M).for_each(|i| add_lane::<2>(&mut acc[i], &b, a[i]));
            // SAFETY: as above.
            let b = unsafe { columns(tile, k + 3) };
            (0..M).for_each(|i| add_lane::<3>(&mut acc[i], &b, a[i]));
        }
        whole
    }
}

neon! {
    /// One k at a time for four rows that lie side by side; returns how many were done.
    ///
    /// # Safety
    /// As for [`rows`]; the tile has four rows, of which column k is contiguous.
    #[inline]
    unsafe fn across_rows<const M: usize>(tile: &TileF32, acc: &mut Sums<M>) -> usize {
        for k in 0..tile.k {
            // SAFETY: four rows lie side by side at every k below tile.k.
            let (a, b) = unsafe { (vld1q_f32(tile.a.add(k * tile.k_stride)), columns(tile, k)) };
            add_lane::<0>(&mut acc[0], &b, a);
            add_lane::<1>(&mut acc[1 % M], &b, a);
            add_lane::<2>(&mut acc[2 % M], &b, a);
            add_lane::<3>(&mut acc[3 % M], &b, a);
        }
        tile.k
    }
}

//! AVX2 with FMA and F16C: tiles of 6 × 16.

use std::arch::x86_64::*;

use half::f16;

use super::avx2_rows::{dequantize, dots, weigh};
use super::{avx2_block_rows, avx2_blocks};
use crate::kernels::block_rows::TileBlocks;
use crate::kernels::packed::{I8Layout, RowFormat};
use crate::kernels::portable::Arith;
use crate::kernels::table::{TileF32, TileI8, Tiles};

pub(super) struct Avx2;

/// Columns of a tile: two vectors.
const COLUMNS: usize = 16;

/// How far ahead weights are fetched when there are too few rows to hide the memory.
const PREFETCH_BYTES: usize = 1024;

impl Arith for Avx2 {
    #[inline(always)]
    fn madd(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl Tiles for Avx2 {
    const F32_ROWS: usize = 6;
    const F32_COLUMNS: usize = COLUMNS;
    const I8: I8Layout = I8Layout {
        rows: 6,
        columns: COLUMNS,
        group: 2,
        format: RowFormat::I16,
    };

    #[inline(always)]
    unsafe fn tile_f32(tile: &TileF32) {
        // SAFETY: passed on.
        unsafe {
            match tile.m {
                1 => tile_f32::<1>(tile),
                2 => tile_f32::<2>(tile),
                3 => tile_f32::<3>(tile),
                4 => tile_f32::<4>(tile),
                5 => tile_f32::<5>(tile),
                _ => tile_f32::<6>(tile),
            }
        }
    }

    #[inline(always)]
    unsafe fn tile_blocks(tile: &TileBlocks) {
        // SAFETY: passed on; this level has the features of AVX2.
        unsafe { avx2_blocks::tile(tile) }
    }

    #[inline(always)]
    unsafe fn quantize_blocks(x: &[f32], out: &mut [u8]) {
        // SAFETY: passed on; this level has the features of AVX2.
        unsafe { avx2_block_rows::quantize_row(x, out) }
    }

    #[inline(always)]
    unsafe fn tile_i8(tile: &TileI8) {
        // SAFETY: passed on.
        unsafe {
            match tile.m {
                1 => tile_i8::<1>(tile),
                2 => tile_i8::<2>(tile),
                3 => tile_i8::<3>(tile),
                4 => tile_i8::<4>(tile),
                5 => tile_i8::<5>(tile),
                _ => tile_i8::<6>(tile),
            }
        }
    }

    #[inline(always)]
    unsafe fn dequantize(acc: &[i32], excess: &[i32], scales: (&[f32], f32), out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { dequantize(acc, excess, scales, out) }
    }

    #[inline(always)]
    unsafe fn dots(q: &[f32], keys: &[f32], out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { dots(q, keys, out) }
    }

    #[inline(always)]
    unsafe fn weigh(p: &[f32], values: &[f32], sum: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { weigh(p, values, sum) }
    }

    #[inline(always)]
    unsafe fn from_f16(x: &[f16], out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { from_f16(x, out) }
    }

    #[inline(always)]
    unsafe fn to_f16(x: &[f32], out: &mut [f16]) {
        // SAFETY: passed on.
        unsafe { to_f16(x, out) }
    }
}

avx2! {
    /// # Safety
    /// As for `Tiles::tile_f32`, with `tile.m == M`.
    unsafe fn tile_f32<const M: usize>(tile: &TileF32) {
        debug_assert_eq!(tile.m, M);
        let mut sums = [[_mm256_setzero_ps(); 2]; M];
        let (mut a, mut b) = (tile.a, tile.b);
        for _ in 0..tile.k {
            // SAFETY: `b` walks over k rows of a panel, `a` over k elements of M rows.
            unsafe {
                let b0 = _mm256_loadu_ps(b);
                let b1 = _mm256_loadu_ps(b.add(8));
                if M <= 2 {
                    _mm_prefetch(b.cast::<i8>().wrapping_add(PREFETCH_BYTES), _MM_HINT_T0);
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let a = _mm256_set1_ps(*a.add(i * tile.row_stride));
                    sums[0] = _mm256_fmadd_ps(a, b0, sums[0]);
                    sums[1] = _mm256_fmadd_ps(a, b1, sums[1]);
                }
            }
            a = a.wrapping_add(tile.k_stride);
            b = b.wrapping_add(COLUMNS);
        }
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: `acc` holds M rows.
            unsafe {
                _mm256_storeu_ps(tile.acc.add(i * COLUMNS), sums[0]);
                _mm256_storeu_ps(tile.acc.add(i * COLUMNS + 8), sums[1]);
            }
        }
    }
}

avx2! {
    /// Products of 16-bit pairs, added in 32 bits: exact, where the 8-bit instruction saturates.
    ///
    /// # Safety
    /// As for `Tiles::tile_i8`, with `tile.m == M`.
    unsafe fn tile_i8<const M: usize>(tile: &TileI8) {
        debug_assert_eq!(tile.m, M);
        let mut sums = [[_mm256_setzero_si256(); 2]; M];
        let (mut a, mut b) = (tile.a, tile.b);
        for _ in 0..tile.k / 2 {
            // SAFETY: `b` walks over k / 2 groups of a panel, `a` over k / 2 pairs of M rows.
            unsafe {
                let b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(b.cast()));
                let b1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(b.add(16).cast()));
                if M <= 2 {
                    _mm_prefetch(b.wrapping_add(PREFETCH_BYTES), _MM_HINT_T0);
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let pair = a.add(i * tile.row_bytes).cast::<i32>().read_unaligned();
                    let a = _mm256_set1_epi32(pair);
                    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(a, b0));
                    sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(a, b1));
                }
            }
            a = a.wrapping_add(4);
            b = b.wrapping_add(2 * COLUMNS);
        }
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: `acc` holds M rows.
            unsafe {
                _mm256_storeu_si256(tile.acc.add(i * COLUMNS).cast(), sums[0]);
                _mm256_storeu_si256(tile.acc.add(i * COLUMNS + 8).cast(), sums[1]);
            }
        }
    }
}

avx2! {
    /// # Safety
    /// None beyond the level.
    unsafe fn from_f16(x: &[f16], out: &mut [f32]) {
        let (x, x_rest) = x.as_chunks::<8>();
        let (out, out_rest) = out.as_chunks_mut::<8>();
        for (x, out) in x.iter().zip(out) {
            // SAFETY: eight halves and eight floats.
            unsafe {
                let halves = _mm_loadu_si128(x.as_ptr().cast());
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(halves));
            }
        }
        for (x, out) in x_rest.iter().zip(out_rest) {
            *out = x.to_f32();
        }
    }
}

avx2! {
    /// # Safety
    /// None beyond the level.
    unsafe fn to_f16(x: &[f32], out: &mut [f16]) {
        let (x, x_rest) = x.as_chunks::<8>();
        let (out, out_rest) = out.as_chunks_mut::<8>();
        for (x, out) in x.iter().zip(out) {
            // SAFETY: eight floats and eight halves.
            unsafe {
                let floats = _mm256_loadu_ps(x.as_ptr());
                let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(floats);
                _mm_storeu_si128(out.as_mut_ptr().cast(), halves);
            }
        }
        for (x, out) in x_rest.iter().zip(out_rest) {
            *out = f16::from_f32(*x);
        }
    }
}

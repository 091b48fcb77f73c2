//! AVX-512 without an 8-bit dot product: tiles of 12 × 32.

use std::arch::x86_64::*;

use half::f16;

use super::avx512_rows::{dequantize, dots, rescale, weigh};
use super::{avx2_block_rows, avx2_blocks};
use crate::kernels::block_rows::TileBlocks;
use crate::kernels::packed::{I8Layout, RowFormat};
use crate::kernels::portable::Arith;
use crate::kernels::table::{TileF32, TileI8, Tiles};

pub(super) struct Avx512;

/// Columns of a tile: two vectors.
pub(super) const COLUMNS: usize = 32;

/// Rows of a tile: 24 of the 32 registers hold sums.
pub(super) const ROWS: usize = 12;

/// How far ahead weights are fetched when there are too few rows to hide the memory.
pub(super) const PREFETCH_BYTES: usize = 1024;

/// Calls `$tile::<M>` with M = `$m`, from 1 to 12.
macro_rules! with_rows {
    ($m:expr, $tile:ident, $argument:expr) => {
        match $m {
            1 => $tile::<1>($argument),
            2 => $tile::<2>($argument),
            3 => $tile::<3>($argument),
            4 => $tile::<4>($argument),
            5 => $tile::<5>($argument),
            6 => $tile::<6>($argument),
            7 => $tile::<7>($argument),
            8 => $tile::<8>($argument),
            9 => $tile::<9>($argument),
            10 => $tile::<10>($argument),
            11 => $tile::<11>($argument),
            12 => $tile::<12>($argument),
            m => unreachable!("a tile of {m} rows"),
        }
    };
}
pub(super) use with_rows;

/// Pointers to the rows of a tile. The compiler must not know that they are equally far apart: it
/// would compute each address from the one before, one addition waiting for the other.
#[inline(always)]
pub(super) fn row_pointers<T, const M: usize>(first: *const T, stride: usize) -> [*const T; M] {
    std::hint::black_box(std::array::from_fn(|i| first.wrapping_add(i * stride)))
}

impl Arith for Avx512 {
    #[inline(always)]
    fn madd(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl Tiles for Avx512 {
    const F32_ROWS: usize = ROWS;
    const F32_COLUMNS: usize = COLUMNS;
    const I8: I8Layout = I8Layout {
        rows: ROWS,
        columns: COLUMNS,
        group: 2,
        format: RowFormat::I16,
    };

    #[inline(always)]
    unsafe fn tile_f32(tile: &TileF32) {
        // SAFETY: passed on.
        unsafe { with_rows!(tile.m, tile_f32, tile) }
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
        unsafe { with_rows!(tile.m, tile_i8, tile) }
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
    unsafe fn rescale(sum: &mut [f32], factors: &[f32], product: &[f32]) {
        // SAFETY: passed on.
        unsafe { rescale(sum, factors, product) }
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

avx512! {
    /// # Safety
    /// As for `Tiles::tile_f32`, with `tile.m == M`.
    pub(super) unsafe fn tile_f32<const M: usize>(tile: &TileF32) {
        debug_assert_eq!(tile.m, M);
        let mut sums = [[_mm512_setzero_ps(); 2]; M];
        let rows = row_pointers::<f32, M>(tile.a, tile.row_stride);
        let (mut a, mut b) = (0, tile.b);
        for _ in 0..tile.k {
            // SAFETY: `b` walks over k rows of a panel, `a` over k elements of M rows.
            unsafe {
                let b0 = _mm512_loadu_ps(b);
                let b1 = _mm512_loadu_ps(b.add(16));
                if M <= 4 {
                    _mm_prefetch(b.cast::<i8>().wrapping_add(PREFETCH_BYTES), _MM_HINT_T0);
                    _mm_prefetch(b.cast::<i8>().wrapping_add(PREFETCH_BYTES + 64), _MM_HINT_T0);
                }
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    let a = _mm512_set1_ps(*row.add(a));
                    sums[0] = _mm512_fmadd_ps(a, b0, sums[0]);
                    sums[1] = _mm512_fmadd_ps(a, b1, sums[1]);
                }
            }
            a += tile.k_stride;
            b = b.wrapping_add(COLUMNS);
        }
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: `acc` holds M rows.
            unsafe {
                _mm512_storeu_ps(tile.acc.add(i * COLUMNS), sums[0]);
                _mm512_storeu_ps(tile.acc.add(i * COLUMNS + 16), sums[1]);
            }
        }
    }
}

avx512! {
    /// Products of 16-bit pairs, added in 32 bits.
    ///
    /// # Safety
    /// As for `Tiles::tile_i8`, with `tile.m == M`.
    unsafe fn tile_i8<const M: usize>(tile: &TileI8) {
        debug_assert_eq!(tile.m, M);
        let mut sums = [[_mm512_setzero_si512(); 2]; M];
        let rows = row_pointers::<u8, M>(tile.a, tile.row_bytes);
        let mut b = tile.b;
        for k in 0..tile.k / 2 {
            // SAFETY: `b` walks over k / 2 groups of a panel, `a` over k / 2 pairs of M rows.
            unsafe {
                let b0 = _mm512_cvtepi8_epi16(_mm256_loadu_si256(b.cast()));
                let b1 = _mm512_cvtepi8_epi16(_mm256_loadu_si256(b.add(32).cast()));
                if M <= 4 {
                    _mm_prefetch(b.wrapping_add(PREFETCH_BYTES), _MM_HINT_T0);
                }
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    let pair = row.add(4 * k).cast::<i32>().read_unaligned();
                    let a = _mm512_set1_epi32(pair);
                    sums[0] = _mm512_add_epi32(sums[0], _mm512_madd_epi16(a, b0));
                    sums[1] = _mm512_add_epi32(sums[1], _mm512_madd_epi16(a, b1));
                }
            }
            b = b.wrapping_add(2 * COLUMNS);
        }
        // SAFETY: `acc` holds M rows.
        unsafe { store_i32(&sums, tile.acc) };
    }
}

avx512! {
    /// # Safety
    /// `acc` holds M rows.
    pub(super) unsafe fn store_i32<const M: usize>(sums: &[[__m512i; 2]; M], acc: *mut i32) {
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's word.
            unsafe {
                _mm512_storeu_si512(acc.add(i * COLUMNS).cast(), sums[0]);
                _mm512_storeu_si512(acc.add(i * COLUMNS + 16).cast(), sums[1]);
            }
        }
    }
}

avx512! {
    /// # Safety
    /// None beyond the level.
    pub(super) unsafe fn from_f16(x: &[f16], out: &mut [f32]) {
        let (x, x_rest) = x.as_chunks::<16>();
        let (out, out_rest) = out.as_chunks_mut::<16>();
        for (x, out) in x.iter().zip(out) {
            // SAFETY: sixteen halves and sixteen floats.
            unsafe {
                let halves = _mm256_loadu_si256(x.as_ptr().cast());
                _mm512_storeu_ps(out.as_mut_ptr(), _mm512_cvtph_ps(halves));
            }
        }
        for (x, out) in x_rest.iter().zip(out_rest) {
            *out = x.to_f32();
        }
    }
}

avx512! {
    /// # Safety
    /// None beyond the level.
    pub(super) unsafe fn to_f16(x: &[f32], out: &mut [f16]) {
        let (x, x_rest) = x.as_chunks::<16>();
        let (out, out_rest) = out.as_chunks_mut::<16>();
        for (x, out) in x.iter().zip(out) {
            // SAFETY: sixteen floats and sixteen halves.
            unsafe {
                let floats = _mm512_loadu_ps(x.as_ptr());
                let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(floats);
                _mm256_storeu_si256(out.as_mut_ptr().cast(), halves);
            }
        }
        for (x, out) in x_rest.iter().zip(out_rest) {
            *out = f16::from_f32(*x);
        }
    }
}

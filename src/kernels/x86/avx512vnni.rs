//! AVX-512 with VNNI: `vpdpbusd` adds four products of unsigned activations (zero point 128) and
//! signed weights per lane. Everything in f32 is as at the level below.

use std::arch::x86_64::*;

use half::f16;

use super::avx512_rows::{dequantize, dots, rescale, weigh};
use super::avx512_tiles::{
    COLUMNS, PREFETCH_BYTES, ROWS, from_f16, row_pointers, store_i32, tile_f32, to_f16, with_rows,
};
use super::{avx2_block_rows, avx2_blocks};
use crate::kernels::block_rows::TileBlocks;
use crate::kernels::packed::{I8Layout, RowFormat};
use crate::kernels::portable::Arith;
use crate::kernels::table::{TileF32, TileI8, Tiles};

pub(super) struct Avx512Vnni;

impl Arith for Avx512Vnni {
    #[inline(always)]
    fn madd(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl Tiles for Avx512Vnni {
    const F32_ROWS: usize = ROWS;
    const F32_COLUMNS: usize = COLUMNS;
    const I8: I8Layout = I8Layout {
        rows: ROWS,
        columns: COLUMNS,
        group: 4,
        format: RowFormat::U8,
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
        unsafe {
            match tile.m {
                1 => few_rows::<1>(tile),
                2 => few_rows::<2>(tile),
                3 => few_rows::<3>(tile),
                4 => few_rows::<4>(tile),
                m => with_rows!(m, tile_i8, tile),
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

avx512vnni! {
    /// # Safety
    /// As for `Tiles::tile_i8`, with `tile.m == M`.
    unsafe fn tile_i8<const M: usize>(tile: &TileI8) {
        debug_assert_eq!(tile.m, M);
        let mut sums = [[_mm512_setzero_si512(); 2]; M];
        let rows = row_pointers::<u8, M>(tile.a, tile.row_bytes);
        let mut b = tile.b;
        for k in (0..tile.k).step_by(4) {
            // SAFETY: `b` walks over k / 4 groups of a panel, `a` over k / 4 groups of M rows.
            unsafe { step::<M>(&mut sums, &rows, k, b) };
            b = b.wrapping_add(4 * COLUMNS);
        }
        // SAFETY: `acc` holds M rows.
        unsafe { store_i32(&sums, tile.acc) };
    }
}

avx512vnni! {
    /// With few rows the sums would wait for each other: two sets of them take turns.
    ///
    /// # Safety
    /// As for `Tiles::tile_i8`, with `tile.m == M`.
    unsafe fn few_rows<const M: usize>(tile: &TileI8) {
        debug_assert_eq!(tile.m, M);
        let mut even = [[_mm512_setzero_si512(); 2]; M];
        let mut odd = even;
        let rows = row_pointers::<u8, M>(tile.a, tile.row_bytes);
        let mut b = tile.b;
        for k in (0..tile.k).step_by(8) {
            _mm_prefetch(b.wrapping_add(PREFETCH_BYTES), _MM_HINT_T0);
            _mm_prefetch(b.wrapping_add(PREFETCH_BYTES + 64), _MM_HINT_T0);
            _mm_prefetch(b.wrapping_add(PREFETCH_BYTES + 128), _MM_HINT_T0);
            _mm_prefetch(b.wrapping_add(PREFETCH_BYTES + 192), _MM_HINT_T0);
            // SAFETY: `b` walks over k / 4 groups of a panel, `a` over k / 4 groups of M rows;
            // k is a multiple of 64.
            unsafe {
                step::<M>(&mut even, &rows, k, b);
                step::<M>(&mut odd, &rows, k + 4, b.add(4 * COLUMNS));
            }
            b = b.wrapping_add(8 * COLUMNS);
        }
        for (even, odd) in even.iter_mut().zip(&odd) {
            even[0] = _mm512_add_epi32(even[0], odd[0]);
            even[1] = _mm512_add_epi32(even[1], odd[1]);
        }
        // SAFETY: `acc` holds M rows.
        unsafe { store_i32(&even, tile.acc) };
    }
}

avx512vnni! {
    /// Adds the products of one group of four.
    ///
    /// # Safety
    /// `b` has a group of all columns, each row one at `k`.
    #[inline]
    unsafe fn step<const M: usize>(
        sums: &mut [[__m512i; 2]; M],
        rows: &[*const u8; M],
        k: usize,
        b: *const i8,
    ) {
        // SAFETY: the caller's word.
        unsafe {
            let b0 = _mm512_loadu_si512(b.cast());
            let b1 = _mm512_loadu_si512(b.add(64).cast());
            for (sums, row) in sums.iter_mut().zip(rows) {
                let a = _mm512_set1_epi32(row.add(k).cast::<i32>().read_unaligned());
                sums[0] = _mm512_dpbusd_epi32(sums[0], a, b0);
                sums[1] = _mm512_dpbusd_epi32(sums[1], a, b1);
            }
        }
    }
}

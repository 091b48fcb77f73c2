//! AVX2: tiles of weights in blocks, eight outputs at a time. The wider levels use them too.
//!
//! Codes of 4 and 5 bits are unsigned, so that one instruction multiplies them with signed
//! activations and adds pairs in 16 bits, which hold 2 · 31 · 127. Over a whole block only the
//! sums of code - offset fit (16 products of at most 16 · 127), and these come out, whatever
//! overflows on the way, because the sums begin with -offset · Σ activations.
//!
//! Blocks are taken apart anew for every six rows. Unpacking a panel once for all of them, to meet
//! sixteen outputs with each activation, was measured: 26 instead of 37 GMAC/s (Zen 3).

use std::arch::x86_64::*;

use crate::kernels::block_rows::{PAIRS_AT, RECORD_BYTES, SCALE_AT, SUM_AT, TileBlocks};
use crate::kernels::blocks::{BlockFormat, COLUMNS, FIFTH_BYTES, HALVES_BYTES, PANEL};

/// How far ahead weights are fetched when there are too few rows to hide the memory.
const PREFETCH_BYTES: usize = 1024;

/// Bytes of four neighbours along n_in of a panel: one vector.
const GROUP: usize = 4 * PANEL;

/// Calls `$tile` with the number of rows as its last parameter, from 1 to 6.
macro_rules! with_rows {
    ($tile:ident [$($parameter:literal),*] $argument:expr) => {
        match $argument.m {
            1 => $tile::<$($parameter,)* 1>($argument),
            2 => $tile::<$($parameter,)* 2>($argument),
            3 => $tile::<$($parameter,)* 3>($argument),
            4 => $tile::<$($parameter,)* 4>($argument),
            5 => $tile::<$($parameter,)* 5>($argument),
            6 => $tile::<$($parameter,)* 6>($argument),
            m => unreachable!("a tile of {m} rows"),
        }
    };
}

avx2! {
    /// # Safety
    /// The CPU has AVX2, FMA and F16C; all pointers of `tile` are valid for its sizes.
    pub(super) unsafe fn tile(tile: &TileBlocks) {
        // SAFETY: passed on.
        unsafe {
            match tile.format {
                BlockFormat::Q4_0 => with_rows!(tile_nibbles [false, false] tile),
                BlockFormat::Q4_1 => with_rows!(tile_nibbles [false, true] tile),
                BlockFormat::Q5_0 => with_rows!(tile_nibbles [true, false] tile),
                BlockFormat::Q5_1 => with_rows!(tile_nibbles [true, true] tile),
                BlockFormat::Q8_0 => with_rows!(tile_bytes [] tile),
            }
        }
    }
}

avx2! {
    /// Eight halves as floats.
    ///
    /// # Safety
    /// There are eight.
    #[inline]
    unsafe fn halves(at: *const u8) -> __m256 {
        // SAFETY: the caller's word.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
    }
}

avx2! {
    /// The four bytes at `at`, eight times.
    ///
    /// # Safety
    /// They are there.
    #[inline]
    unsafe fn four_bytes(at: *const u8) -> __m256i {
        // SAFETY: the caller's word.
        unsafe { _mm256_set1_epi32(at.cast::<i32>().read_unaligned()) }
    }
}

avx2! {
    /// The number at `at`, eight times.
    ///
    /// # Safety
    /// It is there.
    #[inline]
    unsafe fn number(at: *const u8) -> __m256 {
        // SAFETY: the caller's word.
        unsafe { _mm256_set1_ps(at.cast::<f32>().read_unaligned()) }
    }
}

avx2! {
    /// 4-bit codes, or 5-bit ones, with or without a minimum.
    ///
    /// # Safety
    /// As for [`tile`], with `tile.m == M`.
    unsafe fn tile_nibbles<const FIVE: bool, const MINIMUM: bool, const M: usize>(
        tile: &TileBlocks,
    ) {
        let offset = _mm256_set1_ps(f32::from(tile.format.offset()));
        let (low_half, fifth_bit) = (_mm256_set1_epi8(0x0f), _mm256_set1_epi8(0x10));
        let ones = _mm256_set1_epi16(1);
        let mut b = tile.b;
        for half in 0..COLUMNS / PANEL {
            let mut sums = [_mm256_setzero_ps(); M];
            let mut a = tile.a;
            for _ in 0..tile.n_blocks {
                // SAFETY: `b` walks over the blocks of two panels, `a` over the records of M rows.
                unsafe {
                    if M <= 2 {
                        _mm_prefetch(b.cast::<i8>().wrapping_add(PREFETCH_BYTES), _MM_HINT_T0);
                        let next = b.cast::<i8>().wrapping_add(PREFETCH_BYTES + 64);
                        _mm_prefetch(next, _MM_HINT_T0);
                    }
                    let scales = halves(b);
                    b = b.add(HALVES_BYTES);
                    let mut bases = scales;
                    if MINIMUM {
                        bases = _mm256_fmadd_ps(scales, offset, halves(b));
                        b = b.add(HALVES_BYTES);
                    }
                    let mut fifth = [ones; 2];
                    if FIVE {
                        let bits = _mm256_loadu_si256(b.cast());
                        fifth = [bits, _mm256_slli_epi16::<4>(bits)];
                        b = b.add(FIFTH_BYTES);
                    }
                    let mut exact = [ones; M];
                    for (i, exact) in exact.iter_mut().enumerate() {
                        *exact = four_bytes(a.add(i * tile.row_bytes + PAIRS_AT));
                        if FIVE {
                            *exact = _mm256_slli_epi16::<1>(*exact);
                        }
                    }
                    for p in 0..4 {
                        let codes = _mm256_loadu_si256(b.add(p * GROUP).cast());
                        let mut low = _mm256_and_si256(codes, low_half);
                        let mut high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low_half);
                        if FIVE {
                            low = _mm256_or_si256(low, _mm256_and_si256(fifth[0], fifth_bit));
                            high = _mm256_or_si256(high, _mm256_and_si256(fifth[1], fifth_bit));
                            fifth[0] = _mm256_srli_epi16::<1>(fifth[0]);
                            fifth[1] = _mm256_srli_epi16::<1>(fifth[1]);
                        }
                        for (i, exact) in exact.iter_mut().enumerate() {
                            let a = a.add(i * tile.row_bytes + 4 * p);
                            let first = _mm256_maddubs_epi16(low, four_bytes(a));
                            let second = _mm256_maddubs_epi16(high, four_bytes(a.add(16)));
                            *exact = _mm256_add_epi16(_mm256_add_epi16(*exact, first), second);
                        }
                    }
                    b = b.add(4 * GROUP);
                    for (i, (sum, exact)) in sums.iter_mut().zip(&exact).enumerate() {
                        let a = a.add(i * tile.row_bytes);
                        let exact = _mm256_cvtepi32_ps(_mm256_madd_epi16(*exact, ones));
                        let scales = _mm256_mul_ps(scales, number(a.add(SCALE_AT)));
                        *sum = _mm256_fmadd_ps(exact, scales, *sum);
                        if MINIMUM {
                            *sum = _mm256_fmadd_ps(bases, number(a.add(SUM_AT)), *sum);
                        }
                    }
                    a = a.add(RECORD_BYTES);
                }
            }
            // SAFETY: `acc` holds M rows of the columns.
            unsafe { store(&sums, tile.acc.add(half * PANEL)) };
        }
    }
}

avx2! {
    /// 8-bit codes: magnitudes times activations of their signs, whose pairs fit in 16 bits.
    ///
    /// # Safety
    /// As for [`tile`], with `tile.m == M`.
    unsafe fn tile_bytes<const M: usize>(tile: &TileBlocks) {
        let ones = _mm256_set1_epi16(1);
        let mut b = tile.b;
        for half in 0..COLUMNS / PANEL {
            let mut sums = [_mm256_setzero_ps(); M];
            let mut a = tile.a;
            for _ in 0..tile.n_blocks {
                // SAFETY: `b` walks over the blocks of two panels, `a` over the records of M rows.
                unsafe {
                    let scales = halves(b);
                    b = b.add(HALVES_BYTES);
                    let mut exact = [_mm256_setzero_si256(); M];
                    for g in 0..8 {
                        if M <= 2 && g % 2 == 0 {
                            _mm_prefetch(b.cast::<i8>().wrapping_add(PREFETCH_BYTES), _MM_HINT_T0);
                        }
                        let codes = _mm256_loadu_si256(b.cast());
                        b = b.add(GROUP);
                        let magnitudes = _mm256_abs_epi8(codes);
                        for (i, exact) in exact.iter_mut().enumerate() {
                            let a = four_bytes(a.add(i * tile.row_bytes + 4 * g));
                            let signed = _mm256_sign_epi8(a, codes);
                            let pairs = _mm256_maddubs_epi16(magnitudes, signed);
                            *exact = _mm256_add_epi32(*exact, _mm256_madd_epi16(pairs, ones));
                        }
                    }
                    for (i, (sum, exact)) in sums.iter_mut().zip(&exact).enumerate() {
                        let scale = number(a.add(i * tile.row_bytes + SCALE_AT));
                        let scales = _mm256_mul_ps(scales, scale);
                        *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(*exact), scales, *sum);
                    }
                    a = a.add(RECORD_BYTES);
                }
            }
            // SAFETY: `acc` holds M rows of the columns.
            unsafe { store(&sums, tile.acc.add(half * PANEL)) };
        }
    }
}

avx2! {
    /// # Safety
    /// `acc` holds M rows of eight, `COLUMNS` apart.
    #[inline]
    unsafe fn store<const M: usize>(sums: &[__m256; M], acc: *mut f32) {
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's word.
            unsafe { _mm256_storeu_ps(acc.add(i * COLUMNS), *sums) };
        }
    }
}

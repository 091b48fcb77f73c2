//! AVX2: activations quantised in blocks of 32.

use std::arch::x86_64::*;

use crate::kernels::block_rows::{self, RECORD_BYTES};
use crate::kernels::blocks::BLOCK_LEN;

avx2! {
    /// To the bit what `block_rows::quantize_row` makes of a row, of finite numbers at least.
    ///
    /// # Safety
    /// None beyond the level.
    pub(super) unsafe fn quantize_row(x: &[f32], out: &mut [u8]) {
        let records = out.as_chunks_mut::<RECORD_BYTES>().0;
        let (whole, rest) = x.as_chunks::<BLOCK_LEN>();
        let (records, padded) = records.split_at_mut(whole.len());
        for (x, record) in whole.iter().zip(records) {
            // SAFETY: 32 numbers and one record.
            unsafe { quantize_block(x, record) };
        }
        for record in padded {
            let mut last = [0.0; BLOCK_LEN];
            last[..rest.len()].copy_from_slice(rest);
            // SAFETY: 32 numbers and one record.
            unsafe { quantize_block(&last, record) };
        }
    }
}

avx2! {
    /// # Safety
    /// None beyond the level.
    #[inline]
    unsafe fn quantize_block(x: &[f32; BLOCK_LEN], record: &mut [u8; RECORD_BYTES]) {
        let magnitude = _mm256_set1_epi32(0x7fff_ffff);
        let mut numbers = [_mm256_setzero_ps(); 4];
        let mut largest = _mm256_setzero_si256();
        for (i, numbers) in numbers.iter_mut().enumerate() {
            // SAFETY: eight of 32 numbers.
            *numbers = unsafe { _mm256_loadu_ps(x.as_ptr().add(8 * i)) };
            let bits = _mm256_and_si256(_mm256_castps_si256(*numbers), magnitude);
            // Magnitudes order like their bits, with NaN on top.
            largest = _mm256_max_epu32(largest, bits);
        }
        let halves = (_mm256_castsi256_si128(largest), _mm256_extracti128_si256::<1>(largest));
        let four = _mm_max_epu32(halves.0, halves.1);
        let two = _mm_max_epu32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
        let one = _mm_max_epu32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
        let largest = f32::from_bits(_mm_cvtsi128_si32(one).cast_unsigned());
        let (scale, inverse) = block_rows::scale_of(largest);

        let inverse = _mm256_set1_ps(inverse);
        let mut q = [_mm256_setzero_si256(); 4];
        let mut lanes = _mm256_setzero_si256();
        for (q, numbers) in q.iter_mut().zip(&numbers) {
            *q = _mm256_cvtps_epi32(_mm256_mul_ps(*numbers, inverse));
            lanes = _mm256_add_epi32(lanes, *q);
        }
        let words = (_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        let bytes = _mm256_packs_epi16(words.0, words.1);
        // The instructions above pack each half of a vector by itself.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(bytes, order);
        // SAFETY: a record begins with 32 bytes.
        unsafe { _mm256_storeu_si256(record.as_mut_ptr().cast(), bytes) };

        let halves = (_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
        let four = _mm_add_epi32(halves.0, halves.1);
        let pairs = _mm_hadd_epi32(four, four);
        let pairs = [_mm_extract_epi32::<0>(pairs), _mm_extract_epi32::<1>(pairs)];
        block_rows::put_sums(record, scale, pairs);
    }
}

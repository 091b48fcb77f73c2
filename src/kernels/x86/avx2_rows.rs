//! AVX2: work on single rows, whose length is a multiple of eight.

use std::arch::x86_64::*;

avx2! {
    /// # Safety
    /// None beyond the level.
    #[inline]
    pub(super) unsafe fn dequantize(
        acc: &[i32],
        excess: &[i32],
        (scales, row_scale): (&[f32], f32),
        out: &mut [f32],
    ) {
        assert_eq!(out.len() % 8, 0);
        let row_scale = _mm256_set1_ps(row_scale);
        let sums = acc.as_chunks::<8>().0.iter().zip(excess.as_chunks::<8>().0);
        let sums = sums.zip(scales.as_chunks::<8>().0);
        for (out, ((acc, excess), scales)) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
            // SAFETY: eight numbers each.
            unsafe {
                let acc = _mm256_loadu_si256(acc.as_ptr().cast());
                let exact = _mm256_sub_epi32(acc, _mm256_loadu_si256(excess.as_ptr().cast()));
                let scales = _mm256_mul_ps(_mm256_loadu_ps(scales.as_ptr()), row_scale);
                let sums = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), scales);
                _mm256_storeu_ps(out.as_mut_ptr(), sums);
            }
        }
    }
}

avx2! {
    /// Eight keys at a time, so that their sums are added up together.
    ///
    /// # Safety
    /// None beyond the level.
    pub(super) unsafe fn dots(q: &[f32], keys: &[f32], out: &mut [f32]) {
        let d = q.len();
        assert!(d.is_multiple_of(8) && keys.len() == out.len() * d);
        for (out, keys) in out.chunks_mut(8).zip(keys.chunks(8 * d)) {
            let mut all = [0.0; 8];
            // SAFETY: `out.len()` keys of length d, of which the last stands for the others.
            unsafe { _mm256_storeu_ps(all.as_mut_ptr(), eight(q, keys, out.len() - 1)) };
            out.copy_from_slice(&all[..out.len()]);
        }
    }
}

avx2! {
    /// `q` times keys 0, 1, … 7, but none beyond `last`.
    ///
    /// # Safety
    /// `keys` is `[last + 1][q.len()]`; the length is a multiple of eight.
    #[inline]
    unsafe fn eight(q: &[f32], keys: &[f32], last: usize) -> __m256 {
        let d = q.len();
        let mut sums = [_mm256_setzero_ps(); 8];
        for c in (0..d).step_by(8) {
            // SAFETY: eight more of q and of each key.
            unsafe {
                let q = _mm256_loadu_ps(q.as_ptr().add(c));
                for (j, sum) in sums.iter_mut().enumerate() {
                    let key = keys.as_ptr().add(j.min(last) * d + c);
                    *sum = _mm256_fmadd_ps(q, _mm256_loadu_ps(key), *sum);
                }
            }
        }
        let low = _mm256_hadd_ps(
            _mm256_hadd_ps(sums[0], sums[1]),
            _mm256_hadd_ps(sums[2], sums[3]),
        );
        let high = _mm256_hadd_ps(
            _mm256_hadd_ps(sums[4], sums[5]),
            _mm256_hadd_ps(sums[6], sums[7]),
        );
        _mm256_add_ps(
            _mm256_permute2f128_ps::<0x20>(low, high),
            _mm256_permute2f128_ps::<0x31>(low, high),
        )
    }
}

avx2! {
    /// 32 columns at a time, then 8.
    ///
    /// # Safety
    /// None beyond the level.
    pub(super) unsafe fn weigh(p: &[f32], values: &[f32], sum: &mut [f32]) {
        let d = sum.len();
        assert!(d.is_multiple_of(8) && values.len() == p.len() * d);
        let mut c = 0;
        while c + 32 <= d {
            // SAFETY: columns c..c + 32 are there.
            unsafe { weigh_columns::<4>(p, &values[c..], d, &mut sum[c..]) };
            c += 32;
        }
        while c < d {
            // SAFETY: columns c..c + 8 are there.
            unsafe { weigh_columns::<1>(p, &values[c..], d, &mut sum[c..]) };
            c += 8;
        }
    }
}

avx2! {
    #[allow(clippy::needless_range_loop)]
    /// `V` vectors of columns; even and odd rows are added up apart so that fewer additions wait
    /// for each other.
    ///
    /// # Safety
    /// Rows of `values` are `d` apart; they and `sum` have 8 V columns.
    #[inline]
    unsafe fn weigh_columns<const V: usize>(
        p: &[f32],
        values: &[f32],
        d: usize,
        sum: &mut [f32],
    ) {
        let mut even = [_mm256_setzero_ps(); V];
        let mut odd = even;
        let (pairs, last) = p.as_chunks::<2>();
        let mut row = values.as_ptr();
        // SAFETY: the caller's word; there are as many rows as probabilities.
        unsafe {
            for (v, even) in even.iter_mut().enumerate() {
                *even = _mm256_loadu_ps(sum.as_ptr().add(8 * v));
            }
            for &[p0, p1] in pairs {
                let (p0, p1) = (_mm256_set1_ps(p0), _mm256_set1_ps(p1));
                for v in 0..V {
                    even[v] = _mm256_fmadd_ps(p0, _mm256_loadu_ps(row.add(8 * v)), even[v]);
                    odd[v] = _mm256_fmadd_ps(p1, _mm256_loadu_ps(row.add(d + 8 * v)), odd[v]);
                }
                row = row.wrapping_add(2 * d);
            }
            for &p in last {
                for v in 0..V {
                    let value = _mm256_loadu_ps(row.add(8 * v));
                    even[v] = _mm256_fmadd_ps(_mm256_set1_ps(p), value, even[v]);
                }
            }
            for v in 0..V {
                let total = _mm256_add_ps(even[v], odd[v]);
                _mm256_storeu_ps(sum.as_mut_ptr().add(8 * v), total);
            }
        }
    }
}

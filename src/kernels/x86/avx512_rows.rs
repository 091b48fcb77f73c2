//! AVX-512: work on single rows.

use std::arch::x86_64::*;

avx512! {
    /// # Safety
    /// None beyond the level.
    #[inline]
    pub(super) unsafe fn dequantize(
        acc: &[i32],
        excess: &[i32],
        (scales, row_scale): (&[f32], f32),
        out: &mut [f32],
    ) {
        assert_eq!(out.len() % 16, 0);
        let row_scale = _mm512_set1_ps(row_scale);
        let sums = acc.as_chunks::<16>().0.iter().zip(excess.as_chunks::<16>().0);
        let sums = sums.zip(scales.as_chunks::<16>().0);
        for (out, ((acc, excess), scales)) in out.as_chunks_mut::<16>().0.iter_mut().zip(sums) {
            // SAFETY: sixteen numbers each.
            unsafe {
                let acc = _mm512_loadu_si512(acc.as_ptr().cast());
                let exact = _mm512_sub_epi32(acc, _mm512_loadu_si512(excess.as_ptr().cast()));
                let scales = _mm512_mul_ps(_mm512_loadu_ps(scales.as_ptr()), row_scale);
                let sums = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), scales);
                _mm512_storeu_ps(out.as_mut_ptr(), sums);
            }
        }
    }
}

avx512! {
    /// By hand, because the compiler vectorises the plain loop across rows instead, with gathers
    /// and scatters.
    ///
    /// # Safety
    /// None beyond the level.
    #[inline]
    pub(super) unsafe fn rescale(sum: &mut [f32], factors: &[f32], product: &[f32]) {
        assert_eq!(sum.len() % 16, 0);
        let terms = factors.as_chunks::<16>().0.iter().zip(product.as_chunks::<16>().0);
        for (sum, (factors, product)) in sum.as_chunks_mut::<16>().0.iter_mut().zip(terms) {
            // SAFETY: sixteen numbers each.
            unsafe {
                let factors = _mm512_loadu_ps(factors.as_ptr());
                let product = _mm512_loadu_ps(product.as_ptr());
                let scaled = _mm512_fmadd_ps(_mm512_loadu_ps(sum.as_ptr()), factors, product);
                _mm512_storeu_ps(sum.as_mut_ptr(), scaled);
            }
        }
    }
}

avx512! {
    /// Sixteen keys at a time, so that their sums are added up together.
    ///
    /// # Safety
    /// None beyond the level.
    pub(super) unsafe fn dots(q: &[f32], keys: &[f32], out: &mut [f32]) {
        let d = q.len();
        assert_eq!(keys.len(), out.len() * d);
        for (out, keys) in out.chunks_mut(16).zip(keys.chunks(16 * d)) {
            if out.len() == 16 {
                // SAFETY: sixteen keys of length d.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sixteen::<true>(q, keys, 15)) };
            } else {
                let mut all = [0.0; 16];
                // SAFETY: `out.len()` keys of length d, of which the last stands for the others.
                unsafe { _mm512_storeu_ps(all.as_mut_ptr(), sixteen::<false>(q, keys, out.len() - 1)) };
                out.copy_from_slice(&all[..out.len()]);
            }
        }
    }
}

avx512! {
    /// `q` times keys 0, 1, … 15, but none beyond `last`.
    ///
    /// # Safety
    /// `keys` is `[last + 1][q.len()]`, and last is 15 if they are `ALL` there.
    #[inline]
    unsafe fn sixteen<const ALL: bool>(q: &[f32], keys: &[f32], last: usize) -> __m512 {
        let d = q.len();
        let mut sums = [_mm512_setzero_ps(); 16];
        for c in (0..d).step_by(16) {
            let mask = mask_of(d - c);
            // SAFETY: masked to the end of q and of each key.
            unsafe {
                let q = _mm512_maskz_loadu_ps(mask, q.as_ptr().add(c));
                for (j, sum) in sums.iter_mut().enumerate() {
                    let j = if ALL { j } else { j.min(last) };
                    let key = keys.as_ptr().add(j * d + c);
                    *sum = _mm512_fmadd_ps(q, _mm512_maskz_loadu_ps(mask, key), *sum);
                }
            }
        }
        add_up(&sums)
    }
}

avx512! {
    /// The first `n` lanes.
    #[inline]
    fn mask_of(n: usize) -> __mmask16 {
        if n >= 16 { !0 } else { (1 << n) - 1 }
    }
}

avx512! {
    /// Lane j becomes the sum of the lanes of `v[j]`: four rounds that each halve the number of
    /// vectors, then the lanes are put in order.
    #[inline]
    fn add_up(v: &[__m512; 16]) -> __m512 {
        let mut halves = [_mm512_setzero_ps(); 8];
        for j in 0..8 {
            halves[j] = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b01_00_01_00>(v[j], v[j + 8]),
                _mm512_shuffle_f32x4::<0b11_10_11_10>(v[j], v[j + 8]),
            );
        }
        let mut quarters = [_mm512_setzero_ps(); 4];
        for j in 0..4 {
            quarters[j] = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b10_00_10_00>(halves[j], halves[j + 4]),
                _mm512_shuffle_f32x4::<0b11_01_11_01>(halves[j], halves[j + 4]),
            );
        }
        let mut pairs = [_mm512_setzero_ps(); 2];
        for j in 0..2 {
            pairs[j] = _mm512_add_ps(
                _mm512_shuffle_ps::<0b01_00_01_00>(quarters[j], quarters[j + 2]),
                _mm512_shuffle_ps::<0b11_10_11_10>(quarters[j], quarters[j + 2]),
            );
        }
        let sums = _mm512_add_ps(
            _mm512_shuffle_ps::<0b10_00_10_00>(pairs[0], pairs[1]),
            _mm512_shuffle_ps::<0b11_01_11_01>(pairs[0], pairs[1]),
        );
        let order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
        _mm512_permutexvar_ps(order, sums)
    }
}

avx512! {
    /// 64 columns at a time.
    ///
    /// # Safety
    /// None beyond the level.
    pub(super) unsafe fn weigh(p: &[f32], values: &[f32], sum: &mut [f32]) {
        let d = sum.len();
        assert_eq!(values.len(), p.len() * d);
        let mut c = 0;
        while c + 64 <= d {
            // SAFETY: columns c..c + 64 are there.
            unsafe { weigh_columns::<4>(p, &values[c..], d, &mut sum[c..], !0) };
            c += 64;
        }
        while c < d {
            // SAFETY: masked to the last column.
            unsafe { weigh_columns::<1>(p, &values[c..], d, &mut sum[c..], mask_of(d - c)) };
            c += 16;
        }
    }
}

avx512! {
    #[allow(clippy::needless_range_loop)]
    /// `V` vectors of columns; even and odd rows are added up apart so that fewer additions wait
    /// for each other.
    ///
    /// # Safety
    /// Rows of `values` are `d` apart; they and `sum` have the columns of the mask.
    #[inline]
    unsafe fn weigh_columns<const V: usize>(
        p: &[f32],
        values: &[f32],
        d: usize,
        sum: &mut [f32],
        mask: __mmask16,
    ) {
        let mut even = [_mm512_setzero_ps(); V];
        let mut odd = even;
        let (pairs, last) = p.as_chunks::<2>();
        let mut row = values.as_ptr();
        // SAFETY: the caller's word; there are as many rows as probabilities.
        unsafe {
            for (v, even) in even.iter_mut().enumerate() {
                *even = _mm512_maskz_loadu_ps(mask, sum.as_ptr().add(16 * v));
            }
            for &[p0, p1] in pairs {
                let (p0, p1) = (_mm512_set1_ps(p0), _mm512_set1_ps(p1));
                for v in 0..V {
                    let value = _mm512_maskz_loadu_ps(mask, row.add(16 * v));
                    even[v] = _mm512_fmadd_ps(p0, value, even[v]);
                    let value = _mm512_maskz_loadu_ps(mask, row.add(d + 16 * v));
                    odd[v] = _mm512_fmadd_ps(p1, value, odd[v]);
                }
                row = row.wrapping_add(2 * d);
            }
            for &p in last {
                for v in 0..V {
                    let value = _mm512_maskz_loadu_ps(mask, row.add(16 * v));
                    even[v] = _mm512_fmadd_ps(_mm512_set1_ps(p), value, even[v]);
                }
            }
            for v in 0..V {
                let total = _mm512_add_ps(even[v], odd[v]);
                _mm512_mask_storeu_ps(sum.as_mut_ptr().add(16 * v), mask, total);
            }
        }
    }
}

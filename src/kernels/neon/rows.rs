//! One query against rows of keys and values, whose length is a multiple of eight.

use std::arch::aarch64::*;

neon! {
    /// `out[j] = q · keys[j]`: four keys at a time, so that their sums are added up together.
    #[inline]
    pub(super) fn dots(q: &[f32], keys: &[f32], out: &mut [f32]) {
        let d = q.len();
        assert!(d.is_multiple_of(8) && keys.len() == out.len() * d);
        for (out, keys) in out.chunks_mut(4).zip(keys.chunks(4 * d)) {
            let mut all = [0.0; 4];
            // SAFETY: `out.len()` keys of length d, of which the last stands for the others.
            unsafe { vst1q_f32(all.as_mut_ptr(), four(q, keys, out.len() - 1)) };
            out.copy_from_slice(&all[..out.len()]);
        }
    }
}

neon! {
    /// `q` times keys 0, 1, 2, 3, but none beyond `last`.
    ///
    /// # Safety
    /// `keys` is `[last + 1][q.len()]`; the length is a multiple of eight.
    #[inline]
    unsafe fn four(q: &[f32], keys: &[f32], last: usize) -> float32x4_t {
        let d = q.len();
        let mut sums = [[vdupq_n_f32(0.0); 2]; 4];
        for c in (0..d).step_by(8) {
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: eight more of q and of each key.
                unsafe {
                    let (q, key) = (q.as_ptr().add(c), keys.as_ptr().add(j.min(last) * d + c));
                    sum[0] = vfmaq_f32(sum[0], vld1q_f32(q), vld1q_f32(key));
                    sum[1] = vfmaq_f32(sum[1], vld1q_f32(q.add(4)), vld1q_f32(key.add(4)));
                }
            }
        }
        let [a, b, c, d] = sums.map(|sum| vaddq_f32(sum[0], sum[1]));
        vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d))
    }
}

neon! {
    /// `sum += Σ_j p[j] · values[j]`: 32 columns at a time, then 8.
    #[inline]
    pub(super) fn weigh(p: &[f32], values: &[f32], sum: &mut [f32]) {
        let d = sum.len();
        assert!(d.is_multiple_of(8) && values.len() == p.len() * d);
        let mut c = 0;
        while c < d {
            // SAFETY: columns c..c + 32, or else c..c + 8, are there.
            c += unsafe {
                if c + 32 <= d {
                    weigh_columns::<8>(p, values.as_ptr().wrapping_add(c), d, &mut sum[c..])
                } else {
                    weigh_columns::<2>(p, values.as_ptr().wrapping_add(c), d, &mut sum[c..])
                }
            };
        }
    }
}

neon! {
    /// `V` vectors of columns; even and odd rows are added up apart so that fewer additions wait
    /// for each other. Returns how many columns that are.
    ///
    /// # Safety
    /// There are `p.len()` rows at `row`, `d` apart; they and `sum` have 4 V columns.
    #[allow(clippy::needless_range_loop)]
    #[inline]
    unsafe fn weigh_columns<const V: usize>(
        p: &[f32],
        mut row: *const f32,
        d: usize,
        sum: &mut [f32],
    ) -> usize {
        let mut even = [vdupq_n_f32(0.0); V];
        let mut odd = even;
        let (pairs, last) = p.as_chunks::<2>();
        // SAFETY: the caller's word; there are as many rows as probabilities.
        unsafe {
            for v in 0..V {
                even[v] = vld1q_f32(sum.as_ptr().add(4 * v));
            }
            for &[p0, p1] in pairs {
                for v in 0..V {
                    even[v] = vfmaq_n_f32(even[v], vld1q_f32(row.add(4 * v)), p0);
                    odd[v] = vfmaq_n_f32(odd[v], vld1q_f32(row.add(d + 4 * v)), p1);
                }
                row = row.wrapping_add(2 * d);
            }
            for &p in last {
                for v in 0..V {
                    even[v] = vfmaq_n_f32(even[v], vld1q_f32(row.add(4 * v)), p);
                }
            }
            for v in 0..V {
                vst1q_f32(sum.as_mut_ptr().add(4 * v), vaddq_f32(even[v], odd[v]));
            }
        }
        4 * V
    }
}

//! Keys and values of one attention layer, kept head by head.

use crate::kernels::{self, Exec, KvElem, KvPart, KvStore};

/// A cache of fixed capacity, laid out `[n_head][capacity][d_head]` so that each head reads
/// contiguous memory.
#[derive(Clone)]
pub struct KvCache<T: KvElem> {
    k: Vec<T>,
    v: Vec<T>,
    n_head: usize,
    d_head: usize,
    capacity: usize,
}

impl<T: KvElem + Default> KvCache<T> {
    /// An empty cache for `capacity` positions: the only allocation.
    pub fn new(n_head: usize, d_head: usize, capacity: usize) -> Self {
        let zero = vec![T::default(); n_head * capacity * d_head];
        KvCache {
            k: zero.clone(),
            v: zero,
            n_head,
            d_head,
            capacity,
        }
    }

    /// Number of positions that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        2 * self.k.len() * size_of::<T>()
    }

    /// Stores keys and values taken from `x`, rows of `row_stride` values: the keys of a row begin
    /// at `k_offset`, the values at `v_offset`. The first row goes to position `at`.
    pub fn store(
        &mut self,
        exec: &Exec,
        (x, row_stride): (&[f32], usize),
        (k_offset, v_offset): (usize, usize),
        at: usize,
    ) {
        for (dst, offset) in [(&mut self.k, k_offset), (&mut self.v, v_offset)] {
            let args = KvStore {
                x,
                row_stride,
                offset,
                n_head: self.n_head,
                d_head: self.d_head,
                capacity: self.capacity,
                at,
            };
            kernels::kv_store(exec, &args, dst);
        }
    }

    /// The positions of `range`, for attention.
    pub fn part(&self, range: std::ops::Range<usize>) -> KvPart<'_, T> {
        KvPart {
            k: &self.k,
            v: &self.v,
            capacity: self.capacity,
            range,
        }
    }
}

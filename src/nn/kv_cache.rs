//! Keys and values of one attention layer, kept head by head.

use half::f16;

use crate::kernels::{self, Aligned, Exec, KvElem, KvPart, KvStore, Number, Side};

/// A cache of fixed capacity, laid out as the kernels want it: each head reads contiguous memory.
#[derive(Clone)]
pub struct KvCache<T: KvElem + Number> {
    k: Aligned<T>,
    v: Aligned<T>,
    n_head: usize,
    d_head: usize,
    capacity: usize,
    /// Positions that there is memory for: what the kernels take as the capacity.
    room: usize,
}

impl<T: KvElem + Number> KvCache<T> {
    /// An empty cache for `capacity` positions: the only allocation.
    pub fn new(n_head: usize, d_head: usize, capacity: usize) -> Self {
        assert!(d_head.is_multiple_of(T::LEN), "d_head fills blocks");
        let room = capacity.next_multiple_of(T::ALIGN);
        let zeroed = || Aligned::zeroed(n_head * room * (d_head / T::LEN));
        KvCache {
            k: zeroed(),
            v: zeroed(),
            n_head,
            d_head,
            capacity,
            room,
        }
    }

    /// Number of positions that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.k.bytes() + self.v.bytes()
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
        assert!(
            at + x.len() / row_stride <= self.capacity,
            "the cache is full"
        );
        for (dst, offset, side) in [
            (&mut self.k, k_offset, Side::Keys),
            (&mut self.v, v_offset, Side::Values),
        ] {
            let args = KvStore {
                x,
                row_stride,
                offset,
                n_head: self.n_head,
                d_head: self.d_head,
                capacity: self.room,
                at,
                side,
            };
            kernels::kv_store(exec, &args, dst);
        }
    }

    /// The positions of `range`, for attention.
    pub fn part(&self, range: std::ops::Range<usize>) -> KvPart<'_, T> {
        assert!(range.end <= self.capacity, "positions of the cache");
        KvPart {
            k: &self.k,
            v: &self.v,
            capacity: self.room,
            range,
        }
    }
}

impl KvCache<f16> {
    // In f16 each head has its positions one after the other, values too.

    /// Takes over the first `n` positions of `other`, a cache of the same shape. Does not allocate.
    pub fn copy_from(&mut self, other: &Self, n: usize) {
        assert!(n <= self.capacity && self.k.len() == other.k.len(), "shape");
        let head = self.room * self.d_head;
        for (to, from) in [(&mut self.k, &other.k), (&mut self.v, &other.v)] {
            for start in (0..self.n_head).map(|i| i * head) {
                let range = start..start + n * self.d_head;
                to[range.clone()].copy_from_slice(&from[range]);
            }
        }
    }
}

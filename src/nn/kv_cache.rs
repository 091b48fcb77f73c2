//! Keys and values of one attention layer, kept head by head.

use std::ops::Range;

use half::f16;

use crate::kernels::{self, Aligned, Exec, KvElem, KvPart, KvStore, MAX_D_HEAD, Number, Side};

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

    /// Forgets the positions `gone` and moves those behind them, up to `n`, down to where they were. Each key that
    /// moves passes through `turn`, and is rounded once more. Does not allocate.
    ///
    /// # Panics
    /// If the positions are none of the cache, or values lie transposed.
    pub fn shift(
        &mut self,
        exec: &Exec,
        gone: Range<usize>,
        n: usize,
        turn: impl Fn(&mut [f32]) + Sync,
    ) {
        assert!(!T::TRANSPOSED_VALUES, "values lie position by position");
        assert!(gone.start <= gone.end && gone.end <= n && n <= self.capacity);
        let (d, row) = (self.d_head, self.d_head / T::LEN);
        let head_len = self.room * row;
        if gone.is_empty() || head_len == 0 {
            return;
        }
        exec.for_each_rows(&mut self.k, head_len, 1, |_, heads| {
            let mut wide = [0.0; MAX_D_HEAD];
            let wide = &mut wide[..d];
            for head in heads.chunks_exact_mut(head_len) {
                for from in gone.end..n {
                    let to = from - gone.len();
                    kernels::kv_widen(exec, &head[from * row..][..row], wide);
                    turn(wide);
                    kernels::kv_narrow(exec, wide, &mut head[to * row..][..row]);
                }
            }
        });
        for head in self.v.chunks_exact_mut(head_len) {
            head.copy_within(gone.end * row..n * row, gone.start * row);
        }
    }

    /// The first `n` positions as they lie in memory: the keys of each head, then the values of each.
    ///
    /// # Panics
    /// If there is no room for as many, or values lie transposed.
    pub fn stretches(&self, n: usize) -> impl Iterator<Item = &[u8]> {
        let (head, kept) = self.stretch_bytes(n);
        let heads = [&self.k, &self.v].into_iter();
        heads.flat_map(move |x| x.as_bytes().chunks_exact(head).map(move |x| &x[..kept]))
    }

    /// The same, to be overwritten.
    pub fn stretches_mut(&mut self, n: usize) -> impl Iterator<Item = &mut [u8]> {
        let (head, kept) = self.stretch_bytes(n);
        let heads = [&mut self.k, &mut self.v].into_iter();
        heads.flat_map(move |x| {
            let heads = x.as_bytes_mut().chunks_exact_mut(head);
            heads.map(move |x| &mut x[..kept])
        })
    }

    /// Bytes of a head, and of its first `n` positions.
    fn stretch_bytes(&self, n: usize) -> (usize, usize) {
        assert!(!T::TRANSPOSED_VALUES && n <= self.capacity);
        let row = self.d_head / T::LEN * size_of::<T>();
        ((self.room * row).max(1), n * row)
    }

    /// The positions of `range`, for attention.
    pub fn part(&self, range: Range<usize>) -> KvPart<'_, T> {
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

//! Rows of a linear layer into a cache of keys or values.

use super::attention::KvElem;
use super::exec::Parts;
use super::{Exec, SPLIT_ELEMENTS};

/// The arguments of [`kv_store`].
#[derive(Clone, Copy, Debug)]
pub struct KvStore<'a> {
    /// Rows `[n, row_stride]` as a linear layer leaves them.
    pub x: &'a [f32],
    /// Length of a row.
    pub row_stride: usize,
    /// Where in a row the heads begin.
    pub offset: usize,
    /// Number of heads.
    pub n_head: usize,
    /// Length of a head.
    pub d_head: usize,
    /// Positions that the cache has room for.
    pub capacity: usize,
    /// The position of the first row.
    pub at: usize,
}

/// Scatters rows into a cache `[n_head][capacity][d_head]`.
pub fn kv_store<T: KvElem>(exec: &Exec, args: &KvStore, dst: &mut [T]) {
    let &KvStore {
        x,
        row_stride,
        offset,
        n_head,
        d_head,
        capacity,
        at,
    } = args;
    assert!(
        row_stride > 0 && x.len().is_multiple_of(row_stride),
        "x is not [n, row_stride]"
    );
    assert!(
        offset + n_head * d_head <= row_stride,
        "the heads leave the row"
    );
    assert!(
        dst.len() >= n_head * capacity * d_head,
        "the cache is too small"
    );
    assert!(at + x.len() / row_stride <= capacity, "the cache is full");
    let table = exec.cpu().table();
    let cache = Parts::new(dst);
    let min_heads = SPLIT_ELEMENTS / (d_head * (x.len() / row_stride)).max(1);
    exec.for_each_chunk(n_head, min_heads, |heads| {
        for head in heads {
            let head_len = capacity * d_head;
            // SAFETY: every head is in one chunk.
            let dst = unsafe { cache.part(head * head_len..(head + 1) * head_len) };
            let dst = dst[at * d_head..].chunks_exact_mut(d_head);
            for (row, dst) in x.chunks_exact(row_stride).zip(dst) {
                T::store(table, &row[offset + head * d_head..][..d_head], dst);
            }
        }
    });
}

//! Rows of a linear layer into a cache of keys or values.

use super::attention::MAX_D_HEAD;
use super::exec::Parts;
use super::kv_elem::KvElem;
use super::table::Table;
use super::{Exec, SPLIT_ELEMENTS};

/// Which half of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Keys.
    Keys,
    /// Values, which some types keep transposed.
    Values,
}

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
    /// What the rows are.
    pub side: Side,
}

/// Scatters rows into a cache `[n_head][capacity][d_head]`, or, where values lie transposed,
/// `[n_head][d_head][capacity]`.
pub fn kv_store<T: KvElem>(exec: &Exec, args: &KvStore, dst: &mut [T]) {
    let &KvStore {
        x,
        row_stride,
        offset,
        n_head,
        d_head,
        capacity,
        at,
        side,
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
        d_head.is_multiple_of(T::LEN) && dst.len() >= n_head * capacity * (d_head / T::LEN),
        "the cache is too small"
    );
    assert!(at + x.len() / row_stride <= capacity, "the cache is full");
    assert!(d_head <= MAX_D_HEAD, "d_head");
    let table = exec.cpu().table();
    let cache = Parts::new(dst);
    let min_heads = SPLIT_ELEMENTS / (d_head * (x.len() / row_stride)).max(1);
    exec.for_each_chunk(n_head, min_heads, |heads| {
        for head in heads {
            let head_len = capacity * (d_head / T::LEN);
            // SAFETY: every head is in one chunk.
            let dst = unsafe { cache.part(head * head_len..(head + 1) * head_len) };
            let rows = Rows {
                x,
                row_stride,
                offset: offset + head * d_head,
                d_head,
            };
            if T::TRANSPOSED_VALUES && side == Side::Values {
                rows.store_transposed(table, &mut dst[at..], capacity);
            } else {
                rows.store(table, &mut dst[at * (d_head / T::LEN)..]);
            }
        }
    });
}

/// What one head has in rows of all heads.
struct Rows<'a> {
    x: &'a [f32],
    row_stride: usize,
    offset: usize,
    d_head: usize,
}

impl Rows<'_> {
    /// To rows of `dst`, `[n][d_head]` numbers.
    fn store<T: KvElem>(&self, table: &'static Table, dst: &mut [T]) {
        let rows = self.x.chunks_exact(self.row_stride);
        for (row, dst) in rows.zip(dst.chunks_exact_mut(self.d_head / T::LEN)) {
            T::store(table, &row[self.offset..][..self.d_head], dst);
        }
    }

    /// To columns of `dst`, `[d_head][capacity]`, a few rows at a time so that whole cache lines
    /// are written.
    fn store_transposed<T: KvElem>(&self, table: &'static Table, dst: &mut [T], capacity: usize) {
        const AT_ONCE: usize = 32;
        let mut square = [T::default(); AT_ONCE * MAX_D_HEAD];
        for (i, x) in self.x.chunks(AT_ONCE * self.row_stride).enumerate() {
            let n = x.len() / self.row_stride;
            let part = Rows { x, ..*self };
            part.store(table, &mut square[..n * self.d_head]);
            for (c, dst) in dst.chunks_mut(capacity).enumerate().take(self.d_head) {
                let column = square[c..].iter().step_by(self.d_head);
                for (to, from) in dst[i * AT_ONCE..][..n].iter_mut().zip(column) {
                    *to = *from;
                }
            }
        }
    }
}

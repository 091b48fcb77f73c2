//! Keys and values of one layer, in the type that was asked for.

use std::ops::Range;

use half::f16;

use crate::kernels::{self, Attention, Exec, KvElem, KvPart, Mask, Q8Block};
use crate::nn::KvCache;

/// What keys and values of a text are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvType {
    /// Half precision.
    #[default]
    F16,
    /// 8 bits and a scale for 32 numbers: about half the memory, and logits that differ in the second digit.
    Q8_0,
}

/// Numbers of a q8_0 block.
const BLOCK_LEN: usize = 32;

impl KvType {
    /// The type for heads of `d_head` numbers: blocks do not go beyond a head, so that heads that are no whole
    /// number of blocks are kept in [`KvType::F16`].
    pub fn for_heads(self, d_head: usize) -> KvType {
        match self {
            KvType::Q8_0 if d_head.is_multiple_of(BLOCK_LEN) => KvType::Q8_0,
            KvType::Q8_0 | KvType::F16 => KvType::F16,
        }
    }

    /// Bytes of the keys of a head, or of its values, at one position.
    pub fn head_bytes(self, d_head: usize) -> usize {
        match self.for_heads(d_head) {
            KvType::F16 => d_head * size_of::<f16>(),
            KvType::Q8_0 => d_head / BLOCK_LEN * size_of::<Q8Block>(),
        }
    }
}

/// How a position is divided into heads.
pub(super) struct Heads {
    pub(super) n_head: usize,
    pub(super) n_kv_head: usize,
    pub(super) d_head: usize,
    pub(super) scale: f32,
}

/// A cache of either type.
pub(super) enum Cache {
    F16(KvCache<f16>),
    Q8(KvCache<Q8Block>),
}

/// The same for either type.
macro_rules! either {
    ($cache:expr, $inner:ident => $value:expr) => {
        match $cache {
            Cache::F16($inner) => $value,
            Cache::Q8($inner) => $value,
        }
    };
}

impl Cache {
    /// An empty cache for `capacity` positions: the only allocation.
    pub(super) fn new(kv: KvType, n_kv_head: usize, d_head: usize, capacity: usize) -> Self {
        match kv.for_heads(d_head) {
            KvType::F16 => Cache::F16(KvCache::new(n_kv_head, d_head, capacity)),
            KvType::Q8_0 => Cache::Q8(KvCache::new(n_kv_head, d_head, capacity)),
        }
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> usize {
        either!(self, cache => cache.bytes())
    }

    /// As [`KvCache::store`].
    pub(super) fn store(
        &mut self,
        exec: &Exec,
        rows: (&[f32], usize),
        offsets: (usize, usize),
        at: usize,
    ) {
        either!(self, cache => cache.store(exec, rows, offsets, at));
    }

    /// As [`KvCache::shift`].
    pub(super) fn shift(
        &mut self,
        exec: &Exec,
        gone: Range<usize>,
        n: usize,
        turn: impl Fn(&mut [f32]) + Sync,
    ) {
        either!(self, cache => cache.shift(exec, gone, n, turn));
    }

    /// Hands each stretch of the first `n` positions to `f`, as [`KvCache::stretches`] has them.
    pub(super) fn each_stretch<E>(
        &self,
        n: usize,
        f: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        either!(self, cache => cache.stretches(n).try_for_each(f))
    }

    /// The same, to be overwritten.
    pub(super) fn each_stretch_mut<E>(
        &mut self,
        n: usize,
        f: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        either!(self, cache => cache.stretches_mut(n).try_for_each(f))
    }

    /// Attention of queries over a stretch of positions.
    pub(super) fn attend(&self, exec: &Exec, heads: &Heads, seen: Seen<'_>, out: &mut [f32]) {
        let Seen { q, range, mask } = seen;
        either!(self, cache => heads.attend(exec, q, (cache.part(range), mask), out));
    }
}

/// Queries and what they see.
pub(super) struct Seen<'a> {
    /// `[n, n_head * d_head]`
    pub(super) q: &'a [f32],
    pub(super) range: Range<usize>,
    pub(super) mask: Mask,
}

impl Heads {
    fn attend<T: KvElem>(
        &self,
        exec: &Exec,
        q: &[f32],
        (part, mask): (KvPart<'_, T>, Mask),
        out: &mut [f32],
    ) {
        let &Heads {
            n_head,
            n_kv_head,
            d_head,
            scale,
        } = self;
        let attention = Attention {
            q,
            n_q: q.len() / (n_head * d_head),
            n_head,
            n_kv_head,
            d_head,
            scale,
            parts: &[part],
            mask,
        };
        kernels::attention(exec, &attention, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_are_no_whole_blocks_stay_halves() {
        assert_eq!(KvType::Q8_0.for_heads(80), KvType::F16);
        assert_eq!(KvType::Q8_0.head_bytes(80), 160);
        assert_eq!(KvType::Q8_0.head_bytes(64), 68);
        assert_eq!(KvType::F16.head_bytes(64), 128);
    }
}

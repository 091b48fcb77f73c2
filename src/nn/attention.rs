//! Attention over a cache whose precision is chosen when the model is loaded.

use std::ops::Range;

use half::bf16;

use crate::kernels::{self, Attention, Cpu, Exec, KvElem, KvPart, Mask};

use super::{Compute, KvCache};

/// What keys and values of an encoder are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvPrecision {
    /// 32-bit floats: the reference.
    F32,
    /// 16 bits with the exponent of an f32; half the memory.
    Bf16,
}

impl KvPrecision {
    /// bf16 where the CPU is faster with it, unless the reference is asked for.
    pub fn choose(cpu: Cpu, compute: Compute, d_head: usize) -> Self {
        let fills_tiles = d_head.is_multiple_of(kernels::BF16_ALIGN);
        match compute {
            Compute::Int8 | Compute::Blocks(_) if cpu.prefers_bf16() && fills_tiles => {
                KvPrecision::Bf16
            }
            Compute::Int8 | Compute::Blocks(_) | Compute::F32 => KvPrecision::F32,
        }
    }
}

/// A cache in either precision.
#[derive(Clone)]
pub enum MixedKvCache {
    /// See [`KvPrecision::F32`].
    F32(KvCache<f32>),
    /// See [`KvPrecision::Bf16`].
    Bf16(KvCache<bf16>),
}

/// The queries of one layer.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    /// `[n, n_head * d_head]`
    pub q: &'a [f32],
    /// Number of heads.
    pub n_head: usize,
    /// Length of a head.
    pub d_head: usize,
}

impl MixedKvCache {
    /// An empty cache for `capacity` positions: the only allocation.
    pub fn new(precision: KvPrecision, n_head: usize, d_head: usize, capacity: usize) -> Self {
        match precision {
            KvPrecision::F32 => MixedKvCache::F32(KvCache::new(n_head, d_head, capacity)),
            KvPrecision::Bf16 => MixedKvCache::Bf16(KvCache::new(n_head, d_head, capacity)),
        }
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        match self {
            MixedKvCache::F32(cache) => cache.bytes(),
            MixedKvCache::Bf16(cache) => cache.bytes(),
        }
    }

    /// As [`KvCache::store`].
    pub fn store(
        &mut self,
        exec: &Exec,
        rows: (&[f32], usize),
        offsets: (usize, usize),
        at: usize,
    ) {
        match self {
            MixedKvCache::F32(cache) => cache.store(exec, rows, offsets, at),
            MixedKvCache::Bf16(cache) => cache.store(exec, rows, offsets, at),
        }
    }

    /// Attention without mask over the positions `range`; out `[n, n_head * d_head]`.
    pub fn attend(&self, exec: &Exec, queries: Queries<'_>, range: Range<usize>, out: &mut [f32]) {
        match self {
            MixedKvCache::F32(cache) => attend(exec, queries, cache.part(range), out),
            MixedKvCache::Bf16(cache) => attend(exec, queries, cache.part(range), out),
        }
    }
}

fn attend<T: KvElem>(exec: &Exec, queries: Queries<'_>, keys: KvPart<'_, T>, out: &mut [f32]) {
    let Queries { q, n_head, d_head } = queries;
    let attention = Attention {
        q,
        n_q: q.len() / (n_head * d_head),
        n_head,
        n_kv_head: n_head,
        d_head,
        scale: (d_head as f32).powf(-0.5),
        parts: &[keys],
        mask: Mask::None,
    };
    kernels::attention(exec, &attention, out);
}

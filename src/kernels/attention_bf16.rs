//! Attention over keys and values in bf16, for CPUs that multiply those in tiles.
//!
//! As the tiled way of `attention`, one query per lane, with both products in bf16 and sums in
//! f32. Keys lie as rows, values transposed, so that both are the left side of a tile as they are;
//! queries and probabilities are the right side, two of them in a word.
//!
//! Blocks of keys begin on a multiple of [`ROOM_ALIGN`] and are as long. At the ends of a part a
//! block holds positions that do not take part: their scores are replaced, and their values
//! too, by zeros, so that nothing of what is stored there has any effect.

use std::ops::Range;

use half::bf16;

use super::attention::{Attention, AttentionJob, MAX_D_HEAD, Scratch, inverse};
use super::portable;
use super::table::{TileBf16, Tiles};

/// Queries of one task: columns of a tile.
pub(super) const LANES: usize = 32;

/// Keys of one step of the online softmax.
const KEY_BLOCK: usize = 128;

/// Rows and depth of a tile: d_head and the room for positions are multiples of this.
pub const ROOM_ALIGN: usize = 32;

/// Keys and values of some neighbouring positions.
struct Block<'a> {
    /// `[n][d_head]`
    k: &'a [bf16],
    /// `[d_head]` rows that are `v_stride` apart, n of each.
    v: &'a [bf16],
    v_stride: usize,
    /// Positions, a multiple of [`ROOM_ALIGN`].
    n: usize,
    /// Those that take part.
    valid: Range<usize>,
}

/// One task: a head and at most [`LANES`] queries.
///
/// # Safety
/// The CPU runs level L; no other thread runs the same task.
#[inline(always)]
pub(super) unsafe fn tiled<L: Tiles>(job: &AttentionJob<bf16>, head: usize, queries: Range<usize>) {
    let d = job.a.d_head;
    let mut q = Scratch::<u32, { MAX_D_HEAD / 2 * LANES }>::new();
    let mut scores = Scratch::<f32, { KEY_BLOCK * LANES }>::new();
    let mut probs = Scratch::<u32, { KEY_BLOCK / 2 * LANES }>::new();
    let mut sum = Scratch::<f32, { MAX_D_HEAD * LANES }>::new();
    let mut edge = Scratch::<u16, { MAX_D_HEAD * KEY_BLOCK }>::new();
    let (q, sum) = (q.zeroed(d / 2 * LANES), sum.zeroed(d * LANES));
    let probs = probs.zeroed(KEY_BLOCK / 2 * LANES);
    pack_queries(job, head, queries.clone(), q);
    let mut state = State::new();
    // SAFETY: the caller vouches for the level.
    unsafe { L::begin_bf16() };
    for part in 0..job.a.parts.len() {
        for block in blocks(job.a, part, head) {
            let keys = |acc| TileBf16 {
                a: block.k.as_ptr(),
                row_stride: d,
                m: block.n,
                b: q.as_ptr(),
                k: d,
                acc,
            };
            // SAFETY: there are n keys, and the tiles write n rows of the lanes.
            let scores = unsafe { scores.written(block.n * LANES, |acc| L::tile_bf16(&keys(acc))) };
            let probs = &mut probs[..block.n / 2 * LANES];
            let is_whole = block.valid == (0..block.n);
            let correction = if is_whole {
                state.step::<L>(scores, probs)
            } else {
                scores[..block.valid.start * LANES].fill(f32::MIN);
                scores[block.valid.end * LANES..].fill(f32::MIN);
                state.step_masked::<L>(scores, probs)
            };
            for row in sum.as_chunks_mut::<LANES>().0 {
                // SAFETY: the caller vouches for the level.
                unsafe { L::rescale(row, &correction, &[0.0; LANES]) };
            }
            let (v, row_stride) = if is_whole {
                (block.v.as_ptr(), block.v_stride)
            } else {
                (cut_values(&block, d, edge.zeroed(d * block.n)), block.n)
            };
            let values = TileBf16 {
                a: v,
                row_stride,
                m: d,
                b: probs.as_ptr(),
                k: block.n,
                acc: sum.as_mut_ptr(),
            };
            // SAFETY: there are d rows of n values, and of sums.
            unsafe { L::add_tile_bf16(&values) };
        }
    }
    // SAFETY: the caller vouches for the level.
    unsafe { L::end_bf16() };
    for (lane, query) in queries.enumerate() {
        let inverse = inverse(state.total[lane]);
        // SAFETY: the query belongs to this task.
        let out = unsafe { job.out(head, query) };
        for (out, sums) in out.iter_mut().zip(sum.as_chunks::<LANES>().0) {
            *out = sums[lane] * inverse;
        }
    }
}

/// The blocks of one part and head.
#[inline(always)]
fn blocks<'a>(
    a: &'a Attention<'a, bf16>,
    part: usize,
    head: usize,
) -> impl Iterator<Item = Block<'a>> {
    let (d, head, part) = (a.d_head, a.kv_head(head), &a.parts[part]);
    let (room, range) = (part.capacity, part.range.clone());
    let first = range.start / ROOM_ALIGN * ROOM_ALIGN;
    let whole = if range.is_empty() {
        0..0
    } else {
        first..range.end
    };
    whole.step_by(KEY_BLOCK).map(move |at| {
        let end = range.end.min(at + KEY_BLOCK);
        let n = (end - at).next_multiple_of(ROOM_ALIGN);
        Block {
            k: &part.k[(head * room + at) * d..(head * room + at + n) * d],
            v: &part.v[head * room * d + at..(head + 1) * room * d],
            v_stride: room,
            n,
            valid: range.start.saturating_sub(at)..end - at,
        }
    })
}

/// Queries, scaled for powers of two, as pairs along d_head: `[d_head / 2][lane]`. Lanes without
/// query stay zero.
#[inline(always)]
fn pack_queries(job: &AttentionJob<bf16>, head: usize, queries: Range<usize>, packed: &mut [u32]) {
    let scale = job.a.scale * std::f32::consts::LOG2_E;
    for (lane, query) in queries.enumerate() {
        let pairs = job.query(head, query).as_chunks::<2>().0;
        for (row, [low, high]) in packed.as_chunks_mut::<LANES>().0.iter_mut().zip(pairs) {
            row[lane] = portable::bf16_pair(low * scale, high * scale);
        }
    }
}

/// Copies the values of a block that take part into zeros `[d_head][n]`.
#[inline(always)]
fn cut_values(block: &Block, d: usize, zeros: &mut [u16]) -> *const bf16 {
    for (c, row) in zeros.chunks_exact_mut(block.n).enumerate().take(d) {
        let valid = &block.v[c * block.v_stride..][block.valid.clone()];
        for (to, from) in row[block.valid.clone()].iter_mut().zip(valid) {
            *to = from.to_bits();
        }
    }
    zeros.as_ptr().cast()
}

/// The online softmax of a tile of queries.
struct State {
    max: [f32; LANES],
    total: [f32; LANES],
}

impl State {
    fn new() -> Self {
        State {
            max: [f32::MIN; LANES],
            total: [0.0; LANES],
        }
    }

    /// Turns a block of scores (base 2) `[key][lane]` into numerators, as pairs along the keys
    /// `[key / 2][lane]`, and returns by what all earlier sums have to be multiplied.
    #[inline(always)]
    fn step<L: Tiles>(&mut self, scores: &[f32], probs: &mut [u32]) -> [f32; LANES] {
        self.step_with::<L>(scores, probs, portable::exp2_floored::<L>)
    }

    /// As [`State::step`] where some scores are `f32::MIN`: those become zero.
    #[inline(always)]
    fn step_masked<L: Tiles>(&mut self, scores: &[f32], probs: &mut [u32]) -> [f32; LANES] {
        self.step_with::<L>(scores, probs, portable::exp2::<L>)
    }

    #[inline(always)]
    fn step_with<L: Tiles>(
        &mut self,
        scores: &[f32],
        probs: &mut [u32],
        exp2: impl Fn(f32) -> f32,
    ) -> [f32; LANES] {
        let mut max = self.max;
        for row in scores.as_chunks::<LANES>().0 {
            for i in 0..LANES {
                max[i] = if row[i] > max[i] { row[i] } else { max[i] };
            }
        }
        let mut total = [0.0; LANES];
        let pairs = scores.as_chunks::<LANES>().0.as_chunks::<2>().0;
        for ([low, high], pair) in pairs.iter().zip(probs.as_chunks_mut::<LANES>().0) {
            for i in 0..LANES {
                let (low, high) = (exp2(low[i] - max[i]), exp2(high[i] - max[i]));
                pair[i] = portable::bf16_pair(low, high);
                // What is added up is what the values are multiplied by: where one key has most of
                // the weight, its rounding then cancels out.
                total[i] += f32::from_bits(pair[i] << 16);
                total[i] += f32::from_bits(pair[i] & 0xffff_0000);
            }
        }
        let mut correction = [0.0; LANES];
        for i in 0..LANES {
            correction[i] = portable::exp2::<L>(self.max[i] - max[i]);
            self.total[i] = L::madd(self.total[i], correction[i], total[i]);
        }
        self.max = max;
        correction
    }
}

//! Scaled dot-product attention with online softmax (Milakov & Gimelshein 2018; Dao et al. 2022).
//!
//! Keys are taken in blocks; for each query the running maximum, the sum of exponentials and the
//! weighted sum of values are kept, so that no row of probabilities is ever stored. All scratch
//! is on the stack.
//!
//! Two ways through: f32 keys without mask (an encoder: many queries) take a tile of queries at a
//! time, one query per vector lane, and so do bf16 keys (see `attention_bf16`); f16 keys, keys in blocks or a
//! causal mask (a decoder's caches: few queries) take one query at a time. The way depends on the types only,
//! never on the number of queries, so that the result of a query does not either.

use std::mem::MaybeUninit;
use std::ops::Range;

use half::f16;

use super::kv_elem::{KvElem, sealed};
use super::table::{TileF32, Tiles};
use super::{Cpu, Exec, portable};

/// Keys of one step of the online softmax in the tiled way.
const KEY_BLOCK: usize = 128;

/// Keys of one step when queries are taken one by one: both keys and values, widened, stay in the
/// first-level cache.
const WIDE_BLOCK: usize = 64;

/// The largest head.
pub const MAX_D_HEAD: usize = 256;

/// The most lanes a tile of queries has.
pub(super) const MAX_LANES: usize = 32;

/// Queries and heads, in pairs, that share a widened block of keys on the one-by-one way.
const PAIR_GROUP: usize = 8;

/// A stretch of keys and values, each `[n_kv_head][capacity][d_head]` numbers (but values in bf16
/// `[n_kv_head][d_head][capacity]`), of which the positions in `range` take part.
#[derive(Clone, Debug)]
pub struct KvPart<'a, T: KvElem> {
    /// Keys.
    pub k: &'a [T],
    /// Values.
    pub v: &'a [T],
    /// Positions that there is room for per head.
    pub capacity: usize,
    /// Positions that take part.
    pub range: Range<usize>,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All.
    None,
    /// Query i sees the first `n_past + i + 1` keys of the only part.
    Causal {
        /// Keys before the first query.
        n_past: usize,
    },
}

/// The arguments of [`attention`].
pub struct Attention<'a, T: KvElem> {
    /// Queries `[n_q, n_head * d_head]`.
    pub q: &'a [f32],
    /// Number of queries.
    pub n_q: usize,
    /// Number of heads.
    pub n_head: usize,
    /// Heads of keys and values: as many, or a divisor where several heads of queries share one
    /// (Ainslie et al. 2023).
    pub n_kv_head: usize,
    /// Length of a head: a multiple of 8, at most 256.
    pub d_head: usize,
    /// The dot products are multiplied by this (1 / sqrt(d_head)).
    pub scale: f32,
    /// The keys and values: one after the other.
    pub parts: &'a [KvPart<'a, T>],
    /// Which keys a query sees.
    pub mask: Mask,
}

/// An attention and where its result goes.
pub(super) struct AttentionJob<'a, T: KvElem> {
    pub(super) a: &'a Attention<'a, T>,
    out: *mut f32,
    /// What a task takes at most: queries of a tile, or pairs of a query and a head.
    task_len: usize,
}

// SAFETY: tasks write disjoint parts of `out`; everything else is shared read-only.
unsafe impl<T: KvElem> Sync for AttentionJob<'_, T> {}

impl<T: KvElem> Attention<'_, T> {
    /// Panics if the shapes do not fit.
    ///
    /// The products are checked: one that wrapped around would let pointers leave the slices.
    fn check(&self) {
        assert!(
            self.d_head.is_multiple_of(8) && (8..=MAX_D_HEAD).contains(&self.d_head),
            "d_head"
        );
        let n_state = self.n_head.checked_mul(self.d_head);
        let n_state = n_state.expect("n_head * d_head is a number");
        assert_eq!(
            Some(self.q.len()),
            self.n_q.checked_mul(n_state),
            "q is not [n_q, n_head * d_head]"
        );
        assert!(
            self.n_kv_head > 0 && self.n_head.is_multiple_of(self.n_kv_head),
            "n_kv_head"
        );
        for part in self.parts {
            let n = (self.n_kv_head * self.d_head / T::LEN).checked_mul(part.capacity);
            assert!(
                n.is_some_and(|n| part.k.len() >= n && part.v.len() >= n),
                "keys or values are too few"
            );
            assert!(part.range.start <= part.range.end && part.range.end <= part.capacity);
            assert!(
                part.capacity.is_multiple_of(T::ALIGN)
                    && self.d_head.is_multiple_of(T::ALIGN)
                    && self.d_head.is_multiple_of(T::LEN),
                "capacity and d_head fill tiles or blocks"
            );
        }
        assert!(
            self.mask == Mask::None || !T::TRANSPOSED_VALUES,
            "a mask is for queries taken one by one"
        );
        if let Mask::Causal { n_past } = self.mask {
            assert_eq!(self.parts.len(), 1, "a causal mask is for one part");
            assert!(
                self.parts[0].range.len() >= n_past + self.n_q,
                "keys are too few"
            );
        }
    }

    fn n_state(&self) -> usize {
        self.n_head * self.d_head
    }

    /// The keys and values of a head.
    #[inline(always)]
    pub(super) fn kv_head(&self, head: usize) -> usize {
        head / self.n_sharing()
    }

    /// Heads of queries that share one of keys.
    #[inline(always)]
    fn n_sharing(&self) -> usize {
        self.n_head / self.n_kv_head
    }

    /// Pairs of a query and a head that share one head of keys.
    fn n_pairs(&self) -> usize {
        self.n_q * self.n_sharing()
    }

    /// The query and the head of a pair: pairs are in the order of the queries.
    #[inline(always)]
    fn pair(&self, kv_head: usize, pair: usize) -> (usize, usize) {
        let n = self.n_sharing();
        (pair / n, kv_head * n + pair % n)
    }

    /// So many pairs share a block of keys as leave two tasks for each thread.
    fn pairs_of_a_task(&self, n_threads: usize) -> usize {
        let wanted = match n_threads {
            1 => 1,
            n => (2 * n).div_ceil(self.n_kv_head),
        };
        (self.n_pairs() / wanted).clamp(1, PAIR_GROUP)
    }

    fn n_keys(&self) -> usize {
        self.parts.iter().map(|part| part.range.len()).sum()
    }

    /// How many keys query `query` sees.
    fn n_visible(&self, query: usize) -> usize {
        match self.mask {
            Mask::None => self.n_keys(),
            Mask::Causal { n_past } => n_past + query + 1,
        }
    }
}

/// Work below this is not split over threads.
const SERIAL_NS: usize = 40_000;

/// `out[i] = softmax(scale · q[i] · kᵀ) · v` per head, over the concatenation of the parts; out
/// `[n_q, n_head * d_head]`. Without any key the result is zero.
pub fn attention<T: KvElem>(exec: &Exec, a: &Attention<T>, out: &mut [f32]) {
    a.check();
    assert_eq!(out.len(), a.q.len(), "out is not [n_q, n_head * d_head]");
    if out.is_empty() {
        return;
    }
    let table = exec.cpu().table();
    // Each key meets each query in 2 · d_head multiplications, at some 10 a nanosecond.
    let ns = a.n_q * a.n_keys() * a.n_state() / 5;
    let n_threads = if ns < SERIAL_NS { 1 } else { exec.n_threads() };
    let (task_len, n_tasks) = match T::tile_queries(table, a.mask) {
        Some(lanes) => (lanes, a.n_head * a.n_q.div_ceil(lanes)),
        None => {
            let len = a.pairs_of_a_task(n_threads);
            (len, a.n_kv_head * a.n_pairs().div_ceil(len))
        }
    };
    let job = AttentionJob {
        a,
        out: out.as_mut_ptr(),
        task_len,
    };
    let run = T::entry(table);
    let n_chunks = if ns < SERIAL_NS {
        1
    } else {
        n_tasks.min(8 * n_threads)
    };
    exec.for_each_task(n_chunks, |chunk| {
        for task in chunk * n_tasks / n_chunks..(chunk + 1) * n_tasks / n_chunks {
            // SAFETY: the table belongs to a level of this machine; every task is run once.
            unsafe { run(&job, task) };
        }
    });
}

/// The probabilities with which each query of `head` sees each key; probs `[n_q, keys of all
/// parts]`.
///
/// Keys are widened once for all queries. Heads are independent: callers with several may split
/// them over threads.
pub fn attention_probs(cpu: Cpu, a: &Attention<f16>, head: usize, probs: &mut [f32]) {
    a.check();
    assert!(head < a.n_head, "no such head");
    let n_keys = a.n_keys();
    assert_eq!(
        probs.len(),
        a.n_q * n_keys,
        "one probability per query and key"
    );
    if probs.is_empty() {
        return;
    }
    let (table, d) = (cpu.table(), a.d_head);
    let mut wide = [0.0; WIDE_BLOCK * MAX_D_HEAD];
    for (n_before, k, _) in blocks(a, a.kv_head(head), WIDE_BLOCK) {
        let k_wide = &mut wide[..k.len()];
        // SAFETY: the table belongs to a level of this machine.
        unsafe { (table.from_f16)(k, k_wide) };
        for (query, probs) in probs.chunks_exact_mut(n_keys).enumerate() {
            let scores = &mut probs[n_before..][..k.len() / d];
            let q = &a.q[query * a.n_state() + head * d..][..d];
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.dots)(q, k_wide, scores) };
            scores.iter_mut().for_each(|score| *score *= a.scale);
        }
    }
    for (query, probs) in probs.chunks_exact_mut(n_keys).enumerate() {
        let n_visible = a.n_visible(query).min(n_keys);
        probs[n_visible..].fill(f32::NEG_INFINITY);
        super::softmax(cpu, probs);
    }
}

/// One task of an attention: one head and a tile of queries, or a few pairs of a query and a head that
/// share keys.
///
/// # Safety
/// The CPU runs level L; no other thread runs the same task.
#[inline(always)]
pub(super) unsafe fn task<L: Tiles, T: KvElem>(job: &AttentionJob<T>, task: usize) {
    // SAFETY: the caller vouches for the level and the task.
    unsafe { T::run::<L>(job, task) }
}

impl<T: KvElem> AttentionJob<'_, T> {
    /// The head and the queries of a task in tiles.
    #[inline(always)]
    pub(super) fn tile(&self, task: usize) -> (usize, Range<usize>) {
        let n_groups = self.a.n_q.div_ceil(self.task_len);
        let first = task % n_groups * self.task_len;
        let queries = first..self.a.n_q.min(first + self.task_len);
        (task / n_groups, queries)
    }

    /// The head of keys of a task that takes queries one by one, and its pairs; see
    /// [`Attention::pair`].
    #[inline(always)]
    fn pairs(&self, task: usize) -> (usize, Range<usize>) {
        let n_groups = self.a.n_pairs().div_ceil(self.task_len);
        let first = task % n_groups * self.task_len;
        let pairs = first..self.a.n_pairs().min(first + self.task_len);
        (task / n_groups, pairs)
    }

    /// The result of one query and head.
    ///
    /// # Safety
    /// Only the task of this query and head may ask.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn out(&self, head: usize, query: usize) -> &mut [f32] {
        let d = self.a.d_head;
        assert!(head < self.a.n_head && query < self.a.n_q);
        // SAFETY: inside out `[n_q, n_head * d]`, and the caller is alone with it.
        unsafe {
            let start = self.out.add(query * self.a.n_state() + head * d);
            std::slice::from_raw_parts_mut(start, d)
        }
    }

    #[inline(always)]
    pub(super) fn query(&self, head: usize, query: usize) -> &[f32] {
        &self.a.q[query * self.a.n_state() + head * self.a.d_head..][..self.a.d_head]
    }
}

/// Keys and values of a head of keys in blocks of at most `block`, with the number of keys before.
#[inline(always)]
fn blocks<'a, T: KvElem>(
    a: &'a Attention<'a, T>,
    head: usize,
    block: usize,
) -> impl Iterator<Item = (usize, &'a [T], &'a [T])> {
    let d = a.d_head / T::LEN;
    let mut n_before = 0;
    a.parts.iter().flat_map(move |part| {
        let first = n_before;
        n_before += part.range.len();
        part.range.clone().step_by(block).map(move |position| {
            let n = block.min(part.range.end - position);
            let cut =
                (head * part.capacity + position) * d..(head * part.capacity + position + n) * d;
            (
                first + position - part.range.start,
                &part.k[cut.clone()],
                &part.v[cut],
            )
        })
    })
}

/// Scratch on the stack of which only the part that is used costs anything. It begins on a cache
/// line.
#[repr(align(64))]
pub(super) struct Scratch<T, const N: usize>(MaybeUninit<[T; N]>);

impl<T: Copy + Default, const N: usize> Scratch<T, N> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Scratch(MaybeUninit::uninit())
    }

    /// The first `n` numbers, zeroed.
    #[inline(always)]
    pub(super) fn zeroed(&mut self, n: usize) -> &mut [T] {
        assert!(n <= N, "the scratch is too small");
        let first = self.0.as_mut_ptr().cast::<T>();
        for i in 0..n {
            // SAFETY: inside the array.
            unsafe { first.add(i).write(T::default()) };
        }
        // SAFETY: written above.
        unsafe { std::slice::from_raw_parts_mut(first, n) }
    }

    /// The first `n` numbers after `write` has written them.
    ///
    /// # Safety
    /// `write` initialises n numbers.
    #[inline(always)]
    pub(super) unsafe fn written(&mut self, n: usize, write: impl FnOnce(*mut T)) -> &mut [T] {
        assert!(n <= N, "the scratch is too small");
        let first = self.0.as_mut_ptr().cast::<T>();
        write(first);
        // SAFETY: the caller's word.
        unsafe { std::slice::from_raw_parts_mut(first, n) }
    }
}

/// One query per lane: scores `[key][lane]`, result `[d_head][lane]`; both products are register
/// tiles whose panel holds the queries or the probabilities.
#[inline(always)]
pub(super) unsafe fn tiled<L: Tiles>(job: &AttentionJob<f32>, head: usize, queries: Range<usize>) {
    const { assert!(L::F32_COLUMNS <= MAX_LANES) };
    let (d, lanes) = (job.a.d_head, L::F32_COLUMNS);
    let mut q = Scratch::<f32, { MAX_D_HEAD * MAX_LANES }>::new();
    let mut scores = Scratch::<f32, { KEY_BLOCK * MAX_LANES }>::new();
    let mut product = Scratch::<f32, { MAX_D_HEAD * MAX_LANES }>::new();
    let mut sum = Scratch::<f32, { MAX_D_HEAD * MAX_LANES }>::new();
    let (q, sum) = (q.zeroed(d * lanes), sum.zeroed(d * lanes));
    let mut state = Lanes::new();
    let mut correction = [0.0_f32; MAX_LANES];
    let scale = job.a.scale * std::f32::consts::LOG2_E;
    for (lane, query) in queries.clone().enumerate() {
        for (k, &value) in job.query(head, query).iter().enumerate() {
            q[k * lanes + lane] = value * scale;
        }
    }
    for (_, k, v) in blocks(job.a, job.a.kv_head(head), KEY_BLOCK) {
        let n = k.len() / d;
        let keys = TileF32 {
            a: k.as_ptr(),
            row_stride: d,
            k_stride: 1,
            m: n,
            b: q.as_ptr(),
            k: d,
            acc: std::ptr::null_mut(),
        };
        // SAFETY: there are n keys, and the tiles write n rows of the lanes.
        let scores =
            unsafe { scores.written(n * lanes, |acc| tiles::<L>(TileF32 { acc, ..keys })) };
        state.step::<L>(scores, &mut correction[..lanes]);
        let values = TileF32 {
            a: v.as_ptr(),
            row_stride: 1,
            k_stride: d,
            m: d,
            b: scores.as_ptr(),
            k: n,
            acc: std::ptr::null_mut(),
        };
        // SAFETY: there are n values, and the tiles write d rows of the lanes.
        let product =
            unsafe { product.written(d * lanes, |acc| tiles::<L>(TileF32 { acc, ..values })) };
        let rows = sum.chunks_exact_mut(lanes);
        for (sum, product) in rows.zip(product.chunks_exact(lanes)) {
            // SAFETY: the caller vouches for the level.
            unsafe { L::rescale(sum, &correction[..lanes], product) };
        }
    }
    for (lane, query) in queries.enumerate() {
        let inverse = inverse(state.total[lane]);
        // SAFETY: the query belongs to this task.
        let out = unsafe { job.out(head, query) };
        for (k, out) in out.iter_mut().enumerate() {
            *out = sum[k * lanes + lane] * inverse;
        }
    }
}

/// 1 / x, or 0 where nothing was added up.
#[inline(always)]
pub(super) fn inverse(total: f32) -> f32 {
    if total == 0.0 { 0.0 } else { 1.0 / total }
}

/// A product with more rows than a tile has, in tiles of about equal height.
#[inline(always)]
unsafe fn tiles<L: Tiles>(whole: TileF32) {
    let n_tiles = whole.m.div_ceil(L::F32_ROWS);
    for tile in 0..n_tiles {
        let first = tile * whole.m / n_tiles;
        let m = (tile + 1) * whole.m / n_tiles - first;
        // SAFETY: rows `first..first + m` of the whole.
        unsafe {
            L::tile_f32(&TileF32 {
                a: whole.a.add(first * whole.row_stride),
                m,
                acc: whole.acc.add(first * L::F32_COLUMNS),
                ..whole
            });
        }
    }
}

/// The online softmax of a tile of queries.
struct Lanes {
    max: [f32; MAX_LANES],
    total: [f32; MAX_LANES],
}

impl Lanes {
    fn new() -> Self {
        Lanes {
            max: [f32::MIN; MAX_LANES],
            total: [0.0; MAX_LANES],
        }
    }

    /// Turns a block of scores (base 2) `[key][lane]` into numerators, and says by what all
    /// earlier sums have to be multiplied.
    #[inline(always)]
    fn step<L: Tiles>(&mut self, scores: &mut [f32], correction: &mut [f32]) {
        let lanes = L::F32_COLUMNS;
        let mut max = self.max;
        for row in scores.chunks_exact(lanes) {
            for i in 0..lanes {
                max[i] = if row[i] > max[i] { row[i] } else { max[i] };
            }
        }
        let mut total = [0.0; MAX_LANES];
        for row in scores.chunks_exact_mut(lanes) {
            for i in 0..lanes {
                row[i] = portable::exp2_floored::<L>(row[i] - max[i]);
                total[i] += row[i];
            }
        }
        for i in 0..lanes {
            correction[i] = portable::exp2::<L>(self.max[i] - max[i]);
            self.total[i] = L::madd(self.total[i], correction[i], total[i]);
        }
        self.max = max;
    }
}

/// One query and head at a time; a group of those shares the widening of each block.
#[inline(always)]
pub(super) unsafe fn one_by_one<L: Tiles, T: KvElem + sealed::Widen>(
    job: &AttentionJob<T>,
    task: usize,
) {
    let d = job.a.d_head;
    let (kv_head, pairs) = job.pairs(task);
    let (last, _) = job.a.pair(kv_head, pairs.end - 1);
    let scale = job.a.scale * std::f32::consts::LOG2_E;
    let mut k_scratch = Scratch::<f32, { WIDE_BLOCK * MAX_D_HEAD }>::new();
    let mut v_scratch = Scratch::<f32, { WIDE_BLOCK * MAX_D_HEAD }>::new();
    let n_scratch = WIDE_BLOCK.min(job.a.n_keys()) * d;
    let k_scratch = k_scratch.zeroed(n_scratch);
    let v_scratch = v_scratch.zeroed(n_scratch);
    let mut scores = [0.0_f32; WIDE_BLOCK];
    let mut sum = Scratch::<f32, { PAIR_GROUP * MAX_D_HEAD }>::new();
    let sum = sum.zeroed(pairs.len() * d);
    let mut max = [f32::MIN; PAIR_GROUP];
    let mut total = [0.0_f32; PAIR_GROUP];
    for (n_before, k, v) in blocks(job.a, kv_head, WIDE_BLOCK) {
        if n_before >= job.a.n_visible(last) {
            break;
        }
        // SAFETY: the caller vouches for the level.
        let (k, v) = unsafe { (T::widen::<L>(k, k_scratch), T::widen::<L>(v, v_scratch)) };
        for (i, pair) in pairs.clone().enumerate() {
            let (query, head) = job.a.pair(kv_head, pair);
            let n = (k.len() / d).min(job.a.n_visible(query).saturating_sub(n_before));
            if n == 0 {
                continue;
            }
            let scores = &mut scores[..n];
            let q = job.query(head, query);
            // SAFETY: the caller vouches for the level.
            unsafe { L::dots(q, &k[..n * d], scores) };
            scores.iter_mut().for_each(|score| *score *= scale);
            let largest = portable::max(scores).max(max[i]);
            let correction = portable::exp2::<L>(max[i] - largest);
            max[i] = largest;
            total[i] *= correction;
            for score in scores.iter_mut() {
                *score = portable::exp2::<L>(*score - largest);
                total[i] += *score;
            }
            let sum = &mut sum[i * d..][..d];
            sum.iter_mut().for_each(|sum| *sum *= correction);
            // SAFETY: the caller vouches for the level.
            unsafe { L::weigh(scores, &v[..n * d], sum) };
        }
    }
    for (i, pair) in pairs.enumerate() {
        let (query, head) = job.a.pair(kv_head, pair);
        let inverse = inverse(total[i]);
        // SAFETY: the query and the head belong to this task.
        let out = unsafe { job.out(head, query) };
        for (out, &sum) in out.iter_mut().zip(&sum[i * d..]) {
            *out = sum * inverse;
        }
    }
}

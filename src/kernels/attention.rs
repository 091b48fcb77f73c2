//! Scaled dot-product attention with online softmax (Milakov & Gimelshein 2018; Dao et al. 2022).
//!
//! Keys are taken in blocks; for each query the running maximum, the sum of exponentials and the
//! weighted sum of values are kept, so that no row of probabilities is ever stored. All scratch
//! is on the stack.
//!
//! Two ways through: f32 keys without mask (an encoder: many queries) take a tile of queries at a
//! time, one query per vector lane; f16 keys or a causal mask (a decoder's caches: few queries)
//! take one query at a time. The way depends on the types only, never on the number of queries,
//! so that the result of a query does not either.

use std::ops::Range;

use half::f16;

use super::exec::Parts;
use super::table::{Table, TileF32, Tiles};
use super::{Exec, SPLIT_ELEMENTS, portable};

/// Keys of one step of the online softmax in the tiled way.
const KEY_BLOCK: usize = 128;

/// Keys of one step when queries are taken one by one: both keys and values, widened, stay in the
/// first-level cache.
const WIDE_BLOCK: usize = 64;

/// The largest head.
const MAX_D_HEAD: usize = 128;

/// The most lanes a tile of queries has.
const MAX_LANES: usize = 64;

/// Queries that share a block of keys on the one-by-one way.
const QUERY_GROUP: usize = 8;

/// What keys and values may be stored as: `f32` or `half::f16`.
pub trait KvElem: sealed::Elem {}
impl KvElem for f32 {}
impl KvElem for f16 {}

/// Nobody else can name this trait, so what it mentions may be private.
#[allow(private_interfaces, private_bounds)]
mod sealed {
    use super::{AttentionJob, Table, Tiles};
    use half::f16;

    pub trait Elem: Copy + Send + Sync + 'static {
        const TILED: bool;
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<Self>, usize)
        where
            Self: super::KvElem;
        /// # Safety
        /// The CPU runs level L.
        unsafe fn widen<'a, L: Tiles>(x: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32];
        fn store(table: &'static Table, x: &[f32], out: &mut [Self]);
    }

    impl Elem for f32 {
        const TILED: bool = true;
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<f32>, usize) {
            table.attention_f32
        }
        #[inline(always)]
        unsafe fn widen<'a, L: Tiles>(x: &'a [f32], _: &'a mut [f32]) -> &'a [f32] {
            x
        }
        fn store(_: &'static Table, x: &[f32], out: &mut [f32]) {
            out.copy_from_slice(x);
        }
    }

    impl Elem for f16 {
        const TILED: bool = false;
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<f16>, usize) {
            table.attention_f16
        }
        #[inline(always)]
        unsafe fn widen<'a, L: Tiles>(x: &'a [f16], scratch: &'a mut [f32]) -> &'a [f32] {
            let scratch = &mut scratch[..x.len()];
            // SAFETY: the caller vouches for the level.
            unsafe { L::from_f16(x, scratch) };
            scratch
        }
        fn store(table: &'static Table, x: &[f32], out: &mut [f16]) {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.to_f16)(x, out) }
        }
    }
}

/// A stretch of keys and values, each `[n_head][capacity][d_head]`, of which the positions in
/// `range` take part.
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
    /// Length of a head: a multiple of 8, at most 128.
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
    a: &'a Attention<'a, T>,
    out: *mut f32,
    /// Queries of one task.
    task_queries: usize,
}

// SAFETY: tasks write disjoint parts of `out`; everything else is shared read-only.
unsafe impl<T: KvElem> Sync for AttentionJob<'_, T> {}

impl<T: KvElem> Attention<'_, T> {
    /// Panics if the shapes do not fit.
    fn check(&self) {
        assert!(
            self.d_head.is_multiple_of(8) && (8..=MAX_D_HEAD).contains(&self.d_head),
            "d_head"
        );
        assert_eq!(
            self.q.len(),
            self.n_q * self.n_state(),
            "q is not [n_q, n_head * d_head]"
        );
        for part in self.parts {
            let n = self.n_head * part.capacity * self.d_head;
            assert!(
                part.k.len() >= n && part.v.len() >= n,
                "keys or values are too few"
            );
            assert!(part.range.start <= part.range.end && part.range.end <= part.capacity);
        }
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

    fn n_keys(&self) -> usize {
        self.parts.iter().map(|part| part.range.len()).sum()
    }

    fn is_tiled(&self) -> bool {
        T::TILED && self.mask == Mask::None
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
    let task_queries = if a.is_tiled() {
        table.f32_columns
    } else {
        QUERY_GROUP
    };
    let n_tasks = a.n_head * a.n_q.div_ceil(task_queries);
    let job = AttentionJob {
        a,
        out: out.as_mut_ptr(),
        task_queries,
    };
    let run = T::entry(table);
    // Each key meets each query in 2 · d_head multiplications, at some 10 a nanosecond.
    let ns = a.n_q * a.n_keys() * a.n_state() / 5;
    let n_chunks = if ns < SERIAL_NS {
        1
    } else {
        n_tasks.min(8 * exec.n_threads())
    };
    exec.for_each_task(n_chunks, |chunk| {
        for task in chunk * n_tasks / n_chunks..(chunk + 1) * n_tasks / n_chunks {
            // SAFETY: the table belongs to a level of this machine; every task is run once.
            unsafe { run(&job, task) };
        }
    });
}

/// The probabilities with which `query` of `head` sees each key; probs `[keys of all parts]`.
pub fn attention_probs<T: KvElem>(
    exec: &Exec,
    a: &Attention<T>,
    head: usize,
    query: usize,
    probs: &mut [f32],
) {
    a.check();
    assert!(head < a.n_head && query < a.n_q, "no such head or query");
    assert_eq!(probs.len(), a.n_keys(), "one probability per key");
    let table = exec.cpu().table();
    let d = a.d_head;
    let q = &a.q[query * a.n_state() + head * d..][..d];
    let n_visible = a.n_visible(query);
    let mut scratch = [0.0; MAX_D_HEAD];
    let mut at = 0;
    for part in a.parts {
        for position in part.range.clone() {
            let key = &part.k[(head * part.capacity + position) * d..][..d];
            // SAFETY: plain Rust runs everywhere.
            let key = unsafe { T::widen::<super::scalar::Scalar>(key, &mut scratch) };
            // SAFETY: the table belongs to a level of this machine.
            let score = unsafe { (table.dot)(q, key) } * a.scale;
            probs[at] = if at < n_visible {
                score
            } else {
                f32::NEG_INFINITY
            };
            at += 1;
        }
    }
    super::softmax(exec.cpu(), probs);
}

/// One task of an attention: one head, a few queries.
///
/// # Safety
/// The CPU runs level L; no other thread runs the same task.
#[inline(always)]
pub(super) unsafe fn task<L: Tiles, T: KvElem>(job: &AttentionJob<T>, task: usize) {
    let n_groups = job.a.n_q.div_ceil(job.task_queries);
    let (head, group) = (task / n_groups, task % n_groups);
    let first = group * job.task_queries;
    let queries = first..job.a.n_q.min(first + job.task_queries);
    // SAFETY: the caller vouches for the level and the task.
    unsafe {
        if job.a.is_tiled() {
            tiled::<L, T>(job, head, queries);
        } else {
            one_by_one::<L, T>(job, head, queries);
        }
    }
}

impl<T: KvElem> AttentionJob<'_, T> {
    /// The result of one query and head.
    ///
    /// # Safety
    /// Only the task of this query and head may ask.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn out(&self, head: usize, query: usize) -> &mut [f32] {
        let d = self.a.d_head;
        assert!(head < self.a.n_head && query < self.a.n_q);
        // SAFETY: inside out `[n_q, n_head * d]`, and the caller is alone with it.
        unsafe {
            let start = self.out.add(query * self.a.n_state() + head * d);
            std::slice::from_raw_parts_mut(start, d)
        }
    }

    #[inline(always)]
    fn query(&self, head: usize, query: usize) -> &[f32] {
        &self.a.q[query * self.a.n_state() + head * self.a.d_head..][..self.a.d_head]
    }
}

/// Keys and values of `head` in blocks of at most `block`, with the number of keys before.
#[inline(always)]
fn blocks<'a, T: KvElem>(
    a: &'a Attention<'a, T>,
    head: usize,
    block: usize,
) -> impl Iterator<Item = (usize, &'a [T], &'a [T])> {
    let d = a.d_head;
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

/// One query per lane: scores `[key][lane]`, result `[d_head][lane]`; both products are register
/// tiles whose panel holds the queries or the probabilities.
#[inline(always)]
unsafe fn tiled<L: Tiles, T: KvElem>(job: &AttentionJob<T>, head: usize, queries: Range<usize>) {
    let (d, lanes) = (job.a.d_head, L::F32_COLUMNS);
    let mut q = [0.0_f32; MAX_D_HEAD * MAX_LANES];
    let mut scores = [0.0_f32; KEY_BLOCK * MAX_LANES];
    let mut product = [0.0_f32; MAX_D_HEAD * MAX_LANES];
    let mut sum = [0.0_f32; MAX_D_HEAD * MAX_LANES];
    let mut state = Lanes {
        max: [f32::MIN; MAX_LANES],
        total: [0.0; MAX_LANES],
    };
    let mut correction = [0.0_f32; MAX_LANES];
    let scale = job.a.scale * std::f32::consts::LOG2_E;
    for (lane, query) in queries.clone().enumerate() {
        for (k, &value) in job.query(head, query).iter().enumerate() {
            q[k * lanes + lane] = value * scale;
        }
    }
    let mut unused = [0.0; 0];
    for (_, k, v) in blocks(job.a, head, KEY_BLOCK) {
        // SAFETY: the caller vouches for the level; f32 needs no scratch.
        let (k, v) = unsafe { (T::widen::<L>(k, &mut unused), T::widen::<L>(v, &mut [])) };
        let n = k.len() / d;
        // SAFETY: the arrays hold KEY_BLOCK or MAX_D_HEAD rows of the lanes.
        unsafe {
            let keys = TileF32 {
                a: k.as_ptr(),
                row_stride: d,
                k_stride: 1,
                m: n,
                b: q.as_ptr(),
                k: d,
                acc: scores.as_mut_ptr(),
            };
            tiles::<L>(keys);
            state.step::<L>(&mut scores[..n * lanes], &mut correction[..lanes]);
            let values = TileF32 {
                a: v.as_ptr(),
                row_stride: 1,
                k_stride: d,
                m: d,
                b: scores.as_ptr(),
                k: n,
                acc: product.as_mut_ptr(),
            };
            tiles::<L>(values);
        }
        for (sum, product) in sum[..d * lanes]
            .chunks_exact_mut(lanes)
            .zip(product.chunks_exact(lanes))
        {
            for i in 0..lanes {
                sum[i] = L::madd(sum[i], correction[i], product[i]);
            }
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
fn inverse(total: f32) -> f32 {
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

/// One query at a time; a group of queries shares the widening of each block.
#[inline(always)]
unsafe fn one_by_one<L: Tiles, T: KvElem>(
    job: &AttentionJob<T>,
    head: usize,
    queries: Range<usize>,
) {
    let d = job.a.d_head;
    let scale = job.a.scale * std::f32::consts::LOG2_E;
    let mut k_scratch = [0.0_f32; WIDE_BLOCK * MAX_D_HEAD];
    let mut v_scratch = [0.0_f32; WIDE_BLOCK * MAX_D_HEAD];
    let mut scores = [0.0_f32; WIDE_BLOCK];
    let mut sum = [0.0_f32; QUERY_GROUP * MAX_D_HEAD];
    let mut max = [f32::MIN; QUERY_GROUP];
    let mut total = [0.0_f32; QUERY_GROUP];
    for (n_before, k, v) in blocks(job.a, head, WIDE_BLOCK) {
        if n_before >= job.a.n_visible(queries.end - 1) {
            break;
        }
        // SAFETY: the caller vouches for the level.
        let (k, v) = unsafe {
            (
                T::widen::<L>(k, &mut k_scratch),
                T::widen::<L>(v, &mut v_scratch),
            )
        };
        for (i, query) in queries.clone().enumerate() {
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
            let sum = &mut sum[i * MAX_D_HEAD..][..d];
            sum.iter_mut().for_each(|sum| *sum *= correction);
            // SAFETY: the caller vouches for the level.
            unsafe { L::weigh(scores, &v[..n * d], sum) };
        }
    }
    for (i, query) in queries.enumerate() {
        let inverse = inverse(total[i]);
        // SAFETY: the query belongs to this task.
        let out = unsafe { job.out(head, query) };
        for (out, &sum) in out.iter_mut().zip(&sum[i * MAX_D_HEAD..]) {
            *out = sum * inverse;
        }
    }
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

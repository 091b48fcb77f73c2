//! Matrix products `x · wᵀ` with fused epilogue.
//!
//! The grid of (rows of x) × (panels of w) is cut into coarse blocks that the threads share; a
//! block goes panel by panel over its rows, so that the rows stay in the second-level cache and
//! the panel in the first. Every output is one sum in the order of n_in, whatever the blocks are.

use std::ops::Range;

use half::bf16;

use super::attention::Scratch;
use super::bf16_rows::{Bf16Numbers, PackedBf16};
use super::epilogue::{Epilogue, Frame};
use super::packed::{K_ALIGN, ROW_ALIGN};
use super::table::{BF16_COLUMNS, BF16_ROWS, MAX_TILE, TileBf16, TileF32, TileI8, Tiles};
use super::{Exec, PackedF32, PackedI8, QuantizedRows};

/// An f32 product.
pub(super) struct F32Job<'a> {
    frame: Frame<'a>,
    x: &'a [f32],
    row_stride: usize,
    n_in: usize,
    panels: &'a [f32],
}

/// An int8 product.
pub(super) struct I8Job<'a> {
    frame: Frame<'a>,
    x: &'a QuantizedRows,
    w: &'a PackedI8,
}

/// `out = epilogue(x · wᵀ)` with x `[n, n_in]`, w `[n_out, n_in]`, out `[n, n_out]`.
pub fn matmul_f32(exec: &Exec, x: &[f32], w: &PackedF32, epilogue: &Epilogue, out: &mut [f32]) {
    matmul_f32_rows(exec, x, w, 0..w.n_out(), epilogue, out);
}

/// As [`matmul_f32`] with rows of x that are `row_stride` apart and may overlap: a convolution.
/// There are as many as `out` has.
pub fn matmul_f32_overlapping(
    exec: &Exec,
    (x, row_stride): (&[f32], usize),
    w: &PackedF32,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    strided_f32(exec, (x, row_stride), w, 0..w.n_out(), epilogue, out);
}

/// As [`matmul_f32`] for some outputs (rows of w) only: out `[n, outputs.len()]`, and so the bias.
pub fn matmul_f32_rows(
    exec: &Exec,
    x: &[f32],
    w: &PackedF32,
    outputs: Range<usize>,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let n_in = w.n_in();
    assert!(
        n_in > 0 && x.len().is_multiple_of(n_in),
        "x is not [n, n_in]"
    );
    assert_eq!(
        out.len(),
        x.len() / n_in * outputs.len(),
        "out is not [n, n_out]"
    );
    strided_f32(exec, (x, n_in), w, outputs, epilogue, out);
}

fn strided_f32(
    exec: &Exec,
    (x, row_stride): (&[f32], usize),
    w: &PackedF32,
    outputs: Range<usize>,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let n_in = w.n_in();
    assert_eq!(
        w.level(),
        exec.cpu().level(),
        "weights were packed for another level"
    );
    let n = out.len() / outputs.len().max(1);
    assert_rows(x.len(), n, (row_stride, n_in));
    let frame = Frame::new(n, w.n_out(), outputs, epilogue, out);
    let table = exec.cpu().table();
    let grid = Grid {
        n_rows: n,
        tile_rows: table.f32_rows,
        row_bytes: n_in * 4,
        columns: table.f32_columns,
        panel_bytes: n_in * 4 * table.f32_columns,
        block_bytes: 512 * 1024,
        macs_per_ns: 40,
    };
    let outputs = frame.outputs.clone();
    let job = F32Job {
        frame,
        x,
        row_stride,
        n_in,
        panels: w.panels(),
    };
    grid.run(exec, outputs, |rows, panels| {
        // SAFETY: the table belongs to a level of this machine, and `grid.run` hands out
        // disjoint blocks inside the output.
        unsafe { (table.matmul_f32)(&job, rows, panels) }
    });
}

/// `out = epilogue(x · wᵀ)` with x `[n, n_in]` quantised at the same level, w `[n_out, n_in]`,
/// out `[n, n_out]`. The sums of products are exact.
pub fn matmul_i8(
    exec: &Exec,
    x: &QuantizedRows,
    w: &PackedI8,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    matmul_i8_rows(exec, x, w, 0..w.n_out(), epilogue, out);
}

/// As [`matmul_i8`] for some outputs (rows of w) only: out `[n, outputs.len()]`, and so the bias.
pub fn matmul_i8_rows(
    exec: &Exec,
    x: &QuantizedRows,
    w: &PackedI8,
    outputs: Range<usize>,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    assert_eq!(
        w.level(),
        exec.cpu().level(),
        "weights were packed for another level"
    );
    assert_eq!(
        x.level(),
        exec.cpu().level(),
        "rows were quantised for another level"
    );
    assert!(!x.in_blocks(), "rows were quantised in blocks");
    assert_eq!(x.n_in(), w.n_in(), "rows and weights do not fit");
    let frame = Frame::new(x.n_rows(), w.n_out(), outputs, epilogue, out);
    let table = exec.cpu().table();
    let grid = Grid {
        n_rows: x.n_rows(),
        tile_rows: table.i8.rows,
        row_bytes: x.row_bytes(),
        columns: table.i8.columns,
        panel_bytes: w.k_padded() * table.i8.columns,
        block_bytes: 256 * 1024,
        macs_per_ns: 120,
    };
    let outputs = frame.outputs.clone();
    let job = I8Job { frame, x, w };
    grid.run(exec, outputs, |rows, panels| {
        // SAFETY: the table belongs to a level of this machine, and `grid.run` hands out
        // disjoint blocks inside the output.
        unsafe { (table.matmul_i8)(&job, rows, panels) }
    });
}

/// Panics unless `len` numbers hold n rows of `n_in` that are `row_stride` apart.
fn assert_rows(len: usize, n: usize, (row_stride, n_in): (usize, usize)) {
    let before = n.saturating_sub(1).checked_mul(row_stride);
    let end = before.and_then(|before| before.checked_add(n_in));
    assert!(
        n == 0 || end.is_some_and(|end| end <= len),
        "x has too few rows"
    );
}

/// One block of an f32 product.
///
/// # Safety
/// The CPU runs level L; `rows` and `panels` are inside the product; no other thread works on the
/// same block.
#[inline(always)]
pub(super) unsafe fn block_f32<L: Tiles>(job: &F32Job, rows: Range<usize>, panels: Range<usize>) {
    const { assert!(L::F32_ROWS * L::F32_COLUMNS <= MAX_TILE) };
    let mut acc = [0.0_f32; MAX_TILE];
    for panel in panels {
        let b = &job.panels[panel * job.n_in * L::F32_COLUMNS..][..job.n_in * L::F32_COLUMNS];
        for row in rows.clone().step_by(L::F32_ROWS) {
            let m = L::F32_ROWS.min(rows.end - row);
            let a = &job.x[row * job.row_stride..(row + m - 1) * job.row_stride + job.n_in];
            let tile = TileF32 {
                a: a.as_ptr(),
                row_stride: job.row_stride,
                k_stride: 1,
                m,
                b: b.as_ptr(),
                k: job.n_in,
                acc: acc.as_mut_ptr(),
            };
            // SAFETY: the slices above hold m rows and one panel, `acc` the largest tile.
            unsafe { L::tile_f32(&tile) };
            // SAFETY: the block belongs to this thread.
            unsafe {
                job.frame
                    .finish::<L>(row..row + m, panel, L::F32_COLUMNS, &acc)
            };
        }
    }
}

/// A bf16 product.
pub(super) struct Bf16Job<'a> {
    frame: Frame<'a>,
    x: &'a [bf16],
    row_stride: usize,
    w: &'a PackedBf16,
}

/// `out = epilogue(x · wᵀ)` in bf16 with sums in f32. Rows of x are `row_stride` apart and may
/// overlap: a convolution. There are as many as `out` has.
pub fn matmul_bf16_overlapping(
    exec: &Exec,
    (x, row_stride): (&Bf16Numbers, usize),
    w: &PackedBf16,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let n = out.len() / w.n_out().max(1);
    assert_rows(x.len(), n, (row_stride, w.n_in()));
    let x = x.with_slack();
    // Tiles read whole steps along n_in, and whole tiles of rows.
    assert_rows(
        x.len(),
        n.next_multiple_of(BF16_ROWS),
        (row_stride, w.k_padded()),
    );
    let frame = Frame::new(n, w.n_out(), 0..w.n_out(), epilogue, out);
    let table = exec.cpu().table();
    let grid = Grid {
        n_rows: n,
        tile_rows: BF16_ROWS,
        row_bytes: row_stride * 2,
        columns: BF16_COLUMNS,
        panel_bytes: w.k_padded() * 2 * BF16_COLUMNS,
        block_bytes: 512 * 1024,
        macs_per_ns: 120,
    };
    let job = Bf16Job {
        frame,
        x,
        row_stride,
        w,
    };
    grid.run(exec, 0..w.n_out(), |rows, panels| {
        // SAFETY: the table belongs to a level of this machine, and `grid.run` hands out
        // disjoint blocks inside the output.
        unsafe { (table.matmul_bf16)(&job, rows, panels) }
    });
}

/// One block of a bf16 product.
///
/// # Safety
/// As for [`block_f32`].
#[inline(always)]
pub(super) unsafe fn block_bf16<L: Tiles>(job: &Bf16Job, rows: Range<usize>, panels: Range<usize>) {
    const { assert!(BF16_ROWS * BF16_COLUMNS <= MAX_TILE) };
    let mut acc = Scratch::<f32, MAX_TILE>::new();
    let acc = acc.zeroed(BF16_ROWS * BF16_COLUMNS);
    let k = job.w.k_padded();
    // SAFETY: the caller vouches for the level.
    unsafe { L::begin_bf16() };
    for panel in panels {
        let b = &job.w.panels()[panel * k / 2 * BF16_COLUMNS..][..k / 2 * BF16_COLUMNS];
        for row in rows.clone().step_by(BF16_ROWS) {
            let m = BF16_ROWS.min(rows.end - row);
            let first = row * job.row_stride;
            let a = &job.x[first..first + (BF16_ROWS - 1) * job.row_stride + k];
            let tile = TileBf16 {
                a: a.as_ptr(),
                row_stride: job.row_stride,
                m: BF16_ROWS,
                b: b.as_ptr(),
                k,
                acc: acc.as_mut_ptr(),
            };
            // SAFETY: the slices above hold the rows and one panel, `acc` the tile; the block
            // belongs to this thread.
            unsafe {
                L::tile_bf16(&tile);
                job.frame
                    .finish::<L>(row..row + m, panel, BF16_COLUMNS, acc);
            }
        }
    }
    // SAFETY: the caller vouches for the level.
    unsafe { L::end_bf16() };
}

/// One block of an int8 product.
///
/// # Safety
/// As for [`block_f32`].
#[inline(always)]
pub(super) unsafe fn block_i8<L: Tiles>(job: &I8Job, rows: Range<usize>, panels: Range<usize>) {
    const {
        assert!(L::I8.rows * L::I8.columns <= MAX_TILE);
        assert!(K_ALIGN.is_multiple_of(L::I8.group));
        assert!(ROW_ALIGN.is_multiple_of(L::I8.rows) || L::I8.rows < 16);
    };
    // A tile may read rows up to the next multiple of its height.
    assert!(
        rows.start.is_multiple_of(L::I8.rows),
        "a block begins with a tile"
    );
    let mut acc = [0_i32; MAX_TILE];
    let mut sums = [0.0_f32; MAX_TILE];
    let columns = L::I8.columns;
    let (k, row_bytes) = (job.w.k_padded(), job.x.row_bytes());
    // SAFETY: the caller vouches for the level.
    unsafe { L::begin_i8(rows.len()) };
    for panel in panels {
        let b = &job.w.panels()[panel * k * columns..][..k * columns];
        let excess = &job.w.excess()[panel * columns..][..columns];
        let scales = &job.w.scales()[panel * columns..][..columns];
        for row in rows.clone().step_by(L::I8.rows) {
            let m = L::I8.rows.min(rows.end - row);
            let readable = row..(row + m).next_multiple_of(ROW_ALIGN);
            let a = &job.x.data()[readable.start * row_bytes..readable.end * row_bytes];
            let (a, b, acc_start) = (a.as_ptr(), b.as_ptr(), acc.as_mut_ptr());
            let tile = TileI8 {
                a,
                row_bytes,
                m,
                b,
                k,
                acc: acc_start,
            };
            // SAFETY: the slices above hold m rows and one panel, `acc` the largest tile.
            unsafe { L::tile_i8(&tile) };
            let row_scales = &job.x.scales()[row..row + m];
            let rows = acc
                .chunks_exact(columns)
                .zip(sums.chunks_exact_mut(columns));
            for ((acc, sums), &row_scale) in rows.zip(row_scales) {
                // SAFETY: the caller vouches for the level.
                unsafe { L::dequantize(acc, excess, (scales, row_scale), sums) };
            }
            // SAFETY: the block belongs to this thread.
            unsafe { job.frame.finish::<L>(row..row + m, panel, columns, &sums) };
        }
    }
    // SAFETY: the caller vouches for the level.
    unsafe { L::end_i8(rows.len()) };
}

/// How a product is cut into blocks.
pub(super) struct Grid {
    pub(super) n_rows: usize,
    pub(super) tile_rows: usize,
    pub(super) row_bytes: usize,
    pub(super) columns: usize,
    pub(super) panel_bytes: usize,
    /// Rows of one block, in and out, may be so large: a part of the second-level cache.
    pub(super) block_bytes: usize,
    /// A rough speed, to tell work that is worth splitting.
    pub(super) macs_per_ns: usize,
}

/// Work below this is not split: waking a thread costs about as much.
const SERIAL_NS: usize = 40_000;

/// A task is at least this long.
const TASK_NS: usize = 15_000;

/// Rough speed at which one core reads weights.
const READ_BYTES_PER_NS: usize = 10;

impl Grid {
    /// Calls `f` with blocks (rows, panels) that are disjoint and cover all rows and the panels
    /// of `outputs`.
    pub(super) fn run(
        &self,
        exec: &Exec,
        outputs: Range<usize>,
        f: impl Fn(Range<usize>, Range<usize>) + Sync,
    ) {
        if self.n_rows == 0 || outputs.is_empty() {
            return;
        }
        let panels = outputs.start / self.columns..outputs.end.div_ceil(self.columns);
        let n_panels = panels.len();
        let row_bytes = self.row_bytes + outputs.len() * 4;
        let block_tiles = (self.block_bytes / (row_bytes * self.tile_rows)).max(1);
        let block_rows = block_tiles * self.tile_rows;
        let n_blocks = self.n_rows.div_ceil(block_rows);
        let n_groups = self.n_groups(exec.n_threads(), n_blocks, n_panels);
        exec.for_each_task(n_blocks * n_groups, |task| {
            let (block, group) = (task / n_groups, task % n_groups);
            let rows = block * block_rows..self.n_rows.min((block + 1) * block_rows);
            let first = panels.start + group * n_panels / n_groups;
            f(
                rows,
                first..panels.start + (group + 1) * n_panels / n_groups,
            );
        });
    }

    /// Into how many groups the panels are cut so that all threads have work.
    fn n_groups(&self, n_threads: usize, n_blocks: usize, n_panels: usize) -> usize {
        let macs = self.n_rows * self.panel_bytes * n_panels;
        let ns = (macs / self.macs_per_ns).max(self.panel_bytes * n_panels / READ_BYTES_PER_NS);
        if n_threads == 1 || ns < SERIAL_NS {
            return 1;
        }
        let wanted = (4 * n_threads).div_ceil(n_blocks);
        let n_groups = wanted.min(ns / n_blocks / TASK_NS).clamp(1, n_panels);
        // With few rows every thread should have as many groups: three groups take two threads as
        // long as four.
        if n_blocks == 1 && n_groups > n_threads {
            n_groups - n_groups % n_threads
        } else {
            n_groups
        }
    }
}

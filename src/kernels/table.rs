//! What a level is made of.
//!
//! A level implements [`Tiles`]: the shape of its register tiles and the few inner loops written
//! with its instructions. The macro `level_table!` compiles everything around them (blocking,
//! epilogues, softmax, norms: portable Rust) for the level's features and collects it in a
//! [`Table`] of function pointers. To add a level: implement `Tiles`, name the features, and add
//! the table to `level.rs`.

use std::ops::Range;

use half::{bf16, f16};

use super::attention::AttentionJob;
use super::block_rows::{self, BlocksJob, TileBlocks};
use super::kv_elem::Q8Block;
use super::matmul::{Bf16Job, F32Job, I8Job};
use super::packed::I8Layout;
use super::portable::{self, Arith};

/// The most numbers one register tile may have.
pub(super) const MAX_TILE: usize = 16 * 64;

/// One f32 tile: `acc[i][j] = Σ_k a[i][k] · b[k][j]`, each sum in the order of k.
#[derive(Clone, Copy)]
pub(super) struct TileF32 {
    /// Element (i, k) is at `i * row_stride + k * k_stride`.
    pub(super) a: *const f32,
    pub(super) row_stride: usize,
    pub(super) k_stride: usize,
    /// Rows of `a`, from 1 to `Tiles::F32_ROWS`.
    pub(super) m: usize,
    /// A panel `[k][F32_COLUMNS]`.
    pub(super) b: *const f32,
    pub(super) k: usize,
    /// `[m][F32_COLUMNS]`, overwritten.
    pub(super) acc: *mut f32,
}

/// One int8 tile: `acc[i][j] = Σ_k a[i][k] · b[k][j]`, exact.
#[derive(Clone, Copy)]
pub(super) struct TileI8 {
    /// Rows in the level's [`I8Layout`] format, `row_bytes` apart. Up to a multiple of
    /// [`ROW_ALIGN`], counted from the first row of all, they can be read.
    ///
    /// [`ROW_ALIGN`]: super::packed::ROW_ALIGN
    pub(super) a: *const u8,
    pub(super) row_bytes: usize,
    /// Rows of `a` that are wanted, from 1 to `I8Layout::rows`.
    pub(super) m: usize,
    /// A panel `[k / group][columns][group]`.
    pub(super) b: *const i8,
    /// A multiple of 64.
    pub(super) k: usize,
    /// `[I8Layout::rows][columns]`, of which m rows are overwritten.
    pub(super) acc: *mut i32,
}

/// Rows of a bf16 tile.
pub(super) const BF16_ROWS: usize = 32;

/// Columns of a bf16 tile.
pub(super) const BF16_COLUMNS: usize = 32;

/// Some bf16 tiles: `acc[i][j]` becomes, or grows by, `Σ_k a[i][k] · b[k][j]`, each sum in the
/// order of k.
#[derive(Clone, Copy)]
pub(super) struct TileBf16 {
    /// `[m][k]`, rows `row_stride` numbers apart.
    pub(super) a: *const bf16,
    pub(super) row_stride: usize,
    /// A multiple of 32.
    pub(super) m: usize,
    /// Pairs along k, the first in the low half: `[k / 2][BF16_COLUMNS]`.
    pub(super) b: *const u32,
    /// A multiple of 32.
    pub(super) k: usize,
    /// `[m][BF16_COLUMNS]`
    pub(super) acc: *mut f32,
}

/// The inner loops of one level.
pub(super) trait Tiles: Arith + Sized {
    /// Rows of an f32 tile.
    const F32_ROWS: usize;
    /// Columns of an f32 tile: the width of a weight panel.
    const F32_COLUMNS: usize;
    /// Shape and formats of the int8 tile.
    const I8: I8Layout;

    /// # Safety
    /// The CPU runs this level; all pointers of `tile` are valid for its sizes.
    unsafe fn tile_f32(tile: &TileF32);

    /// Called before the int8 tiles of a block of `n_rows` rows.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn begin_i8(_n_rows: usize) {}

    /// Called after the int8 tiles of a block of `n_rows` rows.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn end_i8(_n_rows: usize) {}

    /// # Safety
    /// The CPU runs this level; all pointers of `tile` are valid for its sizes; it stands between
    /// `begin_i8` and `end_i8`.
    unsafe fn tile_i8(tile: &TileI8);

    /// # Safety
    /// The CPU runs this level; all pointers of `tile` are valid for its sizes.
    #[inline(always)]
    unsafe fn tile_blocks(tile: &TileBlocks) {
        // SAFETY: the caller's word.
        unsafe { block_rows::tile::<Self>(tile) }
    }

    /// Quantises a row of activations in blocks; see `block_rows::quantize_row`.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn quantize_blocks(x: &[f32], out: &mut [u8]) {
        block_rows::quantize_row(x, out);
    }

    /// Whether bf16 tiles are faster than f32 tiles.
    const BF16: bool = false;

    /// Called before bf16 tiles.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn begin_bf16() {}

    /// Called after bf16 tiles.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn end_bf16() {}

    /// Overwrites `acc`.
    ///
    /// # Safety
    /// The CPU runs this level; all pointers of `tile` are valid for its sizes; it stands between
    /// `begin_bf16` and `end_bf16`.
    #[inline(always)]
    unsafe fn tile_bf16(tile: &TileBf16) {
        // SAFETY: the caller's word.
        unsafe {
            tile.acc.write_bytes(0, tile.m * BF16_COLUMNS);
            portable::add_tile_bf16::<Self>(tile);
        }
    }

    /// Adds to `acc`.
    ///
    /// # Safety
    /// As for `tile_bf16`.
    #[inline(always)]
    unsafe fn add_tile_bf16(tile: &TileBf16) {
        // SAFETY: the caller's word.
        unsafe { portable::add_tile_bf16::<Self>(tile) }
    }

    /// One row of sums in f32: `(acc[j] - excess[j]) · scales[j] · row_scale`; slices as long as an
    /// int8 tile has columns.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn dequantize(acc: &[i32], excess: &[i32], scales: (&[f32], f32), out: &mut [f32]) {
        portable::dequantize(acc, excess, scales, out);
    }

    /// `out[j] = q · keys[j]`, with keys `[out.len()][q.len()]`. Every product is added up in the
    /// same order, wherever its key stands.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn dots(q: &[f32], keys: &[f32], out: &mut [f32]) {
        portable::dots::<Self>(q, keys, out);
    }

    /// `sum += Σ_j p[j] · values[j]`, with values `[p.len()][sum.len()]`.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn weigh(p: &[f32], values: &[f32], sum: &mut [f32]) {
        portable::weigh::<Self>(p, values, sum);
    }

    /// `sum = sum · factors + product`; slices as long as an f32 tile has columns.
    ///
    /// # Safety
    /// The CPU runs this level.
    #[inline(always)]
    unsafe fn rescale(sum: &mut [f32], factors: &[f32], product: &[f32]) {
        portable::rescale::<Self>(sum, factors, product);
    }

    /// Converts; slices of equal length.
    ///
    /// # Safety
    /// The CPU runs this level.
    unsafe fn from_f16(x: &[f16], out: &mut [f32]);

    /// Converts, rounding to nearest even; slices of equal length.
    ///
    /// # Safety
    /// The CPU runs this level.
    unsafe fn to_f16(x: &[f32], out: &mut [f16]);
}

/// The kernels of one level. All entries are unsafe to call only in that the CPU must run the
/// level, which a [`super::Cpu`] proves, and that a job's pointers must be valid.
pub(super) struct Table {
    pub(super) f32_rows: usize,
    pub(super) f32_columns: usize,
    pub(super) i8: I8Layout,
    pub(super) matmul_f32: unsafe fn(&F32Job, Range<usize>, Range<usize>),
    pub(super) matmul_bf16: unsafe fn(&Bf16Job, Range<usize>, Range<usize>),
    pub(super) matmul_i8: unsafe fn(&I8Job, Range<usize>, Range<usize>),
    pub(super) quantize_row: unsafe fn(&[f32], &mut [u8]) -> f32,
    pub(super) matmul_blocks: unsafe fn(&BlocksJob, Range<usize>, Range<usize>),
    pub(super) quantize_blocks: unsafe fn(&[f32], &mut [u8]),
    pub(super) attention_f32: unsafe fn(&AttentionJob<f32>, usize),
    pub(super) attention_f16: unsafe fn(&AttentionJob<f16>, usize),
    pub(super) attention_q8: unsafe fn(&AttentionJob<Q8Block>, usize),
    pub(super) attention_bf16: unsafe fn(&AttentionJob<bf16>, usize),
    /// Whether bf16 tiles are faster than f32 tiles.
    pub(super) bf16: bool,
    #[allow(clippy::type_complexity)]
    pub(super) layer_norm_row: unsafe fn(&[f32], &[f32], &[f32], &mut [f32]),
    #[allow(clippy::type_complexity)]
    pub(super) rms_norm_row: unsafe fn(&[f32], &[f32], f32, &mut [f32]),
    pub(super) silu_gate: unsafe fn(&[f32], &[f32], &mut [f32]),
    pub(super) gelu_gate: unsafe fn(&[f32], &[f32], &mut [f32]),
    pub(super) gelu: unsafe fn(&mut [f32]),
    pub(super) sigmoid: unsafe fn(&mut [f32]),
    pub(super) tanh: unsafe fn(&mut [f32]),
    pub(super) softmax: unsafe fn(&mut [f32]),
    pub(super) log_sum_exp: unsafe fn(&[f32]) -> f32,
    pub(super) dot: unsafe fn(&[f32], &[f32]) -> f32,
    pub(super) dots: unsafe fn(&[f32], &[f32], &mut [f32]),
    pub(super) from_f16: unsafe fn(&[f16], &mut [f32]),
    pub(super) to_f16: unsafe fn(&[f32], &mut [f16]),
    pub(super) from_q8: unsafe fn(&[Q8Block], &mut [f32]),
    pub(super) to_q8: unsafe fn(&[f32], &mut [Q8Block]),
    pub(super) kv_to_bf16: unsafe fn(&[f32], &mut [bf16]),
    pub(super) to_bf16: unsafe fn(&[f32], &mut [bf16]),
}

/// Whether this machine has a feature.
#[cfg(target_arch = "x86_64")]
macro_rules! has_feature {
    ($feature:tt) => {
        std::arch::is_x86_feature_detected!($feature)
    };
}

/// Whether this machine has a feature.
#[cfg(target_arch = "aarch64")]
macro_rules! has_feature {
    ($feature:tt) => {
        std::arch::is_aarch64_feature_detected!($feature)
    };
}

/// Makes the attribute of a level: `$attribute! { fn … }` compiles the function for the features
/// given, and `$detected()` tells whether this machine has them all.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! level_features {
    ($d:tt $attribute:ident $detected:ident $($feature:tt)*) => {
        macro_rules! $attribute {
            ($d item:item) => { #[target_feature($(enable = $feature),*)] $d item };
        }
        fn $detected() -> bool {
            true $(&& $crate::kernels::table::has_feature!($feature))*
        }
    };
}

/// One wrapper: a portable function compiled for the features of a level.
macro_rules! compiled_for {
    ($attribute:ident, ($($arg:ident: $type:ty),*) $(-> $result:ty)?, $function:expr) => {{
        $attribute! {
            unsafe fn wrapper($($arg: $type),*) $(-> $result)? {
                // SAFETY: the caller passes on what the entry of the table asks for.
                #[allow(unused_unsafe)]
                unsafe { $function($($arg),*) }
            }
        }
        wrapper
    }};
}

/// The [`Table`] of the level `$level: Tiles`; `$features!` is the attribute of its functions.
macro_rules! level_table {
    ($level:ty, $features:ident) => {{
        use half::{bf16, f16};
        use std::ops::Range;
        use $crate::kernels::table::{Table, Tiles, compiled_for};
        use $crate::kernels::kv_elem::{self, Q8Block};
        use $crate::kernels::{attention, block_rows, matmul, packed, portable};
        type L = $level;
        Table {
            f32_rows: L::F32_ROWS,
            f32_columns: L::F32_COLUMNS,
            i8: L::I8,
            matmul_f32: compiled_for!($features,
                (job: &matmul::F32Job, rows: Range<usize>, panels: Range<usize>),
                matmul::block_f32::<L>),
            matmul_bf16: compiled_for!($features,
                (job: &matmul::Bf16Job, rows: Range<usize>, panels: Range<usize>),
                matmul::block_bf16::<L>),
            matmul_i8: compiled_for!($features,
                (job: &matmul::I8Job, rows: Range<usize>, panels: Range<usize>),
                matmul::block_i8::<L>),
            quantize_row: compiled_for!($features, (x: &[f32], out: &mut [u8]) -> f32,
                packed::quantize_row::<L>),
            matmul_blocks: compiled_for!($features,
                (job: &block_rows::BlocksJob, rows: Range<usize>, panels: Range<usize>),
                block_rows::block::<L>),
            quantize_blocks: compiled_for!($features, (x: &[f32], out: &mut [u8]),
                L::quantize_blocks),
            attention_f32: compiled_for!($features,
                (job: &attention::AttentionJob<f32>, task: usize), attention::task::<L, f32>),
            attention_f16: compiled_for!($features,
                (job: &attention::AttentionJob<f16>, task: usize), attention::task::<L, f16>),
            attention_q8: compiled_for!($features,
                (job: &attention::AttentionJob<Q8Block>, task: usize),
                attention::task::<L, Q8Block>),
            attention_bf16: compiled_for!($features,
                (job: &attention::AttentionJob<bf16>, task: usize), attention::task::<L, bf16>),
            bf16: L::BF16,
            layer_norm_row: compiled_for!($features,
                (x: &[f32], gamma: &[f32], beta: &[f32], out: &mut [f32]),
                portable::layer_norm_row::<L>),
            rms_norm_row: compiled_for!($features,
                (x: &[f32], gamma: &[f32], epsilon: f32, out: &mut [f32]),
                portable::rms_norm_row::<L>),
            silu_gate: compiled_for!($features,
                (gate: &[f32], up: &[f32], out: &mut [f32]), portable::silu_gate::<L>),
            gelu_gate: compiled_for!($features,
                (gate: &[f32], up: &[f32], out: &mut [f32]), portable::gelu_gate::<L>),
            gelu: compiled_for!($features, (x: &mut [f32]), portable::gelu::<L>),
            sigmoid: compiled_for!($features, (x: &mut [f32]), portable::sigmoid::<L>),
            tanh: compiled_for!($features, (x: &mut [f32]), portable::tanh::<L>),
            softmax: compiled_for!($features, (x: &mut [f32]), portable::softmax::<L>),
            log_sum_exp: compiled_for!($features, (x: &[f32]) -> f32, portable::log_sum_exp::<L>),
            dot: compiled_for!($features, (a: &[f32], b: &[f32]) -> f32, portable::dot::<L>),
            dots: compiled_for!($features, (q: &[f32], keys: &[f32], out: &mut [f32]), L::dots),
            from_f16: compiled_for!($features, (x: &[f16], out: &mut [f32]), L::from_f16),
            to_f16: compiled_for!($features, (x: &[f32], out: &mut [f16]), L::to_f16),
            from_q8: compiled_for!($features, (x: &[Q8Block], out: &mut [f32]), kv_elem::from_q8),
            to_q8: compiled_for!($features, (x: &[f32], out: &mut [Q8Block]), kv_elem::to_q8),
            kv_to_bf16: compiled_for!($features, (x: &[f32], out: &mut [bf16]),
                portable::kv_to_bf16),
            to_bf16: compiled_for!($features, (x: &[f32], out: &mut [bf16]), portable::to_bf16),
        }
    }};
}

pub(super) use {compiled_for, level_table};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use {has_feature, level_features};

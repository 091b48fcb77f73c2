//! AMX: matrix registers of 16 rows × 64 bytes. Weights and activations lie as for VNNI, and the
//! sums are the same integers. Everything in f32 is as with AVX-512.
//!
//! Rust has no stable intrinsics for it, hence assembly. Source: Intel 64 and IA-32 Software
//! Developer's Manual, volume 1, chapter 18.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use half::f16;

use super::avx512vnni_tiles::Avx512Vnni;
use super::{avx2_block_rows, avx2_blocks};
use crate::kernels::block_rows::TileBlocks;
use crate::kernels::packed::{I8Layout, RowFormat};
use crate::kernels::portable::Arith;
use crate::kernels::table::{BF16_COLUMNS, TileBf16, TileF32, TileI8, Tiles};

pub(super) struct Amx;

/// Columns of an int8 tile: two registers.
const COLUMNS: usize = 32;

/// With fewer rows than this in a block VNNI is as fast.
const MIN_ROWS: usize = 5;

/// Whether the CPU has AMX with 8-bit and bf16 products and the system lets this process use it.
pub(super) fn is_available() -> bool {
    const BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    // Newer compilers call it safe, the oldest that we build with does not.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 has the instruction.
    let (leaves, features) = unsafe { (__cpuid_count(0, 0).eax, __cpuid_count(7, 0).edx) };
    leaves >= 7 && features & BF16_TILE_INT8 == BF16_TILE_INT8 && is_permitted()
}

/// Asks Linux for the tile registers, whose state it keeps only for those who ask.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: this system call touches no memory of ours; older systems return an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The shape of the tile registers ("palette 1").
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All eight registers in full.
static FULL: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// # Safety
/// The CPU has AMX.
#[inline(always)]
unsafe fn configure() {
    // SAFETY: the caller's word; the configuration is valid.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const FULL, options(nostack, readonly)) };
}

/// Without it the system would go on saving the registers at every switch of threads.
///
/// # Safety
/// The CPU has AMX.
#[inline(always)]
unsafe fn release() {
    // SAFETY: the caller's word.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

impl Arith for Amx {
    #[inline(always)]
    fn madd(a: f32, b: f32, c: f32) -> f32 {
        Avx512Vnni::madd(a, b, c)
    }
}

/// 32 rows × 32 columns: sums in tmm0 to tmm3, rows in tmm4 and tmm5, columns in tmm6 and tmm7.
/// A step along k is 64 bytes of a row, so it is the same for all types. `$start` sets the sums.
macro_rules! tile_32 {
    ($multiply:literal, [$($start:literal)*], $arguments:expr) => {{
        let Tile32 { a, row_bytes, b, n_steps, acc } = $arguments;
        asm!(
            $($start,)*
            "2:",
            "tileloadd tmm4, [{a} + {row_bytes}]",
            "tileloadd tmm6, [{b} + {stride}]",
            "tileloadd tmm7, [{b} + {stride} + 64]",
            concat!($multiply, " tmm0, tmm4, tmm6"),
            "tileloadd tmm5, [{a_low} + {row_bytes}]",
            concat!($multiply, " tmm1, tmm4, tmm7"),
            concat!($multiply, " tmm2, tmm5, tmm6"),
            concat!($multiply, " tmm3, tmm5, tmm7"),
            "add {a}, 64",
            "add {a_low}, 64",
            "add {b}, 2048",
            "dec {n}",
            "jnz 2b",
            "tilestored [{acc} + {stride}], tmm0",
            "tilestored [{acc} + {stride} + 64], tmm1",
            "tilestored [{acc} + {stride} + 2048], tmm2",
            "tilestored [{acc} + {stride} + 2048 + 64], tmm3",
            a = inout(reg) a => _,
            a_low = inout(reg) a.wrapping_add(16 * row_bytes) => _,
            row_bytes = in(reg) row_bytes,
            b = inout(reg) b => _,
            // Both a group of a panel and a row of sums are 128 bytes.
            stride = in(reg) 4 * COLUMNS,
            n = inout(reg) n_steps => _,
            acc = in(reg) acc,
            options(nostack),
        );
    }};
}

/// The arguments of [`tile_32()`]: 32 rows of `n_steps` · 64 bytes, at least one step.
struct Tile32 {
    a: *const u8,
    row_bytes: usize,
    b: *const u8,
    n_steps: usize,
    acc: *mut u8,
}

impl Tiles for Amx {
    const F32_ROWS: usize = Avx512Vnni::F32_ROWS;
    const F32_COLUMNS: usize = Avx512Vnni::F32_COLUMNS;
    const I8: I8Layout = I8Layout {
        rows: 32,
        columns: COLUMNS,
        group: 4,
        format: RowFormat::U8,
    };

    #[inline(always)]
    unsafe fn tile_f32(tile: &TileF32) {
        // SAFETY: passed on; this level includes that one.
        unsafe { Avx512Vnni::tile_f32(tile) }
    }

    #[inline(always)]
    unsafe fn begin_i8(n_rows: usize) {
        if n_rows >= MIN_ROWS {
            // SAFETY: the caller vouches for the level.
            unsafe { configure() };
        }
    }

    #[inline(always)]
    unsafe fn end_i8(n_rows: usize) {
        if n_rows >= MIN_ROWS {
            // SAFETY: the caller vouches for the level.
            unsafe { release() };
        }
    }

    #[inline(always)]
    unsafe fn tile_blocks(tile: &TileBlocks) {
        // SAFETY: passed on; this level has the features of AVX2.
        unsafe { avx2_blocks::tile(tile) }
    }

    #[inline(always)]
    unsafe fn quantize_blocks(x: &[f32], out: &mut [u8]) {
        // SAFETY: passed on; this level has the features of AVX2.
        unsafe { avx2_block_rows::quantize_row(x, out) }
    }

    #[inline(always)]
    unsafe fn tile_i8(tile: &TileI8) {
        // SAFETY: passed on. A block of few rows has a tile of few rows; larger ones have
        // configured the registers.
        unsafe {
            match tile.m {
                0..MIN_ROWS => Avx512Vnni::tile_i8(tile),
                MIN_ROWS..=16 => tile_16(tile),
                17..=32 => tile_32(tile),
                m => unreachable!("a tile of {m} rows"),
            }
        }
    }

    const BF16: bool = true;

    #[inline(always)]
    unsafe fn begin_bf16() {
        // SAFETY: the caller vouches for the level.
        unsafe { configure() }
    }

    #[inline(always)]
    unsafe fn end_bf16() {
        // SAFETY: the caller vouches for the level.
        unsafe { release() }
    }

    #[inline(always)]
    unsafe fn tile_bf16(tile: &TileBf16) {
        for row in (0..tile.m).step_by(32) {
            // SAFETY: the caller's word: m is a multiple of 32; the registers belong to nobody
            // else in between.
            unsafe {
                tile_32!(
                    "tdpbf16ps",
                    ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"],
                    tile.rows_from(row)
                );
            }
        }
    }

    #[inline(always)]
    unsafe fn add_tile_bf16(tile: &TileBf16) {
        for row in (0..tile.m).step_by(32) {
            // SAFETY: as above; there are sums to start from.
            unsafe {
                tile_32!(
                    "tdpbf16ps",
                    ["tileloadd tmm0, [{acc} + {stride}]"
                     "tileloadd tmm1, [{acc} + {stride} + 64]"
                     "tileloadd tmm2, [{acc} + {stride} + 2048]"
                     "tileloadd tmm3, [{acc} + {stride} + 2048 + 64]"],
                    tile.rows_from(row)
                );
            }
        }
    }

    #[inline(always)]
    unsafe fn dequantize(acc: &[i32], excess: &[i32], scales: (&[f32], f32), out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { Avx512Vnni::dequantize(acc, excess, scales, out) }
    }

    #[inline(always)]
    unsafe fn dots(q: &[f32], keys: &[f32], out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { Avx512Vnni::dots(q, keys, out) }
    }

    #[inline(always)]
    unsafe fn weigh(p: &[f32], values: &[f32], sum: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { Avx512Vnni::weigh(p, values, sum) }
    }

    #[inline(always)]
    unsafe fn rescale(sum: &mut [f32], factors: &[f32], product: &[f32]) {
        // SAFETY: passed on.
        unsafe { Avx512Vnni::rescale(sum, factors, product) }
    }

    #[inline(always)]
    unsafe fn from_f16(x: &[f16], out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { Avx512Vnni::from_f16(x, out) }
    }

    #[inline(always)]
    unsafe fn to_f16(x: &[f32], out: &mut [f16]) {
        // SAFETY: passed on.
        unsafe { Avx512Vnni::to_f16(x, out) }
    }
}

/// # Safety
/// As for `Tiles::tile_i8`; 32 rows can be read, and k is a multiple of 64.
unsafe fn tile_32(tile: &TileI8) {
    let arguments = Tile32 {
        a: tile.a,
        row_bytes: tile.row_bytes,
        b: tile.b.cast(),
        n_steps: tile.k / 64,
        acc: tile.acc.cast(),
    };
    // SAFETY: the caller's word; the registers belong to nobody else in between.
    unsafe {
        tile_32!(
            "tdpbusd",
            ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"],
            arguments
        );
    }
}

impl TileBf16 {
    /// Rows `row..row + 32`.
    fn rows_from(&self, row: usize) -> Tile32 {
        Tile32 {
            a: self.a.wrapping_add(row * self.row_stride).cast(),
            row_bytes: 2 * self.row_stride,
            b: self.b.cast(),
            n_steps: self.k / 32,
            acc: self.acc.wrapping_add(row * BF16_COLUMNS).cast(),
        }
    }
}

/// 16 rows × 32 columns.
///
/// # Safety
/// As for `Tiles::tile_i8`; 16 rows can be read, and k is a multiple of 64.
unsafe fn tile_16(tile: &TileI8) {
    // SAFETY: the caller's word; the registers belong to nobody else in between.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm4, [{a} + {row_bytes}]",
            "tileloadd tmm6, [{b} + {stride}]",
            "tileloadd tmm7, [{b} + {stride} + 64]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "add {a}, 64",
            "add {b}, 2048",
            "dec {n}",
            "jnz 2b",
            "tilestored [{acc} + {stride}], tmm0",
            "tilestored [{acc} + {stride} + 64], tmm1",
            a = inout(reg) tile.a => _,
            row_bytes = in(reg) tile.row_bytes,
            b = inout(reg) tile.b => _,
            stride = in(reg) 4 * COLUMNS,
            n = inout(reg) tile.k / 64 => _,
            acc = in(reg) tile.acc,
            options(nostack),
        );
    }
}

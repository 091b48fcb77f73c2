//! AMX: matrix registers of 16 rows × 64 bytes. Weights and activations lie as for VNNI, and the
//! sums are the same integers. Everything in f32 is as with AVX-512.
//!
//! Rust has no stable intrinsics for it, hence assembly. Source: Intel 64 and IA-32 Software
//! Developer's Manual, volume 1, chapter 18.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use half::f16;

use super::avx512vnni_tiles::Avx512Vnni;
use crate::kernels::packed::{I8Layout, RowFormat};
use crate::kernels::portable::Arith;
use crate::kernels::table::{TileF32, TileI8, Tiles};

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

impl Arith for Amx {
    #[inline(always)]
    fn madd(a: f32, b: f32, c: f32) -> f32 {
        Avx512Vnni::madd(a, b, c)
    }
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
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const FULL, options(nostack, readonly)) };
        }
    }

    #[inline(always)]
    unsafe fn end_i8(n_rows: usize) {
        if n_rows >= MIN_ROWS {
            // SAFETY: the caller vouches for the level.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
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

/// 32 rows × 32 columns: sums in tmm0 to tmm3, rows in tmm4 and tmm5, columns in tmm6 and tmm7.
///
/// # Safety
/// As for `Tiles::tile_i8`; 32 rows can be read, and k is a multiple of 64.
unsafe fn tile_32(tile: &TileI8) {
    // SAFETY: the caller's word; the registers belong to nobody else in between.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{a} + {row_bytes}]",
            "tileloadd tmm6, [{b} + {stride}]",
            "tileloadd tmm7, [{b} + {stride} + 64]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{a_low} + {row_bytes}]",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "add {a}, 64",
            "add {a_low}, 64",
            "add {b}, 2048",
            "dec {n}",
            "jnz 2b",
            "tilestored [{acc} + {stride}], tmm0",
            "tilestored [{acc} + {stride} + 64], tmm1",
            "tilestored [{acc} + {stride} + 2048], tmm2",
            "tilestored [{acc} + {stride} + 2048 + 64], tmm3",
            a = inout(reg) tile.a => _,
            a_low = inout(reg) tile.a.wrapping_add(16 * tile.row_bytes) => _,
            row_bytes = in(reg) tile.row_bytes,
            b = inout(reg) tile.b => _,
            // Both a group of a panel and a row of sums are 128 bytes.
            stride = in(reg) 4 * COLUMNS,
            n = inout(reg) tile.k / 64 => _,
            acc = in(reg) tile.acc,
            options(nostack),
        );
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

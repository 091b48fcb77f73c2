//! 64-bit Arm levels: `neon` (every such CPU), `neon+dotprod` and `neon+i8mm`.
//!
//! They share the f32 tile and differ in the int8 tile, of which each lives in a file of its own
//! with a description of its panel. `sdot` and `smmla` are written as inline assembly, because
//! their intrinsics are not in stable Rust. A level's list of features is written once, here; it
//! serves both detection and compilation.

use half::f16;

use super::Level;
use super::packed::{I8Layout, RowFormat};
use super::portable::Arith;
use super::table::{Table, TileF32, TileI8, Tiles, level_features, level_table};

level_features! { $ neon has_neon "neon" }
level_features! { $ dotprod has_dotprod "neon" "dotprod" }
level_features! { $ i8mm has_i8mm "neon" "dotprod" "i8mm" }

mod dot;
mod fma;
mod half_floats;
mod mla;
mod mmla;
mod rows;

/// Columns of every tile, f32 or int8: four vectors of sums.
const COLUMNS: usize = 16;
/// Rows of every tile: with four vectors each, sixteen of the 32 registers hold sums.
const ROWS: usize = 4;

/// The int8 layout of a level whose tile takes `group` neighbours along n_in at once.
const fn i8_layout(group: usize) -> I8Layout {
    I8Layout {
        rows: ROWS,
        columns: COLUMNS,
        group,
        format: RowFormat::I8,
    }
}

/// Any 64-bit Arm CPU, such as the Cortex-A72 of a Raspberry Pi 4.
pub(super) struct Neon;
/// With `sdot`: the Cortex-A76 of a Raspberry Pi 5, Apple's M1.
pub(super) struct NeonDotprod;
/// With `smmla` too: Apple's M2, Neoverse V1.
pub(super) struct NeonI8mm;

static NEON: Table = level_table!(crate::kernels::neon::Neon, neon);
static DOTPROD: Table = level_table!(crate::kernels::neon::NeonDotprod, dotprod);
static I8MM: Table = level_table!(crate::kernels::neon::NeonI8mm, i8mm);

/// The kernels of a level if this machine can run them.
pub(super) fn table_of(level: Level) -> Option<&'static Table> {
    match level {
        Level::Neon if has_neon() => Some(&NEON),
        Level::NeonDotprod if has_dotprod() => Some(&DOTPROD),
        Level::NeonI8mm if has_i8mm() => Some(&I8MM),
        _ => None,
    }
}

/// One level: its group and its int8 tile.
macro_rules! neon_level {
    ($level:ty, $group:expr, $tile_i8:path) => {
        impl Arith for $level {
            #[inline(always)]
            fn madd(a: f32, b: f32, c: f32) -> f32 {
                a.mul_add(b, c)
            }
        }

        impl Tiles for $level {
            const F32_ROWS: usize = ROWS;
            const F32_COLUMNS: usize = COLUMNS;
            const I8: I8Layout = i8_layout($group);

            #[inline(always)]
            unsafe fn tile_f32(tile: &TileF32) {
                // SAFETY: the caller vouches for the level and the pointers.
                unsafe { fma::tile(tile) }
            }

            #[inline(always)]
            unsafe fn tile_i8(tile: &TileI8) {
                // SAFETY: the caller vouches for the level and the pointers.
                unsafe { $tile_i8(tile) }
            }

            #[inline(always)]
            unsafe fn dots(q: &[f32], keys: &[f32], out: &mut [f32]) {
                // SAFETY: the caller vouches for the level.
                unsafe { rows::dots(q, keys, out) }
            }

            #[inline(always)]
            unsafe fn weigh(p: &[f32], values: &[f32], sum: &mut [f32]) {
                // SAFETY: the caller vouches for the level.
                unsafe { rows::weigh(p, values, sum) }
            }

            #[inline(always)]
            unsafe fn from_f16(x: &[f16], out: &mut [f32]) {
                // SAFETY: the caller vouches for the level.
                unsafe { half_floats::from_f16(x, out) }
            }

            #[inline(always)]
            unsafe fn to_f16(x: &[f32], out: &mut [f16]) {
                // SAFETY: the caller vouches for the level.
                unsafe { half_floats::to_f16(x, out) }
            }
        }
    };
}

neon_level!(Neon, mla::GROUP, mla::tile);
neon_level!(NeonDotprod, dot::GROUP, dot::tile);
neon_level!(NeonI8mm, mmla::GROUP, mmla::tile);

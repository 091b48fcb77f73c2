//! The reference: the inner loops as they are meant, written for reading.

use half::f16;

use super::packed::{I8Layout, RowFormat};
use super::portable::Arith;
use super::table::{Table, TileF32, TileI8, Tiles, level_table};

/// Plain Rust.
pub(super) struct Scalar;

/// The attribute of a level without features.
macro_rules! scalar {
    ($item:item) => {
        $item
    };
}

pub(super) static TABLE: Table = level_table!(crate::kernels::scalar::Scalar, scalar);

impl Arith for Scalar {
    #[inline(always)]
    fn madd(a: f32, b: f32, c: f32) -> f32 {
        // Without an instruction for it, a fused multiply-add would be a function call.
        a * b + c
    }
}

impl Tiles for Scalar {
    const F32_ROWS: usize = 4;
    const F32_COLUMNS: usize = 16;
    const I8: I8Layout = I8Layout {
        rows: 4,
        columns: 16,
        group: 1,
        format: RowFormat::I8,
    };

    unsafe fn tile_f32(tile: &TileF32) {
        for i in 0..tile.m {
            let mut sums = [0.0; Self::F32_COLUMNS];
            for k in 0..tile.k {
                for (j, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's pointers are valid for m rows, k and the columns.
                    *sum += unsafe {
                        *tile.a.add(i * tile.row_stride + k * tile.k_stride)
                            * *tile.b.add(k * Self::F32_COLUMNS + j)
                    };
                }
            }
            // SAFETY: `acc` holds m rows of the columns.
            unsafe {
                tile.acc
                    .add(i * Self::F32_COLUMNS)
                    .cast::<[f32; 16]>()
                    .write(sums)
            };
        }
    }

    unsafe fn tile_i8(tile: &TileI8) {
        for i in 0..tile.m {
            let mut sums = [0_i32; Self::I8.columns];
            for k in 0..tile.k {
                for (j, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's pointers are valid for m rows, k and the columns.
                    *sum += unsafe {
                        i32::from(*tile.a.add(i * tile.row_bytes + k).cast::<i8>())
                            * i32::from(*tile.b.add(k * Self::I8.columns + j))
                    };
                }
            }
            // SAFETY: `acc` holds m rows of the columns.
            unsafe {
                tile.acc
                    .add(i * Self::I8.columns)
                    .cast::<[i32; 16]>()
                    .write(sums)
            };
        }
    }

    unsafe fn from_f16(x: &[f16], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x.to_f32();
        }
    }

    unsafe fn to_f16(x: &[f32], out: &mut [f16]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = f16::from_f32(*x);
        }
    }
}

//! Products over overlapping rows against the same product over copies of them.

use half::bf16;

use super::super::*;
use super::{assert_close, noise};

#[test]
fn overlapping_rows_equal_copies() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 2);
        for (n, n_in, row_stride, n_out) in [
            (1, 3, 1, 1),
            (5, 24, 8, 33),
            (33, 240, 80, 70),
            (70, 96, 64, 32),
        ] {
            let numbers = noise((n - 1) * row_stride + n_in, 1);
            let x: Vec<f32> = (numbers.iter())
                .map(|&x| bf16::from_f32(x).to_f32())
                .collect();
            let w: Vec<f32> = (noise(n_out * n_in, 2).iter())
                .map(|&w| bf16::from_f32(w).to_f32())
                .collect();
            let bias = noise(n_out, 3);
            let epilogue = Epilogue {
                bias: Some(&bias),
                ..Epilogue::default()
            };
            let expected: Vec<f64> = (0..n * n_out)
                .map(|i| {
                    let (row, column) = (i / n_out, i % n_out);
                    let x = &x[row * row_stride..][..n_in];
                    let products = x.iter().zip(&w[column * n_in..][..n_in]);
                    let sum: f64 = products.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
                    sum + f64::from(bias[column])
                })
                .collect();
            let what = format!("{cpu:?} {n} {n_in} {row_stride} {n_out}");
            let mut out = vec![f32::NAN; n * n_out];
            let packed = PackedF32::new(cpu, &w, n_out, n_in);
            matmul_f32_overlapping(&exec, (&x, row_stride), &packed, &epilogue, &mut out);
            assert_close(&what, &out, &expected, 1e-4);
            out.fill(f32::NAN);
            let packed = PackedBf16::new(&w, n_out, n_in);
            let mut rounded = Bf16Numbers::with_capacity(x.len(), 32 * row_stride + 32);
            rounded.convert(&exec, &x);
            matmul_bf16_overlapping(&exec, (&rounded, row_stride), &packed, &epilogue, &mut out);
            assert_close(&what, &out, &expected, 1e-4);
        }
    }
}

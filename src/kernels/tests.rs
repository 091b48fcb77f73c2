//! Every kernel at every level of this machine, at odd sizes, against sums written out in f64.
//! Outputs are filled with NaN first, so that anything left out shows.

#![allow(clippy::unwrap_used)]

mod attention;
mod blocks;
mod kv_q8;
mod overlapping;

use half::f16;

use super::*;

/// Reproducible numbers between -1 and 1.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let off = (f64::from(got) - expected).abs();
        assert!(
            off <= tolerance * (1.0 + expected.abs()),
            "{what} [{i}]: {got} not {expected}"
        );
    }
}

/// erf by its Maclaurin series times e^(-x²), which has no cancellation (Abramowitz & Stegun
/// 7.1.6).
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
        if term.abs() < 1e-17 * sum.abs() {
            break;
        }
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn gelu64(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// x · wᵀ with everything the epilogue may do, on top of `out`.
fn reference(
    x: &[f32],
    w: &[f32],
    (n_out, n_in): (usize, usize),
    epilogue: &Epilogue,
    out: &[f32],
) -> Vec<f64> {
    let mut result = Vec::new();
    for (i, x) in x.chunks_exact(n_in).enumerate() {
        for (j, w) in w.chunks_exact(n_in).enumerate() {
            let mut y: f64 = x
                .iter()
                .zip(w)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum();
            y += epilogue.bias.map_or(0.0, |bias| f64::from(bias[j]));
            if epilogue.activation == Activation::Gelu {
                y = gelu64(y);
            }
            if epilogue.store == Store::Add {
                y += f64::from(out[i * n_out + j]);
            }
            result.push(y);
        }
    }
    result
}

const ROWS: [usize; 12] = [1, 2, 3, 4, 5, 7, 11, 12, 13, 17, 33, 65];
const SHAPES: [(usize, usize); 10] = [
    (1, 1),
    (2, 3),
    (5, 17),
    (16, 64),
    (17, 65),
    (32, 4),
    (33, 33),
    (64, 130),
    (65, 7),
    (100, 192),
];

/// All epilogues in turn.
fn epilogue(i: usize, bias: &[f32]) -> Epilogue<'_> {
    Epilogue {
        bias: (i.is_multiple_of(2)).then_some(bias),
        activation: if i.is_multiple_of(3) {
            Activation::Gelu
        } else {
            Activation::None
        },
        store: if i % 5 < 2 {
            Store::Add
        } else {
            Store::Overwrite
        },
    }
}

/// What an output holds before a product: NaN, unless it is added to.
fn before(epilogue: &Epilogue, n: usize) -> Vec<f32> {
    match epilogue.store {
        Store::Add => noise(n, 9),
        Store::Overwrite => vec![f32::NAN; n],
    }
}

#[test]
fn matmul_f32_equals_the_sum() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let mut turn = 0;
        for (n_out, n_in) in SHAPES {
            let w = noise(n_out * n_in, 1);
            let packed = PackedF32::new(cpu, &w, n_out, n_in);
            let bias = noise(n_out, 2);
            for n in ROWS {
                turn += 1;
                let x = noise(n * n_in, 3);
                let epilogue = epilogue(turn, &bias);
                let mut out = before(&epilogue, n * n_out);
                let expected = reference(&x, &w, (n_out, n_in), &epilogue, &out);
                matmul_f32(&exec, &x, &packed, &epilogue, &mut out);
                let what = format!("{cpu:?} {n}x{n_in}x{n_out} {epilogue:?}");
                assert_close(&what, &out, &expected, 1e-5);
            }
        }
    }
}

/// What int8 rows stand for: f32 rows rounded to 255 steps.
fn rounded(x: &[f32], n_in: usize) -> Vec<f32> {
    x.chunks_exact(n_in)
        .flat_map(|row| {
            let largest = row.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let scale = largest / 127.0;
            row.iter().map(move |v| {
                if largest == 0.0 {
                    0.0
                } else {
                    (v * (127.0 / largest)).round_ties_even() * scale
                }
            })
        })
        .collect()
}

#[test]
fn matmul_i8_equals_the_sum_over_rounded_numbers() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let mut rows = QuantizedRows::with_capacity(65, 192);
        let mut turn = 0;
        for (n_out, n_in) in SHAPES {
            let w = noise(n_out * n_in, 1);
            let packed = PackedI8::new(cpu, &w, n_out, n_in);
            let bias = noise(n_out, 2);
            for n in ROWS {
                turn += 1;
                let x = noise(n * n_in, 3);
                let epilogue = epilogue(turn, &bias);
                let mut out = before(&epilogue, n * n_out);
                let (x_rounded, w_rounded) = (rounded(&x, n_in), rounded(&w, n_in));
                let expected = reference(&x_rounded, &w_rounded, (n_out, n_in), &epilogue, &out);
                rows.quantize(&exec, &x, n_in);
                matmul_i8(&exec, &rows, &packed, &epilogue, &mut out);
                let what = format!("{cpu:?} {n}x{n_in}x{n_out} {epilogue:?}");
                assert_close(&what, &out, &expected, 1e-5);
            }
        }
    }
}

#[test]
fn int8_sums_are_exact_at_the_extremes() {
    // Every product is ±127 · 127: wherever 16 bits would saturate, this shows.
    let (n_out, n_in) = (37, 256);
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        for sign in [1, -1] {
            let q = vec![127 * sign; n_out * n_in];
            let packed = PackedI8::from_i8(cpu, &q, &vec![1.0; n_out], n_out, n_in);
            for x in [127.0, -127.0] {
                let mut rows = QuantizedRows::with_capacity(13, n_in);
                rows.quantize(&exec, &vec![x; 13 * n_in], n_in);
                let mut out = vec![f32::NAN; 13 * n_out];
                matmul_i8(&exec, &rows, &packed, &Epilogue::default(), &mut out);
                let expected = x * 127.0 * f32::from(sign) * n_in as f32;
                assert!(
                    out.iter().all(|&y| y == expected),
                    "{cpu:?} {} {expected}",
                    out[0]
                );
            }
        }
        // -128 is a valid stored weight.
        let packed = PackedI8::from_i8(
            cpu,
            &vec![-128; n_out * n_in],
            &vec![1.0; n_out],
            n_out,
            n_in,
        );
        let mut rows = QuantizedRows::with_capacity(1, n_in);
        rows.quantize(&exec, &vec![-1.0; n_in], n_in);
        let mut out = vec![f32::NAN; n_out];
        matmul_i8(&exec, &rows, &packed, &Epilogue::default(), &mut out);
        assert!(
            out.iter().all(|&y| (y - 128.0 * n_in as f32).abs() < 0.1),
            "{cpu:?} {}",
            out[0]
        );
    }
}

#[test]
fn all_levels_agree_on_int8() {
    let (n, n_out, n_in) = (14, 70, 200);
    let (x, w) = (noise(n * n_in, 4), noise(n_out * n_in, 5));
    let mut first: Option<Vec<f32>> = None;
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let packed = PackedI8::new(cpu, &w, n_out, n_in);
        let mut rows = QuantizedRows::with_capacity(n, n_in);
        rows.quantize(&exec, &x, n_in);
        let mut out = vec![f32::NAN; n * n_out];
        matmul_i8(&exec, &rows, &packed, &Epilogue::default(), &mut out);
        match &first {
            Some(first) => assert_eq!(&out, first, "{cpu:?}"),
            None => first = Some(out),
        }
    }
}

#[test]
fn some_outputs_equal_a_cut_of_all() {
    let (n, n_out, n_in) = (5, 130, 70);
    let (x, w, bias) = (noise(n * n_in, 1), noise(n_out * n_in, 2), noise(n_out, 3));
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let f32s = PackedF32::new(cpu, &w, n_out, n_in);
        let i8s = PackedI8::new(cpu, &w, n_out, n_in);
        let mut rows = QuantizedRows::with_capacity(n, n_in);
        rows.quantize(&exec, &x, n_in);
        let epilogue = Epilogue {
            bias: Some(&bias),
            ..Epilogue::default()
        };
        let mut all = [vec![f32::NAN; n * n_out], vec![f32::NAN; n * n_out]];
        matmul_f32(&exec, &x, &f32s, &epilogue, &mut all[0]);
        matmul_i8(&exec, &rows, &i8s, &epilogue, &mut all[1]);
        for cut in [0..1, 3..40, 31..33, 64..130, 129..130, 0..130, 7..7] {
            let epilogue = Epilogue {
                bias: Some(&bias[cut.clone()]),
                ..Epilogue::default()
            };
            let mut some = [vec![f32::NAN; n * cut.len()], vec![f32::NAN; n * cut.len()]];
            matmul_f32_rows(&exec, &x, &f32s, cut.clone(), &epilogue, &mut some[0]);
            matmul_i8_rows(&exec, &rows, &i8s, cut.clone(), &epilogue, &mut some[1]);
            for (some, all) in some.iter().zip(&all) {
                for i in 0..n {
                    let expected = &all[i * n_out..][cut.clone()];
                    assert_eq!(
                        &some[i * cut.len()..][..cut.len()],
                        expected,
                        "{cpu:?} {cut:?}"
                    );
                }
            }
        }
    }
}

/// Everything below is the same to the last bit for any number of threads and any batch.
fn all_products(exec: &Exec, x: &[f32], (n_out, n_in): (usize, usize)) -> Vec<Vec<f32>> {
    let (w, bias) = (noise(n_out * n_in, 2), noise(n_out, 3));
    let n = x.len() / n_in;
    let epilogue = Epilogue {
        bias: Some(&bias),
        activation: Activation::Gelu,
        ..Epilogue::default()
    };
    let mut out = [vec![f32::NAN; n * n_out], vec![f32::NAN; n * n_out]];
    let mut rows = QuantizedRows::with_capacity(n, n_in);
    rows.quantize(exec, x, n_in);
    let f32s = PackedF32::new(exec.cpu(), &w, n_out, n_in);
    let i8s = PackedI8::new(exec.cpu(), &w, n_out, n_in);
    matmul_f32(exec, x, &f32s, &epilogue, &mut out[0]);
    matmul_i8(exec, &rows, &i8s, &epilogue, &mut out[1]);
    let mut normed = vec![f32::NAN; x.len()];
    layer_norm(exec, x, n_in, &w[..n_in], &w[n_in..2 * n_in], &mut normed);
    let mut attended = vec![f32::NAN; n * 64];
    let kv = noise(2 * 300 * 32, 6);
    let parts = [KvPart {
        k: &kv,
        v: &kv,
        capacity: 300,
        range: 1..298,
    }];
    let q = &noise(n * 64, 7);
    let mut a = Attention {
        q,
        n_q: n,
        n_head: 2,
        n_kv_head: 2,
        d_head: 32,
        scale: 0.3,
        parts: &parts,
        mask: Mask::None,
    };
    attention(exec, &a, &mut attended);
    let mut causal = vec![f32::NAN; n * 64];
    a.mask = Mask::Causal { n_past: 10 };
    attention(exec, &a, &mut causal);
    let [f32s, i8s] = out;
    vec![f32s, i8s, normed, attended, causal]
}

#[test]
fn threads_do_not_change_a_bit() {
    let shape = (600, 512);
    let x = noise(131 * shape.1, 1);
    for cpu in Cpu::available() {
        let serial = all_products(&Exec::new(cpu, 1), &x, shape);
        assert!(serial.iter().flatten().all(|v| v.is_finite()));
        for n_threads in [2, 3] {
            let exec = Exec::new(cpu, n_threads);
            assert!(
                serial == all_products(&exec, &x, shape),
                "{cpu:?} {n_threads}"
            );
            assert!(
                serial == exec.run(|| all_products(&exec, &x, shape)),
                "{cpu:?} inside"
            );
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let (n_out, n_in) = (70, 100);
    let x = noise(29 * n_in, 1);
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let all = all_products(&exec, &x, (n_out, n_in));
        for n in [1, 2, 3, 5, 8, 13, 28] {
            let some = all_products(&exec, &x[..n * n_in], (n_out, n_in));
            for (kernel, (some, all)) in some.iter().zip(&all).enumerate() {
                assert!(
                    some[..] == all[..some.len()],
                    "{cpu:?} kernel {kernel} n {n}"
                );
            }
        }
    }
}

/// Lengths around every vector width.
const LENGTHS: [usize; 12] = [0, 1, 2, 3, 7, 15, 16, 17, 31, 64, 65, 1000];

#[test]
fn elementwise_functions_equal_their_definition() {
    for cpu in Cpu::available() {
        for n in LENGTHS {
            let x: Vec<f32> = noise(n, 1).iter().map(|v| v * 9.0).collect();
            let check = |what: &str, f: fn(Cpu, &mut [f32]), g: fn(f64) -> f64| {
                let mut y = x.clone();
                f(cpu, &mut y);
                let expected: Vec<f64> = x.iter().map(|&v| g(f64::from(v))).collect();
                assert_close(&format!("{cpu:?} {what} {n}"), &y, &expected, 1e-6);
            };
            check("gelu", gelu, gelu64);
            check("sigmoid", sigmoid, |v| 1.0 / (1.0 + (-v).exp()));
            check("tanh", tanh, f64::tanh);
            let total: f64 = x.iter().map(|&v| f64::from(v).exp()).sum();
            let mut y = x.clone();
            softmax(cpu, &mut y);
            let expected: Vec<f64> = x.iter().map(|&v| f64::from(v).exp() / total).collect();
            assert_close(&format!("{cpu:?} softmax {n}"), &y, &expected, 1e-6);
            if n == 0 {
                assert_eq!(log_sum_exp(cpu, &x), f32::NEG_INFINITY);
            } else {
                assert_close("log_sum_exp", &[log_sum_exp(cpu, &x)], &[total.ln()], 1e-6);
            }
            let b = noise(n, 2);
            let dot = x
                .iter()
                .zip(&b)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum();
            assert_close("dot", &[dot_f32(cpu, &x, &b)], &[dot], 1e-5);
        }
    }
}

#[test]
fn gelu_is_exact_to_a_millionth_everywhere() {
    for cpu in Cpu::available() {
        let x: Vec<f32> = (-120_000..120_000).map(|i| i as f32 / 10_000.0).collect();
        let mut y = x.clone();
        gelu(cpu, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let off = (f64::from(y) - gelu64(f64::from(x))).abs();
            assert!(off < 1e-6, "{cpu:?} gelu({x}) = {y}, off by {off}");
        }
    }
}

#[test]
fn layer_norm_equals_its_definition() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        for n_state in [1, 2, 3, 15, 16, 17, 33, 64, 65, 384] {
            let n = 3;
            let x: Vec<f32> = noise(n * n_state, 1)
                .iter()
                .map(|v| v * 5.0 + 3.0)
                .collect();
            let (gamma, beta) = (noise(n_state, 2), noise(n_state, 3));
            let mut out = vec![f32::NAN; x.len()];
            layer_norm(&exec, &x, n_state, &gamma, &beta, &mut out);
            let mut expected = Vec::new();
            for row in x.chunks_exact(n_state) {
                let count = n_state as f64;
                let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
                let variance = row
                    .iter()
                    .map(|&v| (f64::from(v) - mean).powi(2))
                    .sum::<f64>()
                    / count;
                for (j, &v) in row.iter().enumerate() {
                    let normed = (f64::from(v) - mean) / (variance + 1e-5).sqrt();
                    expected.push(normed * f64::from(gamma[j]) + f64::from(beta[j]));
                }
            }
            assert_close(&format!("{cpu:?} {n_state}"), &out, &expected, 2e-5);
        }
    }
}

#[test]
fn rms_norm_equals_its_definition() {
    for cpu in Cpu::available() {
        for n in [1, 2, 15, 16, 17, 65, 576] {
            let x: Vec<f32> = noise(3 * n, 1).iter().map(|v| v * 5.0 + 1.0).collect();
            let (gamma, epsilon) = (noise(n, 2), 1e-5);
            let mut out = vec![f32::NAN; x.len()];
            rms_norm(&Exec::new(cpu, 1), &x, &gamma, epsilon, &mut out);
            let mut expected = Vec::new();
            for row in x.chunks_exact(n) {
                let squares = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
                let root = (squares / n as f64 + f64::from(epsilon)).sqrt();
                let each = row.iter().zip(&gamma);
                expected.extend(each.map(|(&v, &g)| f64::from(v) / root * f64::from(g)));
            }
            assert_close(&format!("{cpu:?} {n}"), &out, &expected, 1e-6);
        }
        // Rows over threads are the same rows.
        let n = 1_000;
        let (x, gamma) = (noise(300 * n, 3), noise(n, 4));
        let of_threads = [1, 3].map(|n_threads| {
            let mut out = vec![f32::NAN; x.len()];
            rms_norm(&Exec::new(cpu, n_threads), &x, &gamma, 1e-5, &mut out);
            out
        });
        assert_eq!(of_threads[0], of_threads[1], "{cpu:?}");
    }
}

#[test]
fn gates_equal_their_definitions() {
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_8 * (x + 0.044_715 * x * x * x)).tanh());
    for cpu in Cpu::available() {
        for (n_threads, n, n_rows) in [(1, 1, 1), (1, 17, 3), (2, 1_536, 64)] {
            let exec = Exec::new(cpu, n_threads);
            let x: Vec<f32> = noise(2 * n * n_rows, 4).iter().map(|v| v * 12.0).collect();
            for gate in [Gate::Silu, Gate::Gelu] {
                let mut out = vec![f32::NAN; n * n_rows];
                gated(&exec, gate, &x, n, &mut out);
                let of = |x: f64| if gate == Gate::Silu { silu(x) } else { gelu(x) };
                let rows = x.chunks_exact(2 * n).flat_map(|row| {
                    let (gates, up) = row.split_at(n);
                    gates
                        .iter()
                        .zip(up)
                        .map(|(&g, &u)| of(g.into()) * f64::from(u))
                });
                let expected: Vec<f64> = rows.collect();
                assert_close(&format!("{cpu:?} {gate:?}"), &out, &expected, 2e-6);
            }
        }
    }
}

#[test]
fn every_half_goes_both_ways() {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for cpu in Cpu::available() {
        let mut wide = vec![f32::NAN; all.len()];
        from_f16(cpu, &all, &mut wide);
        let mut back = vec![f16::NAN; all.len()];
        to_f16(cpu, &wide, &mut back);
        for (&before, (&wide, &after)) in all.iter().zip(wide.iter().zip(&back)) {
            assert!(wide == before.to_f32() || before.is_nan() && wide.is_nan());
            assert!(before.to_bits() == after.to_bits() || before.is_nan() && after.is_nan());
        }
        // Rounding between halves, and the tails of odd lengths.
        for n in LENGTHS {
            let x = noise(n, 5);
            let mut halves = vec![f16::NAN; n];
            to_f16(cpu, &x, &mut halves);
            assert!(x.iter().zip(&halves).all(|(x, h)| f16::from_f32(*x) == *h));
        }
    }
}

#[test]
fn strange_numbers_do_no_harm() {
    let (n, n_out, n_in) = (13, 40, 70);
    let w = noise(n_out * n_in, 1);
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let f32s = PackedF32::new(cpu, &w, n_out, n_in);
        let i8s = PackedI8::new(cpu, &w, n_out, n_in);
        let mut rows = QuantizedRows::with_capacity(n, n_in);
        let mut x = noise(n * n_in, 2);
        x[0] = f32::NAN;
        x[n_in] = f32::INFINITY;
        x[2 * n_in] = f32::NEG_INFINITY;
        x[3 * n_in] = f32::MAX;
        x[4 * n_in..5 * n_in].fill(0.0);
        x[5 * n_in..6 * n_in].fill(f32::MIN_POSITIVE / 8.0);
        let mut out = vec![7.0; n * n_out];
        rows.quantize(&exec, &x, n_in);
        matmul_i8(&exec, &rows, &i8s, &Epilogue::default(), &mut out);
        let row = |i: usize| i * n_out..(i + 1) * n_out;
        assert!(
            out[..3 * n_out].iter().all(|v| v.is_nan()),
            "{cpu:?}: wrong rows look right"
        );
        assert!(out[row(4)].iter().chain(&out[row(5)]).all(|&v| v == 0.0));
        assert!(
            out[6 * n_out..].iter().all(|v| v.is_finite()),
            "{cpu:?}: others are harmed"
        );
        matmul_f32(&exec, &x, &f32s, &Epilogue::default(), &mut out);
        assert!(out[4 * n_out..].iter().all(|v| v.is_finite()));
        gelu(cpu, &mut x);
        softmax(cpu, &mut x);
        let _ = log_sum_exp(cpu, &x);
        let zeros = PackedI8::new(cpu, &vec![0.0; n_out * n_in], n_out, n_in);
        matmul_i8(&exec, &rows, &zeros, &Epilogue::default(), &mut out);
        assert!(out[6 * n_out..].iter().all(|&v| v == 0.0));
        let mut masked = vec![f32::NEG_INFINITY; 20];
        softmax(cpu, &mut masked);
        assert!(masked.iter().all(|&v| v == 0.0));
    }
}

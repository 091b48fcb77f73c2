//! Arithmetic in plain Rust that the compiler vectorises for each level.
//!
//! Every function is generic over [`Arith`] (whether multiply and add are fused) and inlined into
//! a wrapper compiled for the level's instructions. Sums run over a fixed number of lanes, so the
//! order of additions is the same at every level. Nothing here branches on a value.

use half::bf16;

use super::table::{BF16_COLUMNS, TileBf16};

/// Lanes of a portable sum.
const LANES: usize = 16;

/// The multiply-add of a level.
pub(super) trait Arith {
    /// `a * b + c`, rounded once or twice.
    fn madd(a: f32, b: f32, c: f32) -> f32;
}

/// `c[0] + c[1] x + c[2] x² + …` by Horner's rule.
#[inline(always)]
fn polynomial<A: Arith, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = c[N - 1];
    for i in (0..N - 1).rev() {
        sum = A::madd(sum, x, c[i]);
    }
    sum
}

/// Adding and subtracting this rounds to an integer, which then is in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// 2^x for x from -126 to 127, relative error below 2e-7. NaN stays NaN.
///
/// The polynomial for 2^t on [-1/2, 1/2] is a minimax fit of the relative error (1e-7) that is
/// exact in value and slope at 0.
#[inline(always)]
fn exp2_inside<A: Arith>(x: f32) -> f32 {
    const C: [f32; 6] = [
        1.0,
        std::f32::consts::LN_2,
        0.240_222_83,
        0.055_505_585,
        0.009_669_692,
        0.001_330_060_9,
    ];
    let shifted = x + ROUND;
    let t = x - (shifted - ROUND);
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    polynomial::<A, 6>(t, C) * scale
}

/// 2^x for x up to 127; 2^-126 at least.
#[inline(always)]
pub(super) fn exp2_floored<A: Arith>(x: f32) -> f32 {
    exp2_inside::<A>(if x < -126.0 { -126.0 } else { x })
}

/// 2^x for x up to 127, relative error below 2e-7; 0 below -126. NaN stays NaN.
#[inline(always)]
pub(super) fn exp2<A: Arith>(x: f32) -> f32 {
    let y = exp2_inside::<A>(if x < -126.0 { -126.0 } else { x });
    if x < -126.0 { 0.0 } else { y }
}

/// e^x; 0 below -87.3, clamped above 88, relative error below 1e-6.
#[inline(always)]
pub(super) fn exp<A: Arith>(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const C: [f32; 7] = [
        1.0,
        1.0,
        0.499_999_94,
        0.166_665_21,
        0.041_668_39,
        0.008_368_71,
        0.001_381_461_5,
    ];
    let x_in = if x < -87.3 { -87.3 } else { x };
    let x_in = if x_in > 88.0 { 88.0 } else { x_in };
    let shifted = A::madd(x_in, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let t = A::madd(n, -LN2_LOW, A::madd(n, -LN2_HIGH, x_in));
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let y = polynomial::<A, 7>(t, C) * scale;
    if x < -87.3 { 0.0 } else { y }
}

/// The exact GELU x·Φ(x) = max(x, 0) - |x|·Φ(-|x|), absolute error below 6e-7.
///
/// log2 Φ(-a) is a polynomial of degree 6 on 0 ≤ a ≤ 6.5, fitted so that the largest error of
/// a·Φ(-a) is least (5e-8); beyond, the product is below the last bit.
#[inline(always)]
pub(super) fn gelu_one<A: Arith>(x: f32) -> f32 {
    const C: [f32; 7] = [
        -0.999_993_1,
        -1.151_201_7,
        -0.458_770_96,
        -0.053_412_106,
        0.008_080_717,
        -0.000_769_219_9,
        3.309_283_4e-5,
    ];
    let a = x.abs();
    let a = if a > 6.5 { 6.5 } else { a };
    let tail = exp2_inside::<A>(polynomial::<A, 7>(a, C));
    let positive = if x < 0.0 { 0.0 } else { x };
    A::madd(-a, tail, positive)
}

/// GELU in place.
#[inline(always)]
pub(super) fn gelu<A: Arith>(x: &mut [f32]) {
    for v in x {
        *v = gelu_one::<A>(*v);
    }
}

/// The logistic function in place, absolute error below 1e-6.
#[inline(always)]
pub(super) fn sigmoid<A: Arith>(x: &mut [f32]) {
    for v in x {
        *v = 1.0 / (1.0 + exp::<A>(-*v));
    }
}

/// The hyperbolic tangent in place, absolute error below 1e-6.
#[inline(always)]
pub(super) fn tanh<A: Arith>(x: &mut [f32]) {
    for v in x {
        *v = 1.0 - 2.0 / (1.0 + exp::<A>(2.0 * *v));
    }
}

/// Adds up the lanes, pairwise.
#[inline(always)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Adds up `f(x)`.
#[inline(always)]
fn sum_of(x: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = f(chunk[i], lanes[i]);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane = f(v, *lane);
    }
    sum_lanes(lanes)
}

/// The dot product of two slices of equal length.
#[inline(always)]
pub(super) fn dot<A: Arith>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] = A::madd(a[i], b[i], lanes[i]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane = A::madd(a, b, *lane);
    }
    sum_lanes(lanes)
}

/// `(acc[j] - excess[j]) · scales[j] · row_scale`.
#[inline(always)]
pub(super) fn dequantize(
    acc: &[i32],
    excess: &[i32],
    (scales, row_scale): (&[f32], f32),
    out: &mut [f32],
) {
    let sums = acc.iter().zip(excess).zip(scales);
    for (out, ((&acc, &excess), &scale)) in out.iter_mut().zip(sums) {
        *out = acc.wrapping_sub(excess) as f32 * (scale * row_scale);
    }
}

/// The dot products of `q` with each of keys `[out.len()][q.len()]`.
#[inline(always)]
pub(super) fn dots<A: Arith>(q: &[f32], keys: &[f32], out: &mut [f32]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(q.len())) {
        *out = dot::<A>(q, key);
    }
}

/// `sum += Σ_j p[j] · values[j]`, with values `[p.len()][sum.len()]`.
#[inline(always)]
pub(super) fn weigh<A: Arith>(p: &[f32], values: &[f32], sum: &mut [f32]) {
    for (&p, value) in p.iter().zip(values.chunks_exact(sum.len())) {
        for (sum, &value) in sum.iter_mut().zip(value) {
            *sum = A::madd(p, value, *sum);
        }
    }
}

/// `sum = sum · factors + product`, slices of equal length.
#[inline(always)]
pub(super) fn rescale<A: Arith>(sum: &mut [f32], factors: &[f32], product: &[f32]) {
    for (sum, (&factor, &product)) in sum.iter_mut().zip(factors.iter().zip(product)) {
        *sum = A::madd(*sum, factor, product);
    }
}

/// Two numbers rounded to bf16 (halves away from zero), the first in the low half of the word.
#[inline(always)]
pub(super) fn bf16_pair(low: f32, high: f32) -> u32 {
    let rounded = |x: f32| x.to_bits().wrapping_add(0x8000);
    rounded(low) >> 16 | (rounded(high) & 0xffff_0000)
}

/// Converts, rounding to nearest even; slices of equal length.
#[inline(always)]
pub(super) fn to_bf16(x: &[f32], out: &mut [bf16]) {
    for (out, x) in out.iter_mut().zip(x) {
        let bits = x.to_bits();
        let even = (bits >> 16) & 1;
        *out = bf16::from_bits((bits.wrapping_add(0x7fff + even) >> 16) as u16);
    }
}

/// Converts, rounding as [`bf16_pair`] does: keys and values as queries and probabilities.
#[inline(always)]
pub(super) fn kv_to_bf16(x: &[f32], out: &mut [bf16]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = bf16::from_bits((x.to_bits().wrapping_add(0x8000) >> 16) as u16);
    }
}

/// The reference of `Tiles::add_tile_bf16`.
///
/// # Safety
/// All pointers of `tile` are valid for its sizes.
#[inline(always)]
pub(super) unsafe fn add_tile_bf16<A: Arith>(tile: &TileBf16) {
    for i in 0..tile.m {
        // SAFETY: `acc` holds m rows, `a` m rows of k, `b` k / 2 rows of pairs.
        let (sums, row, pairs) = unsafe {
            let sums = &mut *tile.acc.add(i * BF16_COLUMNS).cast::<[f32; BF16_COLUMNS]>();
            let row = std::slice::from_raw_parts(tile.a.add(i * tile.row_stride), tile.k);
            let pairs =
                std::slice::from_raw_parts(tile.b.cast::<[u32; BF16_COLUMNS]>(), tile.k / 2);
            (sums, row, pairs)
        };
        for (&[low, high], pairs) in row.as_chunks::<2>().0.iter().zip(pairs) {
            let (low, high) = (low.to_f32(), high.to_f32());
            for (sum, pair) in sums.iter_mut().zip(pairs) {
                *sum = A::madd(low, f32::from_bits(pair << 16), *sum);
                *sum = A::madd(high, f32::from_bits(pair & 0xffff_0000), *sum);
            }
        }
    }
}

/// The largest element; `f32::MIN` if there is none above it, and for NaN.
#[inline(always)]
pub(super) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::MIN; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] {
                chunk[i]
            } else {
                lanes[i]
            };
        }
    }
    let mut largest = f32::MIN;
    for &v in rest.iter().chain(&lanes) {
        largest = if v > largest { v } else { largest };
    }
    largest
}

/// Softmax in place. Elements of -∞ become 0; if all are, all become 0.
#[inline(always)]
pub(super) fn softmax<A: Arith>(x: &mut [f32]) {
    let largest = max(x);
    for v in x.iter_mut() {
        *v = exp::<A>(*v - largest);
    }
    let sum = sum_of(x, |v, sum| v + sum);
    let inverse = if sum == 0.0 { 0.0 } else { 1.0 / sum };
    for v in x {
        *v *= inverse;
    }
}

/// log Σ e^x; -∞ for nothing or nothing above -∞.
#[inline(always)]
pub(super) fn log_sum_exp<A: Arith>(x: &[f32]) -> f32 {
    let largest = max(x);
    let sum = sum_of(x, |v, sum| exp::<A>(v - largest) + sum);
    largest + sum.ln()
}

/// One row of layer normalisation (Ba et al. 2016): (x - mean) / sqrt(variance + 1e-5) · gamma +
/// beta.
#[inline(always)]
pub(super) fn layer_norm_row<A: Arith>(x: &[f32], gamma: &[f32], beta: &[f32], out: &mut [f32]) {
    const EPSILON: f32 = 1e-5;
    let n = x.len() as f32;
    let mean = sum_of(x, |v, sum| v + sum) / n;
    let variance = sum_of(x, |v, sum| A::madd(v - mean, v - mean, sum)) / n;
    let inverse = 1.0 / (variance + EPSILON).sqrt();
    for (((out, &x), &gamma), &beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
        *out = A::madd((x - mean) * inverse, gamma, beta);
    }
}

/// One row divided by its root mean square and scaled (Zhang & Sennrich 2019):
/// `x / sqrt(mean(x²) + epsilon) · gamma`.
#[inline(always)]
pub(super) fn rms_norm_row<A: Arith>(x: &[f32], gamma: &[f32], epsilon: f32, out: &mut [f32]) {
    let mean = sum_of(x, |v, sum| A::madd(v, v, sum)) / x.len() as f32;
    let inverse = 1.0 / (mean + epsilon).sqrt();
    for ((out, &x), &gamma) in out.iter_mut().zip(x).zip(gamma) {
        *out = x * inverse * gamma;
    }
}

/// `out = silu(gate) · up` with silu(x) = x / (1 + e^-x) (Shazeer 2020), slices of equal length.
#[inline(always)]
pub(super) fn silu_gate<A: Arith>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp::<A>(-gate)) * up;
    }
}

/// `out = gelu(gate) · up` with GELU's approximation by a hyperbolic tangent (Hendrycks & Gimpel 2016),
/// which models are trained with, slices of equal length.
#[inline(always)]
pub(super) fn gelu_gate<A: Arith>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    const ROOT: f32 = 0.797_884_6;
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        let inner = ROOT * gate * A::madd(0.044_715 * gate, gate, 1.0);
        *out = gate / (1.0 + exp::<A>(-2.0 * inner)) * up;
    }
}

//! Writing the K-quants Q4_K, Q5_K and Q6_K: scales by the searches of ggml's reference
//! (`make_qkx2_quants`, `make_qx_quants`), though not to the bit its bytes.

use half::f16;

use super::blocks32::put_half;
use super::kquants::{BLOCK_LEN, PACKED_SCALES};

/// Numbers of a group with a scale and a minimum.
const GROUP: usize = 32;

/// Numbers of a group of Q6_K.
const SMALL_GROUP: usize = 16;

/// The greatest scale or minimum in six bits.
const MAX_SIX_BITS: f32 = 63.0;

pub(super) fn write_q4k(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let codes = with_minimums(x, 15, out);
        put_low_bits(&codes, out);
    }
}

pub(super) fn write_q5k(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let codes = with_minimums(x, 31, out);
        let fifth = |l: usize, g: usize| (codes[g * GROUP + l] >> 4 & 1) << g;
        out.extend((0..GROUP).map(|l| (0..BLOCK_LEN / GROUP).map(|g| fifth(l, g)).sum::<u8>()));
        put_low_bits(&codes, out);
    }
}

pub(super) fn write_q6k(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let mut groups = [0.0; BLOCK_LEN / SMALL_GROUP];
        for (scale, x) in groups.iter_mut().zip(x.as_chunks().0) {
            *scale = symmetric_scale(x);
        }
        let most = groups.iter().fold(
            0.0,
            |most: f32, v| if v.abs() > most.abs() { *v } else { most },
        );
        let d = f16::from_f32(most / -128.0);
        let inverse = inverse(d.to_f32());
        let scales = groups.map(|scale| (scale * inverse).round().min(127.0) as i8);
        let mut codes = [0_u8; BLOCK_LEN];
        for (i, (code, x)) in codes.iter_mut().zip(x).enumerate() {
            let step = d.to_f32() * f32::from(scales[i / SMALL_GROUP]);
            *code = if step == 0.0 {
                32
            } else {
                ((x / step).round().clamp(-32.0, 31.0) + 32.0) as u8
            };
        }
        for part in codes.as_chunks::<128>().0 {
            out.extend((0..64).map(|l| part[l] & 0x0f | part[l + 64] << 4));
        }
        for part in codes.as_chunks::<128>().0 {
            let high = |l: usize, quarter: usize| part[l + 32 * quarter] >> 4 << (2 * quarter);
            out.extend((0..32).map(|l| (0..4).map(|quarter| high(l, quarter)).sum::<u8>()));
        }
        out.extend(scales.map(i8::cast_unsigned));
        out.extend_from_slice(&d.to_le_bytes());
    }
}

/// Writes d, dmin and the scales of Q4_K or Q5_K and gives the codes, of at most `most`.
fn with_minimums(x: &[f32; BLOCK_LEN], most: u8, out: &mut Vec<u8>) -> [u8; BLOCK_LEN] {
    let mut fits = [(0.0_f32, 0.0_f32); BLOCK_LEN / GROUP];
    for (fit, x) in fits.iter_mut().zip(x.as_chunks().0) {
        *fit = scale_and_minimum(x, f32::from(most));
    }
    let largest = fits.iter().fold((0.0_f32, 0.0_f32), |(d, m), fit| {
        (d.max(fit.0), m.max(fit.1))
    });
    let (d, dmin) = (largest.0 / MAX_SIX_BITS, largest.1 / MAX_SIX_BITS);
    let six_bits = |v: f32, step: f32| (v * inverse(step)).round().clamp(0.0, MAX_SIX_BITS) as u8;
    let rounded = fits.map(|(scale, minimum)| (six_bits(scale, d), six_bits(minimum, dmin)));
    put_half(d, out);
    put_half(dmin, out);
    out.extend(packed_scales(&rounded));
    let (d, dmin) = (f16::from_f32(d).to_f32(), f16::from_f32(dmin).to_f32());
    let mut codes = [0; BLOCK_LEN];
    for (i, (code, x)) in codes.iter_mut().zip(x).enumerate() {
        let (scale, minimum) = rounded[i / GROUP];
        let inverse = inverse(d * f32::from(scale));
        // The cast saturates, and takes NaN to 0.
        *code = (((x + dmin * f32::from(minimum)) * inverse).round() as u8).min(most);
    }
    codes
}

/// Eight scales and eight minimums of six bits each, as `kquants::scale_and_minimum` reads them.
fn packed_scales(all: &[(u8, u8); BLOCK_LEN / GROUP]) -> [u8; PACKED_SCALES] {
    let mut packed = [0; PACKED_SCALES];
    for (g, &(scale, minimum)) in all.iter().enumerate() {
        if g < 4 {
            packed[g] |= scale;
            packed[g + 4] |= minimum;
        } else {
            packed[g + 4] = scale & 0x0f | minimum << 4;
            packed[g - 4] |= scale >> 4 << 6;
            packed[g] |= minimum >> 4 << 6;
        }
    }
    packed
}

/// The low four bits of all codes: of each 64 numbers the first 32 in the low halves.
fn put_low_bits(codes: &[u8; BLOCK_LEN], out: &mut Vec<u8>) {
    for part in codes.as_chunks::<64>().0 {
        out.extend((0..32).map(|l| part[l] & 0x0f | part[l + 32] << 4));
    }
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Scale and minimum, both at least 0, of least weighted square error for
/// `x ≈ scale · q - minimum` with q from 0 to `most`: steps of several lengths are tried, and for
/// the codes of each the best line is computed. Large numbers weigh more.
fn scale_and_minimum(x: &[f32; GROUP], most: f32) -> (f32, f32) {
    let low = x.iter().fold(0.0_f32, |low, &v| low.min(v));
    let high = x.iter().fold(f32::MIN, |high, &v| high.max(v));
    if high - low < 1e-30 {
        return (0.0, -low);
    }
    let mean_square = x.iter().map(|v| v * v).sum::<f32>() / GROUP as f32;
    let weights = x.map(|v| mean_square.sqrt() + v.abs());
    let error = |scale: f32, low: f32| -> f32 {
        let one = |(v, w): (&f32, &f32)| {
            let q = ((v - low) * inverse(scale)).round().clamp(0.0, most);
            w * (scale * q + low - v).powi(2)
        };
        x.iter().zip(&weights).map(one).sum()
    };
    let mut best = ((high - low) / most, low);
    let mut least = error(best.0, best.1);
    for step in -10..=10 {
        let inverse = (most + 0.1 * step as f32) / (high - low);
        let (mut w, mut l, mut ll, mut v, mut lv) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, weight) in x.iter().zip(&weights) {
            let q = ((x - low) * inverse).round().clamp(0.0, most);
            w += weight;
            l += weight * q;
            ll += weight * q * q;
            v += weight * x;
            lv += weight * q * x;
        }
        let determinant = w * ll - l * l;
        if determinant <= 0.0 {
            continue;
        }
        let mut line = (
            (w * lv - v * l) / determinant,
            (ll * v - l * lv) / determinant,
        );
        if line.1 > 0.0 {
            line = (lv / ll, 0.0);
        }
        let found = error(line.0, line.1);
        if found < least {
            (least, best) = (found, line);
        }
    }
    (best.0, -best.1)
}

/// The scale, of either sign, of least weighted square error for `x ≈ scale · q` with q from -32
/// to 31. Large numbers weigh more.
fn symmetric_scale(x: &[f32; SMALL_GROUP]) -> f32 {
    let extreme = x.iter().fold(
        0.0,
        |most: f32, &v| if v.abs() > most.abs() { v } else { most },
    );
    if extreme.abs() < 1e-30 {
        return 0.0;
    }
    let (mut best, mut most) = (extreme / -32.0, f32::MIN);
    for step in -9..=9 {
        let inverse = (32.0 + 0.1 * step as f32) / -extreme;
        let (mut lx, mut ll) = (0.0, 0.0);
        for &v in x {
            let q = (v * inverse).round().clamp(-32.0, 31.0);
            lx += v * v * q * v;
            ll += v * v * q * q;
        }
        if ll > 0.0 && lx * lx > most * ll {
            (best, most) = (lx / ll, lx * lx / ll);
        }
    }
    best
}

//! The simple quantised types: blocks of 32 numbers with one scale, some with a minimum.
//!
//! A 4-bit block keeps number `j` in the low half of byte `j` and number `j + 16` in the high
//! half. The fifth bits of a 5-bit block lie together in one little-endian `u32`, bit `j` for
//! number `j`. `x = d * (q - offset)` without a minimum, `x = d * q + m` with one.

use half::f16;

pub(super) const BLOCK_LEN: usize = 32;
const HALF: usize = BLOCK_LEN / 2;
pub(super) const SCALE: usize = size_of::<f16>();
pub(super) const HIGH_BITS: usize = BLOCK_LEN / 8;

pub(super) const Q4_0_BYTES: usize = SCALE + HALF;
pub(super) const Q4_1_BYTES: usize = 2 * SCALE + HALF;
pub(super) const Q5_0_BYTES: usize = SCALE + HIGH_BITS + HALF;
pub(super) const Q5_1_BYTES: usize = 2 * SCALE + HIGH_BITS + HALF;
pub(super) const Q8_0_BYTES: usize = SCALE + BLOCK_LEN;

const _: () = assert!(Q4_0_BYTES == 18);
const _: () = assert!(Q4_1_BYTES == 20);
const _: () = assert!(Q5_0_BYTES == 22);
const _: () = assert!(Q5_1_BYTES == 24);
const _: () = assert!(Q8_0_BYTES == 34);

/// The half-precision number at byte `at` of a block.
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

pub(super) fn high_bits_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The two 4-bit numbers `j` and `j + 16`.
pub(super) fn nibbles(quants: &[u8], j: usize) -> (u8, u8) {
    (quants[j] & 0x0f, quants[j] >> 4)
}

/// The two 5-bit numbers `j` and `j + 16`.
pub(super) fn quintets(quants: &[u8], high: u32, j: usize) -> (u8, u8) {
    let (low, up) = nibbles(quants, j);
    let bit = |at: usize| (((high >> at) & 1) as u8) << 4;
    (low | bit(j), up | bit(j + HALF))
}

/// Walks the blocks: `decode` gets the bytes of one block and the 32 places for its numbers.
fn each<const BYTES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; BLOCK_LEN]),
) {
    let places = out.as_chunks_mut::<BLOCK_LEN>().0;
    for (block, x) in bytes.as_chunks::<BYTES>().0.iter().zip(places) {
        decode(block, x);
    }
}

pub(super) fn read_q4_0(bytes: &[u8], out: &mut [f32]) {
    each::<Q4_0_BYTES>(bytes, out, |block, x| {
        let d = half_at(block, 0);
        for j in 0..HALF {
            let (low, up) = nibbles(&block[SCALE..], j);
            x[j] = d * (f32::from(low) - 8.0);
            x[j + HALF] = d * (f32::from(up) - 8.0);
        }
    });
}

/// The steps of IQ4_NL (`kvalues_iq4nl` in ggml).
const UNEVEN: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

pub(super) fn read_iq4_nl(bytes: &[u8], out: &mut [f32]) {
    each::<Q4_0_BYTES>(bytes, out, |block, x| {
        let d = half_at(block, 0);
        for j in 0..HALF {
            let (low, up) = nibbles(&block[SCALE..], j);
            x[j] = d * UNEVEN[usize::from(low)];
            x[j + HALF] = d * UNEVEN[usize::from(up)];
        }
    });
}

pub(super) fn read_q4_1(bytes: &[u8], out: &mut [f32]) {
    each::<Q4_1_BYTES>(bytes, out, |block, x| {
        let (d, m) = (half_at(block, 0), half_at(block, SCALE));
        for j in 0..HALF {
            let (low, up) = nibbles(&block[2 * SCALE..], j);
            x[j] = d * f32::from(low) + m;
            x[j + HALF] = d * f32::from(up) + m;
        }
    });
}

pub(super) fn read_q5_0(bytes: &[u8], out: &mut [f32]) {
    each::<Q5_0_BYTES>(bytes, out, |block, x| {
        let (d, high) = (half_at(block, 0), high_bits_at(block, SCALE));
        for j in 0..HALF {
            let (low, up) = quintets(&block[SCALE + HIGH_BITS..], high, j);
            x[j] = d * (f32::from(low) - 16.0);
            x[j + HALF] = d * (f32::from(up) - 16.0);
        }
    });
}

pub(super) fn read_q5_1(bytes: &[u8], out: &mut [f32]) {
    each::<Q5_1_BYTES>(bytes, out, |block, x| {
        let (d, m) = (half_at(block, 0), half_at(block, SCALE));
        let high = high_bits_at(block, 2 * SCALE);
        for j in 0..HALF {
            let (low, up) = quintets(&block[2 * SCALE + HIGH_BITS..], high, j);
            x[j] = d * f32::from(low) + m;
            x[j + HALF] = d * f32::from(up) + m;
        }
    });
}

pub(super) fn read_q8_0(bytes: &[u8], out: &mut [f32]) {
    each::<Q8_0_BYTES>(bytes, out, |block, x| {
        let d = half_at(block, 0);
        for (value, q) in x.iter_mut().zip(&block[SCALE..]) {
            *value = d * f32::from(q.cast_signed());
        }
    });
}

/// The number of greatest magnitude, with its sign; the first of equals, 0 for silence.
fn extreme(x: &[f32; BLOCK_LEN]) -> f32 {
    x.iter().fold(
        0.0,
        |most: f32, &v| if v.abs() > most.abs() { v } else { most },
    )
}

fn bounds(x: &[f32; BLOCK_LEN]) -> (f32, f32) {
    x.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| {
        (low.min(v), high.max(v))
    })
}

/// 1/d, and 0 for a block of equal numbers, where d is 0.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

pub(super) fn put_half(value: f32, out: &mut Vec<u8>) {
    out.extend_from_slice(&f16::from_f32(value).to_le_bytes());
}

/// The low four bits of all 32 numbers, two a byte.
fn put_nibbles(q: &[u8; BLOCK_LEN], out: &mut Vec<u8>) {
    for j in 0..HALF {
        out.push((q[j] & 0x0f) | (q[j + HALF] << 4));
    }
}

fn put_high_bits(q: &[u8; BLOCK_LEN], out: &mut Vec<u8>) {
    let bit = |(j, q): (usize, &u8)| u32::from(q >> 4 & 1) << j;
    let high: u32 = q.iter().enumerate().map(bit).sum();
    out.extend_from_slice(&high.to_le_bytes());
}

/// `trunc(x * id + shift)` held within `0..=most`: the cast saturates, and takes NaN to 0.
fn round(x: &[f32; BLOCK_LEN], id: f32, shift: f32, most: u8) -> [u8; BLOCK_LEN] {
    x.map(|v| ((v * id + shift) as u8).min(most))
}

pub(super) fn write_q4_0(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let d = extreme(x) / -8.0;
        put_half(d, out);
        put_nibbles(&round(x, inverse(d), 8.5, 15), out);
    }
}

pub(super) fn write_q4_1(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let (low, high) = bounds(x);
        let d = (high - low) / 15.0;
        put_half(d, out);
        put_half(low, out);
        put_nibbles(&round(&x.map(|v| v - low), inverse(d), 0.5, 15), out);
    }
}

pub(super) fn write_q5_0(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let d = extreme(x) / -16.0;
        let q = round(x, inverse(d), 16.5, 31);
        put_half(d, out);
        put_high_bits(&q, out);
        put_nibbles(&q, out);
    }
}

pub(super) fn write_q5_1(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let (low, high) = bounds(x);
        let d = (high - low) / 31.0;
        let q = round(&x.map(|v| v - low), inverse(d), 0.5, 31);
        put_half(d, out);
        put_half(low, out);
        put_high_bits(&q, out);
        put_nibbles(&q, out);
    }
}

pub(super) fn write_q8_0(x: &[f32], out: &mut Vec<u8>) {
    for x in x.as_chunks::<BLOCK_LEN>().0 {
        let d = extreme(x).abs() / 127.0;
        let id = inverse(d);
        put_half(d, out);
        out.extend(x.map(|v| ((v * id).round() as i8).cast_unsigned()));
    }
}

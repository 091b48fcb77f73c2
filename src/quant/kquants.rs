//! The K-quants: super-blocks of 256 numbers, cut into groups of 16 or 32 whose own scales are
//! quantised too. `x = d * scale * q`, in some types less `dmin * minimum`.

use half::f16;

use super::blocks32::half_at;
use super::codes::Codes;

pub(super) const BLOCK_LEN: usize = 256;
const HALF_BYTES: usize = 2;
/// Bytes of the eight 6-bit scales and eight 6-bit minimums of Q4_K and Q5_K, and of the sixteen
/// 6-bit scales of Q3_K.
pub(super) const PACKED_SCALES: usize = 12;

pub(super) const Q2K_BYTES: usize = BLOCK_LEN / 16 + BLOCK_LEN / 4 + 2 * HALF_BYTES;
pub(super) const Q3K_BYTES: usize = BLOCK_LEN / 8 + BLOCK_LEN / 4 + PACKED_SCALES + HALF_BYTES;
pub(super) const Q4K_BYTES: usize = 2 * HALF_BYTES + PACKED_SCALES + BLOCK_LEN / 2;
pub(super) const Q5K_BYTES: usize = Q4K_BYTES + BLOCK_LEN / 8;
pub(super) const Q6K_BYTES: usize = BLOCK_LEN / 2 + BLOCK_LEN / 4 + BLOCK_LEN / 16 + HALF_BYTES;

const _: () = assert!(Q2K_BYTES == 84);
const _: () = assert!(Q3K_BYTES == 110);
const _: () = assert!(Q4K_BYTES == 144);
const _: () = assert!(Q5K_BYTES == 176);
const _: () = assert!(Q6K_BYTES == 210);

/// Walks the super-blocks: `decode` gets the bytes of one and the 256 places for its numbers.
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

/// The 2-bit number of index `i`: each 32 bytes hold 128 numbers, 32 to each pair of bits.
fn two_bits(quants: &[u8], i: usize) -> u8 {
    let (part, within) = (i / 128, i % 128);
    quants[32 * part + within % 32] >> (2 * (within / 32)) & 3
}

/// The 4-bit number of index `i`: each 32 bytes hold 64 numbers, the first 32 in the low halves.
fn four_bits(quants: &[u8], i: usize) -> u8 {
    let (part, within) = (i / 64, i % 64);
    quants[32 * part + within % 32] >> (4 * (within / 32)) & 0x0f
}

/// Q2_K: scales and minimums in 16 bytes (low and high half), 64 bytes of quants, d, dmin.
pub(super) fn read_q2k(bytes: &[u8], out: &mut [f32]) {
    each::<Q2K_BYTES>(bytes, out, |block, x| {
        let (scales, rest) = block.split_at(BLOCK_LEN / 16);
        let (quants, halves) = rest.split_at(BLOCK_LEN / 4);
        let (d, dmin) = (half_at(halves, 0), half_at(halves, HALF_BYTES));
        for (i, value) in x.iter_mut().enumerate() {
            let scale = scales[i / 16];
            let (step, low) = (d * f32::from(scale & 0x0f), dmin * f32::from(scale >> 4));
            *value = step * f32::from(two_bits(quants, i)) - low;
        }
    });
}

/// The sixteen scales of Q3_K, each 6 bits less 32: the low four bits of scale `g` are half
/// `g / 8` of byte `g % 8`, its high two lie in bytes 8 to 11.
fn q3k_scale(packed: &[u8], group: usize) -> i8 {
    let low = packed[group % 8] >> (4 * (group / 8)) & 0x0f;
    let high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
    (low | high << 4).cast_signed() - 32
}

/// Q3_K: 32 bytes of third bits (a clear bit means 4 less), 64 of quants, 12 of scales, d.
pub(super) fn read_q3k(bytes: &[u8], out: &mut [f32]) {
    each::<Q3K_BYTES>(bytes, out, |block, x| {
        let (third, rest) = block.split_at(BLOCK_LEN / 8);
        let (quants, rest) = rest.split_at(BLOCK_LEN / 4);
        let (scales, halves) = rest.split_at(PACKED_SCALES);
        let d = half_at(halves, 0);
        for (i, value) in x.iter_mut().enumerate() {
            let offset = if third[i % 32] >> (i / 32) & 1 == 1 {
                0.0
            } else {
                4.0
            };
            let step = d * f32::from(q3k_scale(scales, i / 16));
            *value = step * (f32::from(two_bits(quants, i)) - offset);
        }
    });
}

/// Scale and minimum of group `g` of Q4_K and Q5_K. The first four of each are the low six bits
/// of bytes 0 to 3 and 4 to 7; the rest have their low halves in bytes 8 to 11 and their high
/// two bits on top of the first.
fn scale_and_minimum(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, minimum) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (
            low & 0x0f | packed[group - 4] >> 6 << 4,
            low >> 4 | packed[group] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(minimum))
}

/// Q4_K: d, dmin, 12 bytes of scales and minimums, 128 of quants.
pub(super) fn read_q4k(bytes: &[u8], out: &mut [f32]) {
    each::<Q4K_BYTES>(bytes, out, |block, x| {
        let (d, dmin) = (half_at(block, 0), half_at(block, HALF_BYTES));
        let (scales, quants) = block[2 * HALF_BYTES..].split_at(PACKED_SCALES);
        for (g, group) in x.chunks_exact_mut(32).enumerate() {
            let (scale, minimum) = scale_and_minimum(scales, g);
            let (step, low) = (d * scale, dmin * minimum);
            for (l, value) in group.iter_mut().enumerate() {
                *value = step * f32::from(four_bits(quants, 32 * g + l)) - low;
            }
        }
    });
}

/// Q5_K: as Q4_K, with 32 bytes of fifth bits before the quants: bit `g` of byte `l` for number
/// `l` of group `g`.
pub(super) fn read_q5k(bytes: &[u8], out: &mut [f32]) {
    each::<Q5K_BYTES>(bytes, out, |block, x| {
        let (d, dmin) = (half_at(block, 0), half_at(block, HALF_BYTES));
        let (scales, rest) = block[2 * HALF_BYTES..].split_at(PACKED_SCALES);
        let (fifth, quants) = rest.split_at(BLOCK_LEN / 8);
        for (g, group) in x.chunks_exact_mut(32).enumerate() {
            let (scale, minimum) = scale_and_minimum(scales, g);
            let (step, low) = (d * scale, dmin * minimum);
            for (l, value) in group.iter_mut().enumerate() {
                let q = four_bits(quants, 32 * g + l) | (fifth[l] >> g & 1) << 4;
                *value = step * f32::from(q) - low;
            }
        }
    });
}

/// The groups of 32 of Q4_K as codes with a scale and a minimum in half precision.
pub(super) fn each_q4k_codes(bytes: &[u8], take: &mut dyn FnMut(Codes)) {
    for block in bytes.as_chunks::<Q4K_BYTES>().0 {
        let quants = &block[2 * HALF_BYTES + PACKED_SCALES..];
        each_group(block, take, |g, l| four_bits(quants, 32 * g + l));
    }
}

/// The groups of 32 of Q5_K likewise.
pub(super) fn each_q5k_codes(bytes: &[u8], take: &mut dyn FnMut(Codes)) {
    for block in bytes.as_chunks::<Q5K_BYTES>().0 {
        let (fifth, quants) = block[2 * HALF_BYTES + PACKED_SCALES..].split_at(BLOCK_LEN / 8);
        each_group(block, take, |g, l| {
            four_bits(quants, 32 * g + l) | (fifth[l] >> g & 1) << 4
        });
    }
}

/// The eight groups of a Q4_K or Q5_K block; `code` tells number `l` of group `g`.
fn each_group(block: &[u8], take: &mut dyn FnMut(Codes), code: impl Fn(usize, usize) -> u8) {
    let (d, dmin) = (half_at(block, 0), half_at(block, HALF_BYTES));
    for g in 0..BLOCK_LEN / 32 {
        let (scale, minimum) = scale_and_minimum(&block[2 * HALF_BYTES..], g);
        take(Codes {
            scale: f16::from_f32(d * scale),
            minimum: f16::from_f32(-dmin * minimum),
            q: std::array::from_fn(|l| code(g, l)),
        });
    }
}

/// Q6_K: 128 bytes of low halves, 64 of high pairs of bits, 16 signed scales, d; 32 is taken off
/// every number. Each 128 numbers use 64 bytes of low halves: the first 64 numbers the low half
/// of each byte, the others the high half.
pub(super) fn read_q6k(bytes: &[u8], out: &mut [f32]) {
    each::<Q6K_BYTES>(bytes, out, |block, x| {
        let (low, rest) = block.split_at(BLOCK_LEN / 2);
        let (high, rest) = rest.split_at(BLOCK_LEN / 4);
        let (scales, halves) = rest.split_at(BLOCK_LEN / 16);
        let d = half_at(halves, 0);
        for (i, value) in x.iter_mut().enumerate() {
            let (part, within) = (i / 128, i % 128);
            let nibble = low[64 * part + within % 64] >> (4 * (within / 64)) & 0x0f;
            let q = (nibble | two_bits(high, i) << 4).cast_signed() - 32;
            *value = d * f32::from(scales[i / 16].cast_signed()) * f32::from(q);
        }
    });
}
